"""Complete responses of requests that waited together leave together, and none waits for long."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager

import pytest
from harness.client import Client
from harness.server import frozen, wait_for
from integration.live import Live, message
from transport.served import Pool, same_worker

WAITING = 16


@pytest.fixture(params=["1", "4"])
def live(serve: Pool, request: pytest.FixtureRequest) -> Live:
    return serve("together:app", f"--threads={request.param}")


def frozen_worker(live: Live) -> AbstractContextManager[None]:
    return frozen(int(live.request("/").body))


@contextlib.contextmanager
def clients(live: Live, count: int) -> Iterator[list[Client]]:
    """So many, known to the server: each has been answered once."""
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(live.connect()) for _ in range(count)]
        for client in found:
            client.send(message("/"))
            assert client.response().status == 200
        yield found


def port_of(client: Client) -> int:
    return client.name[1]


def test_a_response_waits_for_those_behind_it(serve: Pool) -> None:
    """Where requests have been quick for a while: on a busy machine that may take more than one attempt."""
    live = serve("together:app", "--threads=1")
    with clients(live, WAITING) as all_of_them:
        wait_for(
            lambda: is_held(live, all_of_them), "a response is held for others to go with it", deadline=20
        )


def is_held(live: Live, all_of_them: list[Client]) -> bool:
    """Whether the first response is not out while the second request is served."""
    first, second, *others = all_of_them
    standing_still = frozen_worker(live)  # it asks which one on a new connection, which over TLS is not quick
    for _ in range(100):
        first.send(message("/"))
        assert first.response().status == 200
    with standing_still:
        first.send(message("/"))
        for client in (second, *others):
            client.send(message(f"/peek?{port_of(first)}"))
    found = second.response().body  # before we read the first: it shows in its socket
    assert [client.response().status for client in (first, *others)] == [200] * (WAITING - 1)
    return found == b"held"


def test_no_response_waits_for_a_request_that_takes_long(live: Live) -> None:
    """A request that takes longer than any before: the responses before it leave while it runs."""
    with clients(live, WAITING) as all_of_them:
        *quick, slow = all_of_them
        with frozen_worker(live):
            for client in quick:
                client.send(message("/"))
            slow.send(message(f"/wait?{port_of(quick[-2])}"))
        assert slow.response().body == b"out"  # before we read that one: it shows in its socket
        assert [client.response().status for client in quick] == [200] * len(quick)


def test_pipelined_requests_stay_in_order(live: Live) -> None:
    with clients(live, WAITING) as all_of_them:
        with frozen_worker(live):
            for client in all_of_them:
                client.send(b"".join(message(f"/?{number}") for number in range(40)))
        for client in all_of_them:
            assert [client.response().status for _ in range(40)] == [200] * 40


def test_clients_that_go_before_their_response_leaves(live: Live) -> None:
    with same_worker(live), clients(live, WAITING) as all_of_them:
        with frozen_worker(live):
            for client in all_of_them:
                client.send(message("/"))
            for client in all_of_them[::2]:
                client.abort()
        assert [client.response().status for client in all_of_them[1::2]] == [200] * (WAITING // 2)


def test_the_last_words_of_a_connection_come_behind_what_was_held(live: Live) -> None:
    """A response, then a request that is refused: both answers arrive, in order, then the end."""
    with clients(live, WAITING) as all_of_them:
        with frozen_worker(live):
            for client in all_of_them:
                client.send(message("/") + b"BAD\r\n\r\n")
        for client in all_of_them:
            assert [client.response().status, client.response().status] == [200, 400]
            assert client.read_to_end() == b""
