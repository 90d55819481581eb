"""`tricorn ctl profile` of running workers of each kind."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from commands.test_flame import boxes, check_file
from harness.server import wait_for
from integration.live import Live, message

from tricorn.commands import ctl
from tricorn.control.client import Connection

SITE = """
import time
from pathlib import Path

GATE = Path("{gate}")

def computes():
    end = time.monotonic() + 0.03
    while time.monotonic() < end:
        pass

def app(environ, start_response):
    while environ["PATH_INFO"] == "/work" and not GATE.exists():
        computes()
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]

async def waits():
    import asyncio
    await asyncio.sleep(0.002)

async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        raise RuntimeError
    while scope["path"] == "/work" and not GATE.exists():
        await waits()
    await send({{"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}})
    await send({{"type": "http.response.body", "body": b"ok"}})
"""


REFUSED: list[tuple[dict[str, object], str]] = [
    ({"seconds": 0}, "A profile takes more than 0"),
    ({"seconds": 1e9}, "A profile takes more than 0"),
    ({"seconds": True}, "A profile takes more than 0"),
    ({"pid": 1}, "There is no such worker"),
    ({"wait": False}, "A profile is for who waits for it"),
]


def threads(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/task"))


@pytest.mark.parametrize("kind", ["sync", "asgi", "gevent"])
def test_files_say_where_a_request_is(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "site_.py").write_text(SITE.format(gate=tmp_path / "gate"))
    app = "site_:asgi" if kind == "asgi" else "site_:app"
    options = (f"--control-socket={tmp_path}/ctl.sock",)
    with Live(app, *options, kind=kind, chdir=tmp_path) as live:
        (worker,) = live.workers()
        before = threads(worker)
        with live.connect(timeout=10) as client:
            client.send(message("/work"))
            words = (f"--socket={tmp_path}/ctl.sock", "profile", "--seconds=0.5", f"--output={tmp_path}/here")
            assert ctl.main(words) == 0, capsys.readouterr()
            (tmp_path / "gate").touch()
            assert client.response().status == 200
        said = capsys.readouterr().out.splitlines()
        assert said == [f"{tmp_path}/here.{end} is written" for end in ("speedscope.json", "svg")]
        file = json.loads((tmp_path / "here.speedscope.json").read_text())
        check_file(file)
        assert file["name"] == f"{app}: worker {worker}"
        wanted = "waits" if kind == "asgi" else "computes"
        assert wanted in {frame["name"] for frame in file["shared"]["frames"]}
        (box,) = (
            said for said in boxes((tmp_path / "here.svg").read_text()) if said.startswith(f"{wanted} (")
        )
        assert float(box.rpartition(": ")[2].split()[0]) >= 0.2  # of 0.5 s
        wait_for(lambda: threads(worker) <= before, "the thread has ended")
        live.stop()


def test_one_at_a_time_and_nothing_is_left_when_the_client_goes(tmp_path: Path) -> None:
    options = ("--threads=2", f"--control-socket={tmp_path}/ctl.sock")
    with Live("metered:app", *options, kind="gthread") as live:
        (worker,) = live.workers()
        before = threads(worker)
        with (
            socket.socket(socket.AF_UNIX) as client,
            Connection(f"{tmp_path}/ctl.sock", 10) as other,
        ):
            client.connect(f"{tmp_path}/ctl.sock")
            client.sendall(b'{"do": "profile", "seconds": 600}\n')
            wait_for(lambda: threads(worker) > before, "it looks")
            refused = other.ask({"do": "profile", "seconds": 0.05})
            assert not refused["ok"]
            assert refused["say"].startswith("Somebody else has a profile made")
            client.close()
            wait_for(lambda: threads(worker) == before, "the thread has ended")
            answer = wait_for(lambda: _maybe_made(other), "another one is made")
            assert [each["pid"] for each in answer["data"]] == [worker]
            for question, said in REFUSED:
                assert str(other.ask({"do": "profile", **question})["say"]).startswith(said)
        live.stop()


def _maybe_made(connection: Connection) -> dict[str, Any] | None:
    answer = connection.ask({"do": "profile", "seconds": 0.05})
    return answer if answer["ok"] else None
