"""The environ is the application's: what it does to it, and what stands in it."""

from __future__ import annotations

import pytest
from harness.cases import head
from integration.live import Live, message
from transport.served import Pool, same_worker


@pytest.fixture
def live(serve: Pool) -> Live:
    return serve("environs:app", "--threads=1")


def test_an_error_after_the_environ_was_cleared(live: Live) -> None:
    """It is a 500 like any other, it is logged, and the next requests are served."""
    with same_worker(live):
        for number in range(3):
            assert live.request("/clear").status == 500
            log = live.wait_log("ValueError: cleared", times=number + 1)
            assert "GET /clear" in log
            assert live.request("/").status == 200


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
def test_a_context_that_holds_the_environ_is_let_go(live: Live, version: bytes) -> None:
    """Both refer to each other, in a way; memory stays as it is."""
    request = head(b"Connection: keep-alive", start=b"GET /keep HTTP/" + version)

    def memory_after(count: int) -> int:
        with live.connect() as client:
            for _ in range(count):
                client.send(request)
                assert client.response().body == b"kept"
        return int(live.request("/memory").body)

    before = memory_after(20)
    assert memory_after(500) - before < 10_000_000


@pytest.mark.parametrize("value", ["", "a", "ab", "é"])
def test_a_repeated_field_of_equal_values_is_joined(live: Live, value: str) -> None:
    """RFC 9110 §5.3, also where Python has but one object of the value."""
    with live.connect() as client:
        client.send(message("/field", fields=[f"X-Field: {value}"] * 3))
        assert client.response().body == repr(f"{value},{value},{value}").encode()
