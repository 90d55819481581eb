"""No text from outside makes a line of a log, ends one, or steers the terminal that shows it."""

from __future__ import annotations

import base64
import json
import logging
import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from harness.axes import ONE_OF_EACH
from harness.client import ClosedError
from harness.server import wait_for
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from integration.live import Live
from log.test_setup import RECORD

from tricorn.log.access_format import ATOMS
from tricorn.log.error import ErrorFormatter, JSONFormatter, TextFormatter
from tricorn.log.logger import SafeAtoms
from tricorn.log.syslog import Syslog, SyslogHandler, parse_address

ANY = st.text(st.characters(categories=None), max_size=40)
FORGED = "[2026-11-21 09:00:00 +0000] [1] [CRITICAL] forged"
NASTY = [
    f"\n{FORGED}",
    f"\r{FORGED}",
    f"\r\n{FORGED}",
    f"\x0b{FORGED}",
    f"\x0c{FORGED}",
    f"\x1c{FORGED}",
    f"\x85{FORGED}",
    f"\u2028{FORGED}",
    f"\u2029{FORGED}",
    "\x1b[2J\x1b]0;title\x07",
    "\x9b2J",
    "\x90payload\x9c",
    "\x08\x08\x7f",
    "\u202eesrever\u2066x\u2069\u200f\u061c",
    "a\u200bb\ufeffc\u2060d\xade",
    "\U000e0001\U000e0041",
    "\ud800",
    "\x00",
]


#: Control characters, lone surrogates, separators of lines and paragraphs.
CATEGORIES = {"Cc", "Cs", "Zl", "Zp"}
#: Embeddings, overrides and isolates (Unicode Standard Annex 9), which show nothing themselves.
BIDIRECTIONAL = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def is_harmless(line: str) -> bool:
    line = line.replace("\t", "")  # of a block
    return not any(
        unicodedata.category(character) in CATEGORIES or unicodedata.bidirectional(character) in BIDIRECTIONAL
        for character in line
    )


def raised(text: str) -> logging.LogRecord:
    """A record that quotes `text` wherever a record can."""
    try:
        raise ValueError(text)
    except ValueError as error:
        info = (type(error), error, error.__traceback__)
    record = logging.LogRecord("tricorn.error", logging.ERROR, "", 0, "quoted: %s", (text,), info)
    record.stack_info = text
    record.levelname = text
    record.__dict__["block"] = text
    return record


def check_record(text: str) -> None:
    first, *others = ErrorFormatter().format(raised(text)).splitlines()
    assert first.startswith("[")
    assert "quoted: " in first
    assert not [line for line in others if line.startswith("[")]
    assert all(is_harmless(line) for line in (first, *others))


@cache
def syslog() -> Syslog:
    return Syslog(parse_address("udp://127.0.0.1"), "user")


def check_other_forms(text: str) -> None:
    """JSON, syslog, and values of the access log as a logger_class gets them."""
    as_json = JSONFormatter().format(raised(text))
    assert re.fullmatch(r"[ -~]*", as_json)
    assert json.loads(as_json)["message"] == f"quoted: {text}"
    handler = SyslogHandler(syslog(), text or "x", "error")
    sent: list[bytes] = []
    syslog()._carrier.send = sent.append  # type: ignore[method-assign,assignment]
    handler.setFormatter(TextFormatter())
    handler.handle(raised(text))
    (message,) = sent
    assert is_harmless(message.decode())
    assert re.match(r"<11>gunicorn\.[^\n]*\.error: \[\d+\] ", message.decode())
    atoms = SafeAtoms({"a": text, "{a}i": text})
    for line in ("%(a)s" % atoms, "%({A}i)s" % atoms):  # noqa: UP031 - this is what logging does
        assert re.fullmatch(r"(?:[ !#-\[\]-~]|\\x[0-9A-F]{2})*", line)


def check_all(text: str) -> None:
    check_record(text)
    check_other_forms(text)


@pytest.mark.parametrize("text", NASTY)
def test_a_record_that_quotes(text: str) -> None:
    check_all(text)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(ANY | st.sampled_from(NASTY), max_size=4).map("".join))
def test_a_record_that_quotes_anything(text: str) -> None:
    check_all(text)


