"""An application that waits for other servers, in the libraries that people use, and for what else blocks.

`/requests?PORT`, `/urllib3?PORT`, `/redis?PORT`, `/pymysql?PORT`, `/psycopg?PORT`
                    ask the server at this port, and answer what it says
`/sleep?N`, `/subprocess?N`, `/thread?N`, `/queue?N`
                    blocks in this way until N requests have come here
Anything else: "ready"
"""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

LONGEST = 20.0  # a test that fails must not leave a worker waiting for ever

if "gevent" in sys.modules:
    from psycogreen.gevent import patch_psycopg
else:
    from psycogreen.eventlet import patch_psycopg
patch_psycopg()


def ask_requests(port: str) -> str:
    import requests

    return requests.get(f"http://127.0.0.1:{port}/", timeout=LONGEST).text


def ask_urllib3(port: str) -> str:
    import urllib3

    with urllib3.PoolManager() as pool:
        return pool.request("GET", f"http://127.0.0.1:{port}/", timeout=LONGEST).data.decode()


def ask_redis(port: str) -> str:
    import redis

    with redis.Redis(port=int(port), protocol=2, socket_timeout=LONGEST) as client:
        return client.get("key").decode()


def ask_pymysql(port: str) -> str:
    import pymysql

    with (
        pymysql.connect(host="127.0.0.1", port=int(port), user="test", read_timeout=LONGEST) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT x")
        return cursor.fetchone()[0]


def ask_psycopg(port: str) -> str:
    import psycopg2

    connection = psycopg2.connect(host="127.0.0.1", port=port, user="test", dbname="test")
    with connection.cursor() as cursor:
        cursor.execute("SELECT x")
        (text,) = cursor.fetchone()
    connection.close()
    return text


class Crowd:
    """Requests that block until so many have come; each looks again and again, and waits in its own way."""

    def __init__(self) -> None:
        self.here: dict[str, int] = {}

    def waits(self, how: str, number: int, look_again: Callable[[], object]) -> str:
        self.here[how] = self.here.get(how, 0) + 1
        end = time.monotonic() + LONGEST
        while self.here[how] < number:
            if time.monotonic() > end:
                return f"only {self.here[how]}"
            look_again()
        return "met"


crowd = Crowd()


def in_a_thread() -> None:
    thread = threading.Thread(target=time.sleep, args=(0.01,))
    thread.start()
    thread.join()


def in_a_queue() -> None:
    """Filled by a thread, a moment later."""
    filled: queue.Queue[str] = queue.Queue()
    threading.Timer(0.01, filled.put, ["later"]).start()
    filled.get(timeout=LONGEST)


ASKS = {
    "/requests": ask_requests,
    "/urllib3": ask_urllib3,
    "/redis": ask_redis,
    "/pymysql": ask_pymysql,
    "/psycopg": ask_psycopg,
}
BLOCKS: dict[str, Callable[[], object]] = {
    "/sleep": lambda: time.sleep(0.01),
    "/subprocess": lambda: subprocess.run(["sleep", "0.01"], check=True),
    "/thread": in_a_thread,
    "/queue": in_a_queue,
}


def answer(path: str, argument: str) -> str:
    if path in ASKS:
        return ASKS[path](argument)
    if path in BLOCKS:
        return crowd.waits(path, int(argument), BLOCKS[path])
    return "ready"


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    text = answer(environ["PATH_INFO"], environ["QUERY_STRING"]).encode()
    start_response("200 OK", [("Content-Length", str(len(text)))])
    return [text]
