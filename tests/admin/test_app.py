"""The application that serves control over HTTP, without a server: who may ask, and how answers look."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from tricorn.admin import app as application
from tricorn.admin.app import DOCUMENT, STREAMS_MAX, App
from tricorn.admin.desk import Desk, LateError, UnavailableError
from tricorn.admin.openapi import document
from tricorn.admin.routes import ROUTES, Route
from tricorn.arbiter import control
from tricorn.commands import ctl

TOKEN = "0123456789abcdef"

Answers = Callable[[dict[str, Any], float | None], dict[str, Any]]


class Answering(Desk):
    """Answers by itself, and keeps what it was asked."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.asked: list[tuple[dict[str, Any], float | None]] = []

    async def ask(self, question: dict[str, Any], seconds: float | None = None) -> dict[str, Any]:
        self.asked.append((question, seconds))
        return self.answers(question, seconds)


def done(_question: dict[str, Any], _seconds: float | None) -> dict[str, Any]:
    return {"ok": True, "done": True, "data": [1]}


class Client:
    """One request to the application."""

    def __init__(
        self, answers: Answers = done, *, token: str | None = None, routes: tuple[Route, ...] = tuple(ROUTES)
    ) -> None:
        self.desk = Answering(answers)
        self.app = App(self.desk, token, routes)
        self.headers: dict[str, str] = {}

    def ask(
        self, method: str, target: str, body: bytes = b"", **headers: str
    ) -> tuple[int, dict[str, Any], dict[str, str]]:
        status, fields, text = asyncio.run(self._ask(method, target, body, headers))
        return status, json.loads(text), fields

    async def _ask(
        self, method: str, target: str, body: bytes, headers: dict[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        sent: list[dict[str, Any]] = []
        messages = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> dict[str, Any]:
            if not messages:
                await asyncio.Event().wait()
            return messages.pop(0)

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self.app(scope(method, target, headers), receive, send)
        fields = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return sent[0]["status"], fields, b"".join(each["body"] for each in sent[1:])


def scope(method: str, target: str, headers: dict[str, str]) -> dict[str, Any]:
    path, _, query = target.partition("?")
    return {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
        "client": ("10.0.0.5", 51234),
    }


def post(client: Client, path: str, **values: Any) -> tuple[int, dict[str, Any], dict[str, str]]:
    return client.ask(
        "POST", path, json.dumps(values).encode(), content_type="application/json; charset=utf-8"
    )


# -- routes


def test_each_word_of_ctl_has_a_route() -> None:
    words = {route.word for route in ROUTES}
    assert set(ctl.VERBS) <= words <= set(control.KNOWN)
    changes = {route.word for route in ROUTES if route.method == "POST"}
    assert changes & set(control.REPORTS) == set()
    told = {"events", "dump", "metrics", "profile", "requests", "slow"}
    assert words - changes == set(control.REPORTS) | told


@pytest.mark.parametrize(
    ("method", "target", "question"),
    [
        ("GET", "/v1/status", {"do": "status"}),
        ("HEAD", "/v1/status", {"do": "status"}),
        ("GET", "/v1/events?after=7", {"do": "events", "after": 7}),
        ("GET", "/v1/stacks?pid=4711", {"do": "dump", "pid": 4711}),
        ("POST", "/v1/reload", {"do": "reload"}),
    ],
)
def test_what_is_asked(method: str, target: str, question: dict[str, Any]) -> None:
    client = Client()
    assert client.ask(method, target)[:2] == (200, {"ok": True, "done": True, "data": [1]})
    assert client.desk.asked == [(question | {"caller": "10.0.0.5:51234"}, None)]


def test_what_a_body_says() -> None:
    client = Client()
    assert post(client, "/v1/scale", workers=4, timeout=2.5)[0] == 200
    assert post(client, "/v1/reload", wait=False)[0] == 200
    assert post(client, "/v1/scale", by=-1)[0] == 200
    (scale, seconds), (reload, _), (fewer, _) = client.desk.asked
    assert fewer == {"do": "scale", "by": -1, "caller": "10.0.0.5:51234"}
    assert (scale["workers"], "timeout" in scale, seconds) == (4, False, 2.5)
    assert reload["wait"] is False


@pytest.mark.parametrize(
    ("answers", "status"),
    [
        ({"ok": True, "done": True}, 200),
        ({"ok": True, "done": False, "say": "The server stops"}, 202),
        ({"ok": False, "done": True, "say": "refused"}, 409),
    ],
)
def test_statuses(answers: dict[str, Any], status: int) -> None:
    found, said, fields = Client(lambda *_: answers).ask("POST", "/v1/stop")
    assert (found, said) == (status, answers)
    assert fields["cache-control"] == "no-store"
    assert fields["content-type"] == "application/json"


def test_what_takes_too_long() -> None:
    def late(_question: dict[str, Any], seconds: float | None) -> dict[str, Any]:
        raise LateError(f"It is not done after {seconds:g} s, and goes on")

    status, said, _ = post(Client(late), "/v1/reload", timeout=1)
    assert (status, said["say"]) == (202, "It is not done after 1 s, and goes on")


def test_a_master_that_does_not_answer() -> None:
    def silent(*_: Any) -> dict[str, Any]:
        raise UnavailableError("the server does not answer")

    status, said, fields = Client(silent).ask("GET", "/v1/status")
    assert (status, said["say"], fields["retry-after"]) == (503, "the server does not answer", "1")


def test_what_is_rendered_is_no_answer_in_json() -> None:
    def render(data: Any, accept: str) -> tuple[bytes, str]:
        return json.dumps([data, accept]).encode(), "text/plain"

    route = Route("GET", "/text", "x", "Text", render=render)
    status, said, fields = Client(routes=(route,)).ask("GET", "/text", accept="text/plain")
    assert (status, said, fields["content-type"]) == (200, [[1], "text/plain"], "text/plain")
    assert "text/plain" in str(document((route,), has_token=False))


@pytest.mark.parametrize(
    ("method", "target", "status", "said"),
    [
        ("GET", "/v1/stat", 404, "/openapi.json says what there is"),
        ("POST", "/v1/status", 405, "use GET or HEAD"),
        ("GET", "/v1/reload", 405, "use POST"),
        ("DELETE", "/v1/log-level", 405, "use GET or HEAD or POST"),
        ("POST", "/openapi.json", 405, "use GET or HEAD"),
        ("GET", "/v1/status?x=1", 400, "'x' means nothing here; what can be said is: nothing"),
        ("GET", "/v1/events?after=x", 400, "after: 'x' is not of the type integer"),
        ("GET", "/v1/events?" + "&".join(f"a{n}=1" for n in range(30)), 400, "the query has too many fields"),
        ("POST", "/v1/kill", 400, "pid is missing: The process id of the worker."),
    ],
)
def test_what_is_not_understood(method: str, target: str, status: int, said: str) -> None:
    client = Client()
    found, answer, _ = client.ask(method, target)
    assert (found, answer["ok"]) == (status, False)
    assert said in answer["say"]
    assert client.desk.asked == []


@pytest.mark.parametrize(
    ("body", "kind", "status", "said"),
    [
        (b'{"pid": 1}', "text/plain", 415, "a body is application/json"),
        (b"pid=1", "application/json", 400, "the body is no JSON object"),
        (b"[1]", "application/json", 400, "the body is no JSON object"),
        (b"[" * 10000, "application/json", 400, "the body is no JSON object"),
        (b'{"pid": "1"}', "application/json", 400, "pid: '1' is not of the type integer"),
        (b'{"pid": true}', "application/json", 400, "pid: True is not of the type integer"),
        (
            b'{"pid": 1, "by": 2}',
            "application/json",
            400,
            "'by' means nothing here; what can be said is: pid",
        ),
        (b'{"pid": 1, "timeout": 0}', "application/json", 400, "timeout: seconds are more than 0"),
    ],
)
def test_bodies_that_are_not_understood(body: bytes, kind: str, status: int, said: str) -> None:
    client = Client()
    found, answer, _ = client.ask("POST", "/v1/kill", body, content_type=kind)
    assert found == status
    assert said in answer["say"]
    assert client.desk.asked == []


# -- who may


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Bearer x", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", "Bearer \xe4"],
)
@pytest.mark.parametrize("target", ["/v1/status", "/openapi.json", "/nowhere"])
def test_without_the_token_nothing_is_told(header: str, target: str) -> None:
    client = Client(token=TOKEN)
    status, answer, fields = client.ask("GET", target, **({"authorization": header} if header else {}))
    assert (status, answer["ok"]) == (401, False)
    assert fields["www-authenticate"] == 'Bearer realm="tricorn"'
    assert client.desk.asked == []


