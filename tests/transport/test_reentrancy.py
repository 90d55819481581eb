"""A WSGI application that is called from inside of the server, and calls back: an exception for it at most.

The client reads one response with a right framing, of the pieces of that response, and then the next one.
"""

from __future__ import annotations

import pytest
from integration.live import Live, message
from transport.served import Pool, same_worker

#: As tests/apps/reentrant.py names them.
HOOKS = (
    *("iter", "next", "len", "bool", "close", "del", "file-read", "file-fileno", "file-tell", "file-close"),
    *("piece-list", "piece-iterator", "header", "garbage", "log-more", "log-fewer"),
)
USES = ("write", "write-much", "hints", "start", "again", "read", "clear", "collect")
#: Of these the length is wrong in the end, so that the connection cannot be kept.
CUT = ("log-more", "log-fewer")


@pytest.fixture(params=[(), ("--no-request-buffering",)], ids=["buffered", "streamed"])
def live(serve: Pool, request: pytest.FixtureRequest) -> Live:
    return serve("reentrant:app", "--threads=2", *request.param)


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("hook", HOOKS)
def test_calling_back(live: Live, hook: str, use: str) -> None:
    with same_worker(live), live.connect() as client:
        client.send(message(f"/{hook}?{use}", method="POST", body=b"posted"))
        response = client.response()
        while response.status == 103:
            response = client.response()
        assert response.status in (200, 500)
        assert response.complete or hook in CUT or use == "again"
        if response.status == 200:
            assert set(response.body) <= set(b"pw")
        if response.complete and "close" not in response.connection:
            client.send(message("/"))
            following = client.maybe_response()
            assert following is None or following.body == live.request("/").body
