"""Conversations with the `websockets` package: a handshake, then each reads what the other writes."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest
from fuzz.reading import cut
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.uri import parse_uri

from tricorn.http.reader import Head, RequestReader
from tricorn.http.websocket import (
    Binary,
    Close,
    Event,
    FrameStream,
    Ping,
    Pong,
    Text,
    close_frame,
    frame,
    message,
)
from tricorn.http.websocket_handshake import (
    DeflatePolicy,
    Negotiated,
    accept_head,
    negotiate,
    read_handshake,
)

POLICIES = {
    "default": DeflatePolicy(),
    "everything": DeflatePolicy(threshold=0),
    "wide": DeflatePolicy(
        server_max_window_bits=15, client_max_window_bits=15, mem_level=8, level=6, threshold=0
    ),
    "narrow": DeflatePolicy(
        server_max_window_bits=9, client_max_window_bits=9, mem_level=1, level=9, threshold=0
    ),
    "forgetful": DeflatePolicy(server_no_context_takeover=True, client_no_context_takeover=True, threshold=0),
}

OFFERS: dict[str, ClientPerMessageDeflateFactory | None] = {
    "none": None,
    "plain": ClientPerMessageDeflateFactory(),
    "usual": ClientPerMessageDeflateFactory(client_max_window_bits=True),
    "both forget": ClientPerMessageDeflateFactory(True, True, client_max_window_bits=True),
    **{
        f"server {bits}": ClientPerMessageDeflateFactory(
            server_max_window_bits=bits, client_max_window_bits=True
        )
        for bits in range(8, 16)
    },
    **{
        f"client {bits}": ClientPerMessageDeflateFactory(client_max_window_bits=bits) for bits in range(9, 16)
    },
}


def meet(offer: str, policy: str) -> tuple[ClientProtocol, Negotiated | None]:
    """A client of `websockets` whose handshake we have answered."""
    factory = OFFERS[offer]
    client = ClientProtocol(
        parse_uri("ws://a.example/chat"), extensions=[factory] if factory else None, max_size=1 << 26
    )
    client.send_request(client.connect())
    (head,) = [
        event
        for data in client.data_to_send()
        for event in RequestReader().feed(data)
        if isinstance(event, Head)
    ]
    headers = [(name.lower(), value) for name, value in head.fields]
    handshake = read_handshake(head.method, head.version, headers)
    negotiated = negotiate(handshake.offers, POLICIES[policy])
    client.receive_data(accept_head(handshake, negotiated=negotiated))
    (response,) = client.events_received()
    assert isinstance(response, Response)
    assert client.handshake_exc is None
    assert client.state is State.OPEN
    return client, negotiated


def send(client: ClientProtocol, event: Event, parts: int) -> bytes:
    """What the client puts on the wire for it; a message in so many fragments."""
    if isinstance(event, Ping):
        client.send_ping(event.content)
    elif isinstance(event, Pong):
        client.send_pong(event.content)
    elif isinstance(event, Close):
        client.send_close(None if event.code == 1005 else event.code, event.reason)
    else:
        content = event.content.encode() if isinstance(event, Text) else event.content
        begin = client.send_text if isinstance(event, Text) else client.send_binary
        size = len(content) // parts + 1
        begin(content[:size], fin=parts == 1)
        for at in range(1, parts):
            client.send_continuation(content[at * size : (at + 1) * size], fin=at == parts - 1)
    return b"".join(client.data_to_send())


def heard(client: ClientProtocol, data: bytes) -> list[Event]:
    """What the client makes of the server's bytes."""
    client.receive_data(data)
    assert client.parser_exc is None
    found: list[Event] = []
    for event in client.events_received():
        assert isinstance(event, Frame)
        assert event.fin
        content = bytes(event.data)
        if event.opcode is Opcode.CLOSE:
            assert client.close_rcvd is not None
            found.append(Close(int(client.close_rcvd.code), client.close_rcvd.reason))
        else:
            kinds = {Opcode.BINARY: Binary, Opcode.PING: Ping, Opcode.PONG: Pong}
            text = event.opcode is Opcode.TEXT
            found.append(Text(content.decode()) if text else kinds[event.opcode](content))
    return found