def test_with_the_token(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("tricorn.error"), "propagate", True)
    client = Client(token=TOKEN)
    for kind in ("Bearer", "bearer"):
        assert client.ask("GET", "/v1/status", authorization=f"{kind} {TOKEN}")[0] == 200
    for _ in range(3):
        client.ask("GET", "/v1/status")
    assert [record.getMessage() for record in caplog.records] == [
        "Admin process: refused 10.0.0.5, which has not shown the token"
    ]


def test_a_page_of_another_site_is_refused() -> None:
    client = Client()
    for origin, status in (("https://evil.test", 403), ("null", 403), ("https://admin.test:9000", 200)):
        assert client.ask("POST", "/v1/reload", origin=origin, host="admin.test:9000")[0] == status
    assert len(client.desk.asked) == 1


def test_there_are_no_websockets() -> None:
    sent = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(Client().app({"type": "websocket"}, receive, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]


# -- clients that leave, and streams


def test_who_leaves_is_not_asked_for_any_more() -> None:
    """The conversation with the master ends, too."""

    async def run() -> bool:
        cancelled = asyncio.Event()
        client = Client()

        async def ask(_question: dict[str, Any], _seconds: float | None = None) -> dict[str, Any]:
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()
            return {}

        client.desk.ask = ask  # type: ignore[method-assign]
        messages = [{"type": "http.request"}, {"type": "http.disconnect"}]

        async def receive() -> dict[str, Any]:
            return messages.pop(0)

        async def send(message: dict[str, Any]) -> None:
            raise AssertionError(message)

        await client.app(scope("POST", "/v1/reload", {}), receive, send)
        await asyncio.wait_for(cancelled.wait(), 5)
        return True

    assert asyncio.run(run())


def test_events_as_they_come() -> None:
    batches = [[{"number": 8, "text": "one\ntwo"}, {"number": 9}], None, [{"number": 10}]]

    def next_ones(_question: dict[str, Any], _seconds: float | None) -> dict[str, Any]:
        if not batches:
            raise UnavailableError("the server has closed the connection")
        batch = batches.pop(0)
        if batch is None:
            raise LateError
        return {"ok": True, "data": batch}

    client = Client(next_ones)
    fields = {"accept": "text/event-stream", "last_event_id": "7"}
    status, found, body = asyncio.run(client._ask("GET", "/v1/events", b"", fields))
    assert (status, found["content-type"]) == (200, "text/event-stream")
    assert body == (
        b'id: 8\ndata: {"number": 8, "text": "one\\ntwo"}\n\nid: 9\ndata: {"number": 9}\n\n'
        b": nothing new\n\n"
        b'id: 10\ndata: {"number": 10}\n\n'
    )
    assert [question["after"] for question, _ in client.desk.asked] == [7, 9, 9, 10]


def test_there_are_so_many_streams_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client()
    monkeypatch.setattr(client.app, "_streams", STREAMS_MAX)
    assert client.ask("GET", "/v1/events", accept="text/event-stream")[0] == 503
    monkeypatch.setattr(client.app, "_streams", 0)
    assert client.ask("GET", "/v1/events?after=-1", accept="text/event-stream")[0] == 400
    assert client.desk.asked == []


# -- the document


def test_the_document_says_all_of_it() -> None:
    client = Client(token=TOKEN)
    status, made, _ = client.ask("GET", DOCUMENT, authorization=f"Bearer {TOKEN}")
    assert status == 200
    assert made == json.loads(json.dumps(document(ROUTES, has_token=True)))
    assert made["openapi"] == "3.1.0"
    operations = {(path, method) for path, item in made["paths"].items() for method in item}
    assert operations == {(route.path, route.method.lower()) for route in ROUTES}
    ids = [each["operationId"] for item in made["paths"].values() for each in item.values()]
    assert len(ids) == len(set(ids))
    kill = made["paths"]["/v1/kill"]["post"]
    schema = kill["requestBody"]["content"]["application/json"]["schema"]
    assert schema["required"] == ["pid"]
    assert set(schema["properties"]) == {"pid", "wait", "timeout"}
    assert made["paths"]["/v1/events"]["get"]["parameters"][0]["name"] == "after"
    assert "text/event-stream" in made["paths"]["/v1/events"]["get"]["responses"]["200"]["content"]
    assert set(_references(made)) == {"#/components/schemas/Answer"}
    assert made["components"]["securitySchemes"]["token"] == {"type": "http", "scheme": "bearer"}
    assert "security" not in document(ROUTES, has_token=False)


def _references(value: Any) -> Any:
    if isinstance(value, dict):
        yield from ([value["$ref"]] if "$ref" in value else [])
        for each in value.values():
            yield from _references(each)
    elif isinstance(value, list):
        for each in value:
            yield from _references(each)


def test_a_sign_of_life_comes_before_proxies_give_up() -> None:
    assert application.STREAM_SIGN < 60