APPS = {
    "wsgi": """
import logging

def app(environ, start_response):
    quoted = [environ[key] for key in ("REQUEST_METHOD", "PATH_INFO", "QUERY_STRING")]
    quoted.append(environ.get("HTTP_X_ANY", ""))
    quoted.append(environ.get("HTTP_USER_AGENT", "").encode("latin-1").decode("utf-8", "surrogateescape"))
    logging.getLogger("tricorn.error").warning("asked for %s", " ".join(quoted))
    raise ValueError("\\n".join(quoted))
""",
    "asgi": """
import logging

async def app(scope, receive, send):
    quoted = [scope["method"], scope["path"], scope["query_string"].decode("latin-1")]
    for name, value in scope["headers"]:
        quoted.append(value.decode("utf-8", "surrogateescape"))
        quoted.append(value.decode("latin-1"))
    logging.getLogger("tricorn.error").warning("asked for %s", " ".join(quoted))
    raise ValueError("\\n".join(quoted))
""",
}
#: Every atom, each in quotes, and the request's own fields.
FORMAT = " ".join(
    f'"%({atom})s"' for atom in (*ATOMS, "{X-Any}i", "{X-Any}o", "{HTTP_X_ANY}e", "{QUERY_STRING}e")
)


def encoded(text: str) -> Iterator[bytes]:
    yield text.encode("utf-8", "surrogatepass")
    if all(ord(character) < 256 for character in text):
        yield text.encode("latin-1")


def hostile_requests() -> Iterator[bytes]:
    for text in NASTY:
        for data in encoded(text):
            escaped = b"".join(b"%%%02X" % byte for byte in data)
            user = base64.b64encode(data + b":password")
            yield b"GET /" + data + b" HTTP/1.1\r\nHost: a\r\n\r\n"
            yield b"GET /?" + data + b" HTTP/1.1\r\nHost: a\r\n\r\n"
            yield b"G" + data + b" / HTTP/1.1\r\nHost: a\r\n\r\n"
            yield b"GET / HTTP/1.1" + data + b"\r\nHost: a\r\n\r\n"
            yield b"GET / HTTP/1.1\r\nHost: " + data + b"\r\n\r\n"
            yield b"GET / HTTP/1.1\r\nHost: a\r\nX-Any: " + data + b"\r\nUser-Agent: " + data + b"\r\n\r\n"
            yield b"GET / HTTP/1.1\r\nHost: a\r\nX-Any" + data + b": x\r\n\r\n"
            yield (
                b"GET /" + escaped + b"?" + escaped + b" HTTP/1.1\r\nHost: a\r\nReferer: " + escaped + b"\r\n"
                b"Authorization: Basic " + user + b"\r\n\r\n"
            )


@pytest.mark.parametrize("format", [FORMAT, "json"])
@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_nothing_that_a_client_sends(kind: str, format: str, tmp_path: Path) -> None:
    interface = "asgi" if kind == "asgi" else "wsgi"
    (tmp_path / "quoting.py").write_text(APPS[interface])
    access = tmp_path / "access.log"
    log = tmp_path / "error.log"
    options = ("--access-logfile", str(access), "--access-logformat", format, "--log-level", "debug")
    requests = list(hostile_requests())
    with Live("quoting:app", *options, kind=kind, chdir=tmp_path, errorlog=log) as live:
        for request in requests:
            with live.connect(timeout=5) as client:
                client.send(request[:-2] + b"Connection: close\r\n\r\n")
                try:
                    client.response()
                except ClosedError:
                    continue
        live.request("/last")
        wait_for(lambda: "/last" in access.read_text(), "the last line of the access log")
        live.stop()
    check_error_log(log.read_text())
    lines = access.read_bytes().split(b"\n")
    assert lines.pop() == b""
    assert all(line.isascii() and line.decode().isprintable() for line in lines)
    assert len(lines) <= len(requests) + 2
    if format == "json":
        assert all(isinstance(json.loads(line), dict) for line in lines)
    else:
        count = FORMAT.count('"')
        assert {line.count(b'"') for line in lines} == {count}


def check_error_log(text: str) -> None:
    lines = text.split("\n")
    assert lines.pop() == ""
    assert all(is_harmless(line) for line in lines)
    records = [match for line in lines if line.startswith("[") and (match := RECORD.fullmatch(line))]
    assert len(records) == sum(line.startswith("[") for line in lines)
    assert not [match for match in records if match[2] == "CRITICAL" or match[1] == "1"]
    assert any(re.match("asked for", match[3]) for match in records)
