"""The messages of a response in every order that ASGI allows, with and without waiting between them."""

from __future__ import annotations

import itertools
import json

import pytest
from asgi_orders import PIECE
from harness.client import Client, Response
from harness.server import Server, Servers, wait_for
from integration.asgi import get

#: Bodies: the last step has no `+`. `path` is a body by itself.
BODIES = (
    ("piece",),
    ("empty",),
    ("path",),
    ("span",),
    ("piece+", "piece"),
    ("empty+", "piece"),
    ("piece+", "empty"),
    ("piece+", "span"),
    ("span+", "piece"),
    ("span+", "span"),
    ("piece+", "span+", "piece+", "empty"),
)
WAITS = ("none", "turn", "time")
#: version and method
WIRES = (("1.1", "GET"), ("1.0", "GET"), ("1.1", "HEAD"))
#: Where hints stand: before the start, behind it, inside the body.
HINTS = (frozenset(), frozenset({"before"}), frozenset({"behind"}), frozenset({"before", "behind", "inside"}))


@pytest.fixture
def server(servers: Servers) -> Server:
    return servers.get(kind="asgi", app="asgi_orders:app")


@pytest.mark.parametrize("wait", WAITS)
@pytest.mark.parametrize("body", BODIES, ids=",".join)
def test_every_legal_order(server: Server, body: tuple[str, ...], wait: str) -> None:
    for hints, declared, trailers, wire in itertools.product(HINTS, (True, False), (0, 1, 2), WIRES):
        steps = _steps(body, hints, trailers)
        content = PIECE * sum(step.rstrip("+") in {"piece", "span", "path"} for step in steps)
        length = len(content) if declared else None
        plan = {"steps": steps, "wait": wait, "length": length, "trailers": bool(trailers)}
        mark = server.log_mark()
        response = _ask(server, plan, *wire)
        about = f"{plan} {wire}: {response}\n{server.log(mark)}"
        assert response.status == 200, about
        assert response.complete, about
        assert response.body == (content if wire[1] == "GET" else b""), about
        assert len(response.interim) == _interim(steps, wait, wire[0]), about
        if not server.wire.multiplexed:  # where a length and trailers go together
            assert response.framing == _framing(plan, body, wire) or wire[1] == "HEAD", about
        expected = [[], [("x-sum", "1")], [("x-more", "2"), ("x-sum", "1")]][trailers]
        assert response.trailers == (expected if response.framing == "chunked" else []), about
        if declared and wire[1] == "HEAD":
            assert response.get("Content-Length") == str(length), about
    assert "Traceback" not in server.log()


def _steps(body: tuple[str, ...], hints: frozenset[str], trailers: int) -> list[str]:
    first, rest = body[:1], body[1:]
    return [
        *["hint"] * ("before" in hints),
        "start",
        *["hint"] * ("behind" in hints),
        *first,
        *["hint"] * ("inside" in hints and bool(rest)),
        *rest,
        *["more-trailers"] * (trailers > 1),
        *["trailers"] * (trailers > 0),
    ]


def _interim(steps: list[str], wait: str, version: str) -> int:
    """Those that come before the head, which goes out when the application waits, or with the body."""
    if version == "1.0":
        return 0
    begun = steps.index("start") if wait != "none" else next(i for i, s in enumerate(steps) if s in _BEGINS)
    return steps[:begun].count("hint")


_BEGINS = {"piece", "piece+", "empty", "empty+", "span", "span+", "path"}


def _framing(plan: dict[str, object], body: tuple[str, ...], wire: tuple[str, str]) -> str:
    whole = len(body) == 1 and plan["wait"] == "none" and not plan["trailers"]
    if plan["length"] is not None or whole:
        return "length"
    return "chunked" if wire[0] == "1.1" else "close"


def _ask(server: Server, plan: dict[str, object], version: str, method: str) -> Response:
    """One response, and one more of the same connection, where it stays."""
    path = f"/?{json.dumps(plan).encode().hex()}"
    with server.connect() as client:
        response = _one(client, path, version, method)
        if version == "1.1":
            again = _one(client, path, version, method)
            assert (again.body, again.trailers) == (response.body, response.trailers)
    return response


def _one(client: Client, path: str, version: str, method: str) -> Response:
    client.takes_trailers = True
    client.send(get(path, b"TE: trailers", version=version, method=method))
    return client.response(method)


ILLEGAL = {
    "path behind a piece": ("start", "piece+", "path"),
    "path behind an empty piece": ("start", "empty+", "path"),
    "path behind a span": ("start", "span+", "path"),
    "path twice": ("start", "path", "path"),
    "path before the start": ("path",),
    "span before the start": ("span",),
    "span behind the end": ("start", "piece", "span"),
    "hint behind the end of the body": ("start", "piece", "hint", "trailers"),
    "trailers before the end of the body": ("start", "piece+", "trailers"),
    "start behind a hint behind the start": ("start", "hint", "start"),
}


@pytest.mark.parametrize("wait", WAITS)
@pytest.mark.parametrize("steps", ILLEGAL.values(), ids=ILLEGAL)
def test_other_orders_are_errors(server: Server, steps: tuple[str, ...], wait: str) -> None:
    """500 where nothing was sent, else a response that the client can tell from a whole one; and one head."""
    plan = {"steps": steps, "wait": wait, "length": None, "trailers": "trailers" in steps}
    mark = server.log_mark()
    with server.connect() as client:
        client.send(get(f"/?{json.dumps(plan).encode().hex()}"))
        response = client.response()
        rest = client.read_to_end() if "close" in response.connection or not response.complete else b""
    assert b"HTTP/1.1" not in response.body + rest
    assert response.status == 500 or not response.complete or steps[-1] in {"path", "span"}, response
    wait_for(lambda: "GatewayError" in server.log(mark), "the log says it")
