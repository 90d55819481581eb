"""What the servers do besides answering, asked of each of them: a server that leaves out work is cheaper.

    python -m bench.probe                       all servers
    python -m bench.probe --server freastal

`make bench` does it before it measures; the page shows the answers below the tables, and some targets look
only at peers that call `close()`. Each check is one question to an application that tells what it sees."""

import argparse
import http.client
import json
import os
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from bench import environment, frames, paths, servers
from bench.process import Running, ServerError
from bench.servers import ASGI, INTERFACES, WSGI, Launch, Server

YES, NO = "yes", "no"
TIMEOUT = 5.0
CLOSE = "close"  # the name of the check that targets ask for
INPUT = b"first\nsecond\n\nlast, without an end"
ERRORS = (OSError, http.client.HTTPException, ValueError, frames.FrameError)

Facts = dict[str, dict[str, str]]  # identity of a server -> check -> yes, no, or words


@dataclass(frozen=True)
class Answer:
    status: int  # 0: closed without a response
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Check:
    name: str
    title: str
    ask: Callable[[int], str | bool]
    interfaces: tuple[str, ...] = INTERFACES


def exchange(port: int, request: bytes) -> Answer:
    """One request as it is, on a connection of its own."""
    with socket.create_connection(("127.0.0.1", port), TIMEOUT) as sock:
        sock.sendall(request)
        return read_answer(sock)


def read_answer(sock: socket.socket) -> Answer:
    response = http.client.HTTPResponse(sock)
    try:
        response.begin()
        fields = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, fields, response.read())
    except (http.client.RemoteDisconnected, ConnectionResetError):
        return Answer(0, {}, b"")
    finally:
        response.close()


def get(port: int, path: str) -> Answer:
    return exchange(port, request("GET", path))


def request(method: str, path: str, *fields: str, body: bytes = b"") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *fields]
    return "\r\n".join([*lines, "", ""]).encode() + body


# ---- the checks ----


def calls_close(port: int) -> bool:
    before = int(get(port, "/closed").body)
    for _ in range(2):
        get(port, "/iterable")
    return int(get(port, "/closed").body) == before + 2


def only_strings(port: int) -> str | bool:
    types = json.loads(get(port, "/types").body)
    others = [f"{name}: {kind}" for name, kind in sorted(types.items()) if kind != "str"]
    return ", ".join(others) or True


def reads_like_a_file(port: int) -> bool:
    length = f"Content-Length: {len(INPUT)}"
    return exchange(port, request("POST", "/input", length, body=INPUT)).body == b"as a file"


def takes_chunks_and_trailers(port: int) -> bool:
    """A chunked body with trailer fields, and the next request on the same connection."""
    body = b"3\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 5\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), TIMEOUT) as sock:
        sock.sendall(request("POST", "/body", "Transfer-Encoding: chunked", body=body))
        answer = read_answer(sock)
        if answer.body != b"abcde" or answer.headers.get("connection", "").lower() == "close":
            return answer.body == b"abcde"
        sock.sendall(request("GET", "/"))
        return read_answer(sock).body == b"Hello, World!"


def has_field(name: str) -> Callable[[int], bool]:
    return lambda port: name in get(port, "/").headers


def refuses_bare_lf(port: int) -> bool:
    return exchange(port, b"GET / HTTP/1.1\nHost: 127.0.0.1\n\n").status in (0, 400)


def refuses_two_lengths(port: int) -> bool:
    """Content-Length beside chunked coding: it may be refused, or the connection closed after it."""
    both = request("POST", "/body", "Content-Length: 3", "Transfer-Encoding: chunked", body=b"0\r\n\r\n")
    answer = exchange(port, both)
    return answer.status in (0, 400) or answer.headers.get("connection", "").lower() == "close"


def keeps_lower_case(port: int) -> str | bool:
    """Methods are case-sensitive (RFC 9110 §9.1). To refuse an unknown one is right too."""
    answer = exchange(port, request("get", "/method"))
    if answer.status != 200:
        return f"refuses ({answer.status})" if answer.status else "closes"
    return answer.body == b"get"


def sends_each_piece(port: int) -> bool:
    with tempfile.TemporaryDirectory() as directory:
        seen = Path(directory) / "seen"
        with socket.create_connection(("127.0.0.1", port), TIMEOUT) as sock:
            sock.sendall(request("GET", f"/pieces?file={seen}"))
            data = b""
            while b"read" not in data and b"late" not in data:
                if b"first" in data:
                    seen.touch()
                piece = sock.recv(65536)
                if not piece:
                    return False
                data += piece
        return b"read" in data


