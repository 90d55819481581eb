"""The program that tells a URL of alarms, run as the master runs it."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from alarms.receiver import Handler, receiving

from tricorn.alarms import webhook
from tricorn.arbiter import alarming

ROOT = Path(__file__).parent.parent.parent
MESSAGES = [{"alarm": "memory", "text": "é\n"}, {"alarm": "restarts"}]


def said_by_the_program(url: str, user: int | None = None, **environ: str) -> str:
    asked = json.dumps({"url": url, "messages": MESSAGES, "limit": 15, "user": user, "group": user})
    usual = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    done = subprocess.run(
        [sys.executable, "-I", "-S", webhook.__file__],
        input=asked.encode(),
        capture_output=True,
        timeout=20,
        env=usual | environ,
        check=True,
    )
    assert not done.stderr
    return done.stdout.decode().strip()


def test_each_message_is_posted_as_json() -> None:
    with receiving() as receiver:
        assert said_by_the_program(receiver.url) == webhook.DONE == alarming.DONE
    assert receiver.told == [("/hook?token=sesame", "application/json", each) for each in MESSAGES]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_looks_names_up() -> None:
    """Who may not be able to read the standard library."""
    with receiving() as receiver:
        url = receiver.url.replace("127.0.0.1", "localhost")
        assert said_by_the_program(url, user=65534) == webhook.DONE
    assert len(receiver.told) == len(MESSAGES)


def test_https_is_verified(tmp_path: Path) -> None:
    subprocess.run([ROOT / "tools" / "certificate", tmp_path], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "localhost.pem", tmp_path / "localhost.key")
    with receiving() as receiver:
        receiver.socket = context.wrap_socket(receiver.socket, server_side=True)
        url = receiver.url.replace("http:", "https:")
        assert "certificate verify failed" in said_by_the_program(url)
        assert not receiver.told
        assert said_by_the_program(url, SSL_CERT_FILE=str(tmp_path / "ca.pem")) == webhook.DONE
    assert len(receiver.told) == len(MESSAGES)


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "PAUSES", (0.0, 0.0))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("no_pauses")
@pytest.mark.parametrize(
    ("statuses", "said", "posts"),
    [
        ((503, 429), webhook.DONE, 4),
        ((503, 503, 503), "status 503", 4),
        ((404,), "status 404", 2),  # it is the same again, and the next message is told all the same
        ((302,), "status 302", 2),  # nobody is asked for what would be a success
    ],
)
def test_answers(statuses: tuple[int, ...], said: str, posts: int) -> None:
    with receiving(*statuses) as receiver:
        assert webhook.told(receiver.url, MESSAGES) == said
    assert len(receiver.told) == posts
    assert all(kind == "application/json" for _, kind, _ in receiver.told)


@pytest.mark.usefixtures("no_pauses")
def test_nobody_is_there() -> None:
    with receiving() as receiver:
        url = receiver.url
    said = webhook.told(url, MESSAGES)
    assert said == "Connection refused"


@pytest.mark.usefixtures("no_pauses")
def test_what_answers_is_no_http(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Handler, "do_POST", lambda self: self.wfile.write(b"220 mail.example\r\n"))
    with receiving() as receiver:
        assert webhook.told(receiver.url, MESSAGES[:1]) == "BadStatusLine"
