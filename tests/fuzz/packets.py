"""Packets of the uwsgi protocol, mostly bent, at the parser.

Knows: the form of a packet, what must hold of any input whatever. Must not know: what is right for any one.
"""

from __future__ import annotations

import random
from urllib.parse import unquote_to_bytes

from harness.packets import packet, said

from fuzz.messages import SPICE, bend
from fuzz.reading import cut, joined, pieces
from tricorn.http.reader import Data, End, Event, Head, Refused, RequestReader
from tricorn.http.request import Limits

SMALL = Limits(request_line=40, field_size=30, fields=4, head=500, body=20)
PATHS = (b"/", b"/a%20b", b"/app/x", b"//a", b"/%2e%2e", b"", b"*", b"a", b"/a?b", SPICE)
MOUNTS = (b"/app", b"/app/", b"/", b"app", b"/a b", b"", SPICE)


def any_packet(chance: random.Random) -> bytes:
    body = chance.randbytes(chance.choice((0, 0, 5, 30)))
    variables = said(chance.choice(PATHS), method=chance.choice((b"GET", b"POST", b"OPTIONS")), body=body)
    for name, values in ((b"SCRIPT_NAME", MOUNTS), (b"PATH_INFO", PATHS), (b"QUERY_STRING", PATHS)):
        if chance.random() < 0.4:
            variables.append((name, chance.choice(values)))
    for _ in range(chance.choice((0, 0, 1, 5))):
        name, value = chance.choice(variables)
        variables.insert(
            chance.randrange(len(variables) + 1),
            chance.choice(((name, bend(chance, value)), (bend(chance, name), value), (b"HTTP_A", SPICE))),
        )
    if chance.random() < 0.3:
        del variables[chance.randrange(len(variables))]
    data = packet(variables, body)
    for _ in range(chance.choice((0, 0, 0, 1, 3))):
        data = bend(chance, data)
    return data


def read(
    data: bytes, limits: Limits | None, places: list[int] | None = None, *, by_byte: bool = False
) -> list[Event]:
    reader = RequestReader(limits, packets=True)
    whole = pieces(data, "bytes") if by_byte else cut(data, places or [])
    events = [event for piece in whole for event in reader.feed(piece)]
    return joined([*events, *reader.finish()])


def check_packets(data: bytes) -> None:
    """The same events however the bytes are cut; nothing that could split a line; a path below its mount."""
    chance = random.Random(data)
    for limits in (None, SMALL):
        whole = read(data, limits)
        assert read(data, limits, by_byte=True) == whole, "byte by byte is different"
        places = [chance.randrange(len(data) + 1) for _ in range(4)]
        assert read(data, limits, places) == whole, f"cut at {places} is different"
        kinds = [type(event) for event in whole]
        assert kinds in (
            [],
            [Refused],
            [Head, End],
            [Head, Data, End],
            [Head, Refused],
            [Head, Data, Refused],
        ), kinds
        for event in whole:
            if isinstance(event, Data):
                assert event.content in data
            if isinstance(event, Head):
                _check_head(event)


def _check_head(head: Head) -> None:
    assert not head.keep_alive
    assert not set(b"\r\n\0 ") & set(head.target + head.method + head.address + (head.query or b""))
    assert not any(set(b"\r\n\0") & set(name + value) for name, value in head.fields)
    assert not any(name.startswith(b"HTTP_") and len(name) > 5 for name, _ in head.variables)
    if head.script:
        path = unquote_to_bytes(head.path)
        assert path == head.script or path.startswith(head.script + b"/"), (head.script, head.path)