def written(event: Event, negotiated: Negotiated | None) -> bytes:
    deflate = negotiated.deflate if negotiated else None
    if isinstance(event, Text | Binary):
        return message(event.content, deflate)
    if isinstance(event, Close):
        return close_frame(event.code, event.reason)
    assert isinstance(event, Ping | Pong)
    return frame(9 if isinstance(event, Ping) else 10, event.content)


def converse(offer: str, policy: str, talk: Iterable[tuple[Event, int]], seed: int) -> None:
    """The same things said in both directions, the client's in random pieces."""
    client, negotiated = meet(offer, policy)
    stream = FrameStream(1 << 26, negotiated.deflate if negotiated else None)
    chance = random.Random(seed)
    for event, parts in talk:
        data = send(client, event, parts)
        places = [chance.randrange(len(data) + 1) for _ in range(chance.choice((0, 0, 1, 5)))]
        got = [found for piece in cut(data, places) for found in stream.feed(piece)]
        assert got == [event]
        assert heard(client, written(event, negotiated)) == [event]
        answer = stream.feed(b"".join(client.data_to_send()))
        assert answer == ([Pong(event.content)] if isinstance(event, Ping) else [])


CODES = st.sampled_from([1000, 1001, 1002, 1003, 1007, 1008, 1011, 1012, 1013, 1014, 3000, 4999])
CONTROL = st.binary(max_size=125)
TEXTS = st.text(max_size=400) | st.integers(0, 20_000).map(lambda n: "corner, brim, κόσμε 😀 " * (n // 23))
BYTES = st.binary(max_size=400) | st.integers(0, 70_000).map(lambda n: random.Random(n).randbytes(n))
EVENTS = TEXTS.map(Text) | TEXTS.map(Text) | BYTES.map(Binary) | CONTROL.map(Ping) | CONTROL.map(Pong)


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(sorted(OFFERS)),
    st.sampled_from(sorted(POLICIES)),
    st.lists(st.tuples(EVENTS, st.integers(1, 4)), max_size=8),
    st.builds(Close, CODES, st.text(max_size=30)) | st.just(Close(1005, "")),
    st.integers(0, 1 << 30),
)
def test_conversations(
    offer: str, policy: str, talk: list[tuple[Event, int]], close: Close, seed: int
) -> None:
    converse(offer, policy, [*talk, (close, 1)], seed)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("offer", OFFERS)
def test_all_terms(offer: str, policy: str) -> None:
    """Texts that shrink, bytes that do not, longer than the widest window."""
    chance = random.Random(7)
    talk: list[tuple[Event, int]] = []
    for size in (0, 1, 100, 3000, 40_000, 70_000, 5):
        words = " ".join(chance.choice(("tricorn", "hat", "κόσμε", "brim")) for _ in range(size // 5))
        talk += [(Text(words), 1), (Binary(chance.randbytes(size)), 3), (Ping(b"?"), 1), (Text(words), 2)]
    converse(offer, policy, talk, 7)
    _, negotiated = meet(offer, policy)
    assert (negotiated is None) == (offer == "none")


def test_a_client_that_asks_for_subprotocols() -> None:
    client = ClientProtocol(parse_uri("ws://a.example/"), subprotocols=["chat", "superchat"])  # type: ignore[list-item]
    client.send_request(client.connect())
    (head,) = RequestReader().feed(b"".join(client.data_to_send()))[:1]
    assert isinstance(head, Head)
    handshake = read_handshake(
        head.method, head.version, [(name.lower(), value) for name, value in head.fields]
    )
    assert handshake.subprotocols == ("chat", "superchat")
    client.receive_data(accept_head(handshake, "superchat"))
    assert client.handshake_exc is None
    assert client.subprotocol == "superchat"