def tells_disconnect(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), TIMEOUT) as sock:
        sock.sendall(request("GET", "/leave"))
        if not comes_true(lambda: get(port, "/waiting").body == b"1"):
            return False
    return comes_true(lambda: get(port, "/left").body == b"1")


def comes_true(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


def gives_client(port: int) -> str | bool:
    client = json.loads(get(port, "/scope").body)["client"]
    right = isinstance(client, list) and [type(part) for part in client] == [str, int] and client[1] > 0
    return right or json.dumps(client)


def extensions(port: int) -> str:
    names = json.loads(get(port, "/scope").body)["extensions"]
    return ", ".join(name.removeprefix("http.response.") for name in names) or NO


def echoes_on_websocket(port: int) -> bool:
    return bool(frames.echo_once(port, frames.Frame(frames.TEXT, b"echo"), b"echo"))


CHECKS = (
    Check(CLOSE, "calls `close()` of the iterable", calls_close, (WSGI,)),
    Check("strings", "CGI variables are all `str`", only_strings, (WSGI,)),
    Check("input", "`wsgi.input` reads like a file", reads_like_a_file, (WSGI,)),
    Check("client", "`client` is host and port", gives_client, (ASGI,)),
    Check("disconnect", "says `http.disconnect`", tells_disconnect, (ASGI,)),
    Check("pieces", "sends each piece at once", sends_each_piece),
    Check("chunked", "chunked requests with trailers", takes_chunks_and_trailers),
    Check("bare_lf", "refuses bare LF", refuses_bare_lf),
    Check("lengths", "refuses two lengths, or closes", refuses_two_lengths),
    Check("method", "keeps a lower-case method", keeps_lower_case),
    Check("date", "Date", has_field("date")),
    Check("server", "Server", has_field("server")),
    Check("websocket", "WebSocket", echoes_on_websocket, (ASGI,)),
    Check("extensions", "extensions", extensions, (ASGI,)),
)


def checks_of(interface: str) -> tuple[Check, ...]:
    return tuple(check for check in CHECKS if interface in check.interfaces)


# ---- all servers ----


def probe(server: Server) -> dict[str, str]:
    log = paths.LOGS / f"probe-{server.ident}.log"
    log.write_bytes(b"")
    with Running(server, Launch(f"probe_{server.interface}"), log, 0) as running:
        running.wait_ready()
        return {check.name: outcome(check, running.port) for check in checks_of(server.interface)}


def outcome(check: Check, port: int) -> str:
    try:
        found = check.ask(port)
    except ERRORS:
        return NO
    return found if isinstance(found, str) else YES if found else NO


def probe_all(chosen: Iterable[Server], problems: dict[str, str], say: Callable[[str], None]) -> Facts:
    facts: Facts = {}
    for server in chosen:
        if server.ident in problems or server.interface not in INTERFACES:
            continue
        try:
            facts[server.ident] = probe(server)
        except ServerError as error:
            say(f"{server.ident} cannot be probed: {error}")
            continue
        lacks = [name for name, value in facts[server.ident].items() if value == NO]
        say(f"{server.ident}: " + (f"not {', '.join(lacks)}" if lacks else "does all"))
    return facts


def load(path: Path) -> Facts:
    facts: Facts = json.loads(path.read_text()) if path.exists() else {}
    return facts


def save(path: Path, facts: Facts) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps(facts, indent=1) + "\n")
    os.replace(beside, path)


def main() -> int:
    p = argparse.ArgumentParser(prog="python -m bench.probe", description=__doc__)
    p.formatter_class = argparse.RawDescriptionHelpFormatter
    p.add_argument("--server", action="append", choices=servers.names(), metavar="NAME")
    chosen = p.parse_args().server
    try:
        environment.check_tools()
        table = [server for server in servers.table() if not chosen or server.name in chosen]
        facts = probe_all(table, environment.build(table, print), lambda text: print(text, flush=True))
    except environment.NotPossibleError as error:
        print(f"probe: {error}", file=sys.stderr)
        return 1
    save(paths.FACTS, load(paths.FACTS) | facts)
    return 0


if __name__ == "__main__":
    sys.exit(main())
