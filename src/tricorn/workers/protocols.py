"""Which versions of HTTP a worker speaks: from settings to what its entrances are given.

Knows: settings, the protocol that may not be built. Must not know: TLS, how a worker lives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from tricorn.config.settings import Settings

if TYPE_CHECKING:
    from tricorn.transport.request import ProtocolMaker

#: What `Entrance` calls the values of `http2_cleartext`.
CLEARTEXT = {"off": None, "prior-knowledge": "trusted", "anyone": "anyone"}


class Spoken(TypedDict):
    """For an `Entrance`."""

    http2: ProtocolMaker | None
    cleartext: str | None


def spoken(settings: Settings) -> Spoken:
    if "h2" not in settings.http_protocols:
        return {"http2": None, "cleartext": None}
    # The module is there: `http_protocols` was checked.
    from tricorn.transport.http2 import HTTP2Maker

    maker = HTTP2Maker(
        streams=settings.http2_max_concurrent_streams,
        window=settings.http2_initial_window_size,
        frame=settings.http2_max_frame_size,
        head_list=settings.http2_max_header_list_size,
    )
    return {"http2": maker, "cleartext": CLEARTEXT[settings.http2_cleartext]}


def maybe_library() -> str | None:
    """What HTTP/2 is spoken with, and its version; None: it was not built."""
    try:
        from tricorn.transport.http2 import library
    except ModuleNotFoundError:
        return None
    return library()
