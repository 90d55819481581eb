"""Server-sent events: each arrives by itself, and a stream ends when its reader has gone."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest
from harness.client import Client
from harness.server import wait_for
from integration.asgi_site import BROWSER, AsgiTests
from integration.live import Live, message

Leave = Callable[[Client], None]

every_way_to_leave = pytest.mark.parametrize("leave", [Client.abort, Client.close], ids=["reset", "closed"])


def subscribe(site: Live, path: str = "/events", *fields: str) -> Client:
    """A subscriber that has seen the head and the first event."""
    client = site.connect(timeout=10)
    client.send(message(path, fields=[*BROWSER, "Accept: text/event-stream", *fields]))
    head = client.read_until(b"\r\n\r\n")
    assert b"200 OK" in head
    assert b"text/event-stream" in head.lower()
    assert client.read_until(b"\n\n").endswith((b"retry: 1000", b"data: first"))
    return client


def publish(client: httpx.Client, word: str) -> int:
    """How many subscribers it went to."""
    count: int = client.post("/publish", content=word).json()
    return count


class TestServerSentEvents(AsgiTests):
    app = "asgi_sse_site:app"
    # A stream that says nothing cannot be told otherwise: its task is cancelled after this many seconds.
    options = (*AsgiTests.options, "--asgi-disconnect-grace-period", "1")

    def ended(self, client: httpx.Client) -> list[str]:
        report = client.get("/report").json()
        return report["ended"] if not report["open"] else []

    def test_events_arrive_one_by_one(self, site: Live, client: httpx.Client) -> None:
        """Each is with the reader before the next one is published."""
        with subscribe(site) as reader:
            for number, word in enumerate(["one", "two", "three"], 1):
                assert publish(client, word) == 1
                event = reader.read_until(b"\n\n")
                assert event.endswith(f"id: {number}\ndata: {word}".encode())
            publish(client, "last")
            reader.read_until(b"0\r\n\r\n")
            reader.send(message("/"))
            assert reader.response().body == b"hello"

    def test_a_reader_comes_back_where_it_was(self, site: Live, client: httpx.Client) -> None:
        with subscribe(site, "/events", "Last-Event-ID: 41") as reader:
            publish(client, "next")
            assert reader.read_until(b"\n\n").endswith(b"id: 42\ndata: next")
            publish(client, "last")
            reader.read_until(b"0\r\n\r\n")

    def test_many_readers(self, site: Live, client: httpx.Client) -> None:
        readers = [subscribe(site) for _ in range(20)]
        assert publish(client, "all") == 20
        for reader in readers:
            assert reader.read_until(b"\n\n").endswith(b"data: all")
        publish(client, "last")
        for reader in readers:
            reader.read_until(b"0\r\n\r\n")
            reader.close()

    @every_way_to_leave
    def test_a_stream_ends_at_the_next_event(self, site: Live, client: httpx.Client, leave: Leave) -> None:
        before = len(client.get("/report").json()["ended"])
        leave(subscribe(site))
        wait_for(lambda: publish(client, "anybody?") == 0, "nobody is subscribed")
        assert len(self.ended(client)) == before + 1

    @every_way_to_leave
    def test_a_silent_stream_is_cancelled(self, site: Live, client: httpx.Client, leave: Leave) -> None:
        before = len(client.get("/report").json()["ended"])
        leave(subscribe(site))
        wait_for(lambda: len(self.ended(client)) > before, "the generator has ended")
        assert self.ended(client)[-1] in ("CancelledError", "GeneratorExit")

    @every_way_to_leave
    def test_a_stream_that_asks_is_told(self, site: Live, client: httpx.Client, leave: Leave) -> None:
        before = self.ended(client).count("noticed")
        leave(subscribe(site, "/polite"))
        wait_for(lambda: self.ended(client).count("noticed") > before, "the stream has noticed")
