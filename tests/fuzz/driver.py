"""Throws bent messages at every parser that reads what a client or an application sent. `make fuzz` runs it.

Knows: what must hold of any input whatever. Must not know: what is right for any one of them.

    PYTHONPATH=tests python -m fuzz.driver [--seconds 60] [--seed N] [--target requests …] [crash file …]

Without a coverage engine on purpose: it runs wherever the project does, and a grammar of known disputes gets
deeper than bytes that a counter likes. Each round is a pure function of its seed, so what it finds can be
found again; an input that crashes the interpreter is left in tests/fuzz/crashes/current.PID.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import mmap
import os
import random
import sys
import time
import traceback
import zlib
from collections.abc import Callable
from pathlib import Path

import h11

from fuzz.frames import any_frames, check_frames, check_frames_judge
from fuzz.http2 import any_http2, check_http2
from fuzz.judges import by_h11, by_llhttp, ours
from fuzz.messages import SPICE, bend, near_valid
from fuzz.packets import any_packet, check_packets
from fuzz.reading import cut, joined, pieces, read
from tricorn.http.errors import ProtocolError, ResponseError
from tricorn.http.proxy_protocol import V2_SIGNATURE, Mode, crc32c
from tricorn.http.proxy_protocol import parse as parse_proxy
from tricorn.http.reader import Data, End, Event, Head, Refused
from tricorn.http.request import Limits
from tricorn.http.writer import interim_response, response_head

CRASHES = Path(__file__).resolve().parent / "crashes"
IN_FLIGHT_SIZE = 1 << 20

SMALL = Limits(request_line=60, field_size=40, fields=5, head=150, body=50)


def check_requests(data: bytes) -> None:
    """The same events however the bytes are cut; they come in order; content is never invented."""
    chance = random.Random(data)
    for limits in (None, SMALL):
        whole = read([data], limits)
        assert read(pieces(data, "bytes"), limits) == whole, "byte by byte is different"
        places = [chance.randrange(len(data) + 1) for _ in range(4)]
        assert read(cut(data, places), limits) == whole, f"cut at {places} is different"
        state = "end"
        for event in joined(whole):
            assert state != "refused"
            if isinstance(event, Head):
                assert state == "end"
                assert b"\r" not in event.target
                assert b"\n" not in event.target
                assert not any(c in value for _, value in event.fields for c in b"\r\n\0")
                state = "body"
            elif isinstance(event, Data):
                assert state == "body"
                assert event.content in data or event_is_chunked(whole)
            elif isinstance(event, End):
                assert state == "body"
                state = "end"
            elif isinstance(event, Refused):
                state = "refused"


def event_is_chunked(events: list[Event]) -> bool:
    return any(isinstance(event, Head) and event.framing == "chunked" for event in events)


def check_judges(data: bytes) -> None:
    """Whatever we accept is framed as a judge that accepts it frames it."""
    mine = ours(data)
    for judge in (by_h11, by_llhttp):
        for a, b in zip(mine.messages, judge(data).messages, strict=False):
            tunnel = a.method == b"CONNECT" or any(name == b"upgrade" for name, _ in a.fields)
            assert (a.method, a.target, a.version) == (b.method, b.target, b.version), (judge, a, b)
            assert [name for name, _ in a.fields] == [name for name, _ in b.fields], (judge, a, b)
            if tunnel or not (a.keep_alive and b.keep_alive):
                break
            assert a.body == b.body, (judge, a, b)


def check_proxy(data: bytes) -> None:
    """A header, more bytes wanted, or a refusal; and never another answer for having come in pieces."""
    for mode in ("v1", "v2", "auto"):
        whole = _proxy(data, mode)
        for at in range(len(data)):
            early = _proxy(data[:at], mode)
            if early is not None:
                assert type(early) is type(whole), f"{early} of {at} bytes, then {whole}"
                assert not isinstance(early, tuple) or early == whole, f"{early} of {at} bytes, then {whole}"


def _proxy(data: bytes, mode: Mode) -> object:
    try:
        header = parse_proxy(data, mode)
    except ProtocolError as error:
        return error
    if header is None:
        return None
    assert 0 < header.consumed <= len(data)
    return header.consumed, header.source, header.destination


def check_responses(data: bytes) -> None:
    """ResponseError, or a head in which another parser finds the fields and nothing else."""
    status, headers = json.loads(data)
    headers = [tuple(header) for header in headers]
    for method in ("GET", "HEAD", "CONNECT"):
        try:
            head = response_head(status, headers, method=method).data
        except ResponseError:
            return
        assert head.endswith(b"\r\n\r\n")
        assert head.count(b"\r") == head.count(b"\n") == head.count(b"\r\n")
        client = h11.Connection(h11.CLIENT)
        client.send(h11.Request(method=method, target="a:1", headers=[("Host", "a")]))
        client.receive_data(head)
        event = client.next_event()
        assert isinstance(event, h11.Response)
        for name, value in headers:
            pair = (name.lower().encode("latin-1"), value.strip(" \t").encode("latin-1"))
            own = {
                b"connection",
                b"transfer-encoding",
                b"content-length",
                b"keep-alive",
                b"te",
                b"trailer",
                b"upgrade",
            }
            assert pair in list(event.headers) or pair[0] in own | {b"proxy-connection"}, pair
    assert interim_response(headers).count(b"\n") <= len(headers) + 2


def any_request(chance: random.Random) -> bytes:
    data = near_valid(chance)
    for _ in range(chance.choice((0, 0, 3, 10))):
        data = bend(chance, data)
    return data


def any_proxy(chance: random.Random) -> bytes:
    if chance.random() < 0.5:
        addresses = [b"192.0.2.1", b"::1", b"2001:db8::1", b"::ffff:1.2.3.4", b"1.2.3", b"999.1.1.1", b""]
        transport = chance.choice([b"TCP4", b"TCP6", b"UNKNOWN", b"UDP4"])
        ports = [chance.choice([b"0", b"443", b"65535", b"65536", b"007", b"+1"]) for _ in range(2)]
        data = (
            b" ".join([b"PROXY", transport, chance.choice(addresses), chance.choice(addresses), *ports])
            + b"\r\n"
        )
    else:
        family = chance.choice([0x00, 0x11, 0x12, 0x21, 0x22, 0x31, 0x32, 0x13, 0xFF])
        size = {1: 12, 2: 36, 3: 216}.get(family >> 4, 0)
        body = chance.randbytes(max(0, size + chance.choice((0, 0, 0, -1))))
        for _ in range(chance.randrange(3)):
            value = chance.randbytes(chance.randrange(6))
            body += bytes([chance.choice((1, 2, 4, 0x20, 0xE0))]) + len(value).to_bytes(2, "big") + value
        checked = chance.random() < 0.5
        body += b"\x03\x00\x04\0\0\0\0" if checked else b""
        command = chance.choice((0x20, 0x21, 0x21, 0x21, 0x22, 0x11))
        data = V2_SIGNATURE + bytes([command, family]) + len(body).to_bytes(2, "big") + body
        if checked:
            data = data[:-4] + crc32c(data).to_bytes(4, "big")
    for _ in range(chance.choice((0, 0, 1, 3))):
        data = bend(chance, data)
    return data + chance.choice((b"", b"GET / HTTP/1.1\r\n"))


def any_response(chance: random.Random) -> bytes:
    def text(words: list[str]) -> str:
        data = chance.choice(words).encode("latin-1")
        for _ in range(chance.choice((0, 0, 0, 1, 2))):
            data = bend(chance, data)
        return data.decode("latin-1") + chance.choice(("", "", "", "", "\u010a", "\u20ac"))

    names = [
        "A",
        "Content-Length",
        "Set-Cookie",
        "Date",
        "Server",
        "Connection",
        "Transfer-Encoding",
        "X-" + "y" * 50,
    ]
    values = ["", "0", "5", "close", "chunked", "a, b", "x" * 100, SPICE.decode("latin-1"), "\xe9"]
    headers = [(text(names), text(values)) for _ in range(chance.randrange(5))]
    return json.dumps([text(["200 OK", "204 No Content", "304 x", "404", "101 x"]), headers]).encode()


Target = tuple[Callable[[random.Random], bytes], Callable[[bytes], None]]
TARGETS: dict[str, Target] = {
    "requests": (any_request, check_requests),
    "judges": (any_request, check_judges),
    "responses": (any_response, check_responses),
    "proxy": (any_proxy, check_proxy),
    "frames": (any_frames, check_frames),
    "framejudge": (any_frames, check_frames_judge),
    "http2": (any_http2, check_http2),
    "packets": (any_packet, check_packets),
}


class InFlight:
    """The input being tried, in a file that survives the interpreter. Storing into a mapped page is cheap."""

    def __init__(self) -> None:
        CRASHES.mkdir(exist_ok=True)
        self.path = CRASHES / f"current.{os.getpid()}"
        with self.path.open("w+b") as file:
            file.truncate(IN_FLIGHT_SIZE)
            self.page = mmap.mmap(file.fileno(), IN_FLIGHT_SIZE)

    def note(self, target: str, data: bytes) -> None:
        line = f"{target} {len(data)}\n".encode() + data
        self.page[: len(line)] = line

    def close(self) -> None:
        self.page.close()
        self.path.unlink()


def save(target: str, data: bytes) -> Path:
    path = CRASHES / f"{target}-{zlib.crc32(data):08x}"
    path.write_bytes(data)
    return path


def shrink(check: Callable[[bytes], None], data: bytes) -> bytes:
    """Cut pieces out for as long as it still fails."""
    size = len(data) // 2
    while size:
        at = 0
        while at < len(data):
            shorter = data[:at] + data[at + size :]
            if fails(check, shorter):
                data = shorter
            else:
                at += size
        size //= 2
    return data


def fails(check: Callable[[bytes], None], data: bytes) -> bool:
    try:
        check(data)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what this is here to find
        return not isinstance(error, json.JSONDecodeError)
    return False


def repeat(path: Path) -> bool:
    """Try a saved input again. True: it still fails."""
    target, data = path.name.split("-")[0], path.read_bytes()
    if path.name.startswith("current."):
        first, _, rest = data.partition(b"\n")
        target, size = first.decode().split()
        data = rest[: int(size)]
    try:
        TARGETS[target][1](data)
    except Exception:  # noqa: BLE001
        print(f"{path.name}: {data!r}")
        traceback.print_exc()
        return True
    return False


def run(names: list[str], seconds: float, seed: int) -> int:
    """How many inputs failed."""
    in_flight = InFlight()
    deadline = time.monotonic() + seconds
    counts = dict.fromkeys(names, 0)
    failures = 0
    while time.monotonic() < deadline and failures < 10:
        for name in names:
            generate, check = TARGETS[name]
            data = generate(random.Random(f"{seed} {name}"))
            in_flight.note(name, data)
            counts[name] += 1
            if fails(check, data):
                failures += 1
                path = save(name, shrink(check, data))
                print(f"FAILED after {counts[name]}, seed {seed}: {path}")
                repeat(path)
        seed += 1
    in_flight.close()
    print(", ".join(f"{name}: {count}" for name, count in counts.items()), f"inputs, {failures} failures")
    return failures


def main() -> int:
    parser = argparse.ArgumentParser(description="Fuzz the engine; repeat saved inputs.")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=time.time_ns() // 1000, help="of the first round")
    parser.add_argument("--target", action="append", choices=TARGETS)
    parser.add_argument("inputs", nargs="*", type=Path, help="files of tests/fuzz/crashes")
    arguments = parser.parse_args()
    faulthandler.enable()
    if arguments.inputs:
        return int(sum(repeat(path) for path in arguments.inputs) > 0)
    return int(run(arguments.target or list(TARGETS), arguments.seconds, arguments.seed) > 0)


if __name__ == "__main__":
    sys.exit(main())
