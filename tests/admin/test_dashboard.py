"""The page of the dashboard: it is all in one, small, and can run nothing but itself; and who gets it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from typing import Any

import pytest
from admin.looks import Answering, Master

from tricorn.admin import dashboard, watch
from tricorn.admin.app import PAGE, WATCHED, App
from tricorn.admin.dashboard import FILES, made

TOKEN = "0123456789abcdef"

BODY = made(has_token=False).body
TEXT = BODY.decode()
SCRIPT = (FILES / "dashboard.js").read_text()
STYLE = (FILES / "dashboard.css").read_text()


def test_it_is_small() -> None:
    assert 10_000 < len(BODY) <= 100_000


def test_it_names_nobody_else() -> None:
    assert re.findall(r"""(?:src|href|action)\s*=\s*["']?([^"'\s>]*)""", TEXT) == ["data:,", "#main"]
    assert not re.search(r"https?://|url\(|@import|\bimport\b", TEXT)
    assert re.findall(r'"(/[a-z][^"]*)"|`(/[a-z][^`$]*)', SCRIPT) == [
        (WATCHED, ""),
        ("", "/v1/stacks?pid="),
    ]


def test_the_policy_allows_this_script_and_no_other() -> None:
    directives = dict(each.split(" ", 1) for each in made(has_token=False).policy.split("; "))
    for name, tag in (("script-src", "script"), ("style-src", "style")):
        (inside,) = re.findall(rf"<{tag}>(.*?)</{tag}>", TEXT, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert directives[name] == f"'sha256-{digest}'"
    nothing = ("default-src", "base-uri", "form-action", "frame-ancestors", "trusted-types")
    assert {directives[name] for name in nothing} == {"'none'"}
    assert directives["require-trusted-types-for"] == "'script'"
    assert "unsafe" not in made(has_token=True).policy


def test_the_script_makes_no_html_of_text() -> None:
    assert SCRIPT.count("textContent") >= 2
    forbidden = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|Function\(|setHTML|srcdoc|DOMParser"
    )
    assert not re.search(forbidden, SCRIPT)
    assert not re.search(r"\son\w+\s*=|style=|javascript:", (FILES / "dashboard.html").read_text())


def test_the_script_names_what_there_is() -> None:
    there = set(re.findall(r'\bid="([^"]+)"', TEXT))
    assert set(re.findall(r'\bat\("([^"]+)"\)', SCRIPT)) <= there
    named = re.findall(r'aria-(?:labelledby|describedby)="([^"]+)"|<label for="([^"]+)"', TEXT)
    assert {one or other for one, other in named} <= there
    tables = re.findall(r"<table([^>]*)>\s*(<caption)?", TEXT)  # in a list of tables each has its name
    assert len(tables) >= 7
    assert all("aria-labelledby" in attributes or caption for attributes, caption in tables)


def test_it_says_whether_it_needs_a_token() -> None:
    needs = 'data-needs-token="true"'
    assert (needs in TEXT, needs in made(has_token=True).body.decode()) == (False, True)


def colours(text: str) -> dict[str, str]:
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", text))


def luminance(colour: str) -> float:
    parts = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """WCAG 2.2, "contrast ratio"."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_is_written_can_be_read(scheme: str) -> None:
    light, dark = STYLE.split("@media (prefers-color-scheme: dark)", 1)
    found = colours(light if scheme == "light" else dark)
    for name in ("text", "quiet", "accent", "bad", "warn", "good"):
        assert min(contrast(found[name], found[back]) for back in ("card", "back")) >= 4.5, name  # 1.4.3, AA
    for name in ("s1", "s2", "s3", "s4", "s5", "none"):
        assert contrast(found[name], found["card"]) >= 3.0, name  # 1.4.11


# -- who gets it


def ask(
    app: App, method: str, path: str, *, end: asyncio.Event | None = None, texts: int = 1, **more: Any
) -> tuple[int, dict[str, str], list[dict[str, Any]]]:
    """The status, the fields, and all that was sent. When that are so many texts the client leaves; or, if it
    is given, `end` is set, as a drain does."""

    async def work() -> list[dict[str, Any]]:
        sent: list[dict[str, Any]] = []
        enough = asyncio.Event()
        messages = [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive() -> dict[str, Any]:
            if messages:
                return messages.pop()
            await (enough.wait() if end is None else asyncio.Event().wait())
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)
            if sum("body" in each for each in sent) >= texts:
                (enough if end is None else end).set()

        extensions = {} if end is None else {"tricorn.drain": end}
        await asyncio.wait_for(
            app({**scope(method, path), "extensions": extensions, **more}, receive, send), 5
        )
        return sent

    sent = asyncio.run(work())
    fields = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], fields, sent[1:]


def scope(method: str, path: str) -> dict[str, Any]:
    headers = [(b"host", b"127.0.0.1:9000")]
    return {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": b"",
        "scheme": "http",
        "headers": headers,
        "client": ("10.0.0.5", 51234),
    }


def app_of(token: str | None = None) -> tuple[App, Answering]:
    desk = Answering(Master().answer)
    return App(desk, token), desk


def with_headers(**headers: str) -> dict[str, Any]:
    return {"headers": [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]}


def test_the_page_tells_nothing_and_is_for_all() -> None:
    app, desk = app_of(TOKEN)
    status, fields, sent = ask(app, "GET", PAGE)
    assert (status, fields["content-type"]) == (200, dashboard.MEDIA)
    assert fields["content-security-policy"] == made(has_token=True).policy
    assert (fields["x-content-type-options"], fields["cache-control"]) == ("nosniff", "no-store")
    assert b"".join(each["body"] for each in sent) == made(has_token=True).body
    assert desk.asked == []
    assert ask(app, "POST", PAGE)[0] == 401


def test_the_stream_is_for_who_has_the_token() -> None:
    app, desk = app_of(TOKEN)
    for header in ({}, {"authorization": "Bearer wrong"}):
        assert ask(app, "GET", WATCHED, **with_headers(**header))[0] == 401
    assert desk.asked == []
    status, fields, sent = ask(app, "GET", WATCHED, texts=2, **with_headers(authorization=f"Bearer {TOKEN}"))
    assert (status, fields["content-type"]) == (200, "text/event-stream")
    assert json.loads(sent[0]["body"][6:])["is_whole"]
    assert all(each["more_body"] for each in sent)  # nobody is there to be told of an end


def test_the_stream_is_not_for_pages_of_others() -> None:
    app, desk = app_of()
    for origin in ("https://evil.test", "null", "http://127.0.0.1:8000", "http://["):
        assert ask(app, "GET", WATCHED, **with_headers(host="127.0.0.1:9000", origin=origin))[0] == 403
    assert desk.asked == []
    assert ask(app, "HEAD", WATCHED)[0] == 404
    assert ask(app, "POST", WATCHED)[0] == 404


@pytest.mark.parametrize(
    ("host", "scheme", "token", "status"),
    [
        ("evil.test:9000", "http", None, 403),
        ("127.0.0.1.evil.test", "http", None, 403),
        ("[", "http", None, 403),
        ("localhost:9000", "http", None, 200),
        ("shop.localhost", "http", None, 200),
        ("127.0.0.1:9000", "http", None, 200),
        ("[::1]:9000", "http", None, 200),
        ("admin", "http", None, 200),
        ("", "http", None, 200),
        # Who shows a token or a certificate is no page that has found its way here.
        ("admin.test:9000", "http", TOKEN, 200),
        ("admin.test:9000", "https", None, 200),
    ],
)
def test_a_name_that_anybody_can_lead_here(host: str, scheme: str, token: str | None, status: int) -> None:
    """DNS rebinding: to its browser the page of evil.test asks its own server, which is this one by now."""
    app, desk = app_of(token)
    headers = with_headers(host=host, authorization=f"Bearer {token}")
    assert ask(app, "GET", "/v1/status", scheme=scheme, **headers)[0] == status
    assert bool(desk.asked) == (status == 200)


@pytest.mark.parametrize("path", [WATCHED, "/v1/events"])
def test_a_stream_ends_when_the_process_does(path: str) -> None:
    app, _ = app_of()
    sent = ask(
        app, "GET", path, end=asyncio.Event(), **with_headers(host="localhost", accept="text/event-stream")
    )[2]
    assert [each["more_body"] for each in sent][-2:] == [True, False]


def test_there_are_so_many_viewers_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "VIEWERS_MAX", 0)
    status, fields, sent = ask(app_of()[0], "GET", WATCHED)
    assert (status, fields["retry-after"]) == (503, "10")
    assert json.loads(sent[0]["body"])["say"] == "0 others watch already"
