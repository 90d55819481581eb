"""What a worker speaks where it listens: from settings to what its entrances are given.

Knows: settings, the protocol that may not be built. Must not know: TLS, how a worker lives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from tricorn.config.packages import has_http2
from tricorn.config.settings import Settings
from tricorn.http.forwarded import TrustedPeers
from tricorn.net.address import parse_bind

if TYPE_CHECKING:
    from tricorn.transport.request import ProtocolMaker

#: Who is on this machine: what HTTP/2 opens to them in clear text they could reach anyway, and no proxy for
#: HTTP stands between that might not understand it.
THIS_MACHINE = ("127.0.0.0/8", "::1", "unix")


class Spoken(TypedDict):
    """For an `Entrance`."""

    http2: ProtocolMaker | None
    cleartext: TrustedPeers | None
    gateways: TrustedPeers | None


def spoken(settings: Settings) -> list[Spoken]:
    """At each `bind`, in that order."""
    http = _http(settings)
    uwsgi: Spoken = {"http2": None, "cleartext": None, "gateways": TrustedPeers(settings.uwsgi_allow_ips)}
    binds = map(parse_bind, settings.bind)
    return [uwsgi if bind.speaks_uwsgi(settings.protocol) else http for bind in binds]


def _http(settings: Settings) -> Spoken:
    if "h2" not in settings.http_protocols or not has_http2():
        return {"http2": None, "cleartext": None, "gateways": None}
    from tricorn.transport.http2 import HTTP2Maker

    maker = HTTP2Maker(
        streams=settings.http2_max_concurrent_streams,
        window=settings.http2_initial_window_size,
        frame=settings.http2_max_frame_size,
        head_list=settings.http2_max_header_list_size,
    )
    return {"http2": maker, "cleartext": cleartext(settings), "gateways": None}


def cleartext(settings: Settings) -> TrustedPeers | None:
    """Who may speak it without TLS, by prior knowledge."""
    match settings.http2_cleartext:
        case "off":
            return None
        case "anyone":
            return TrustedPeers(["*"])
    return TrustedPeers([*settings.forwarded_allow_ips, *THIS_MACHINE])


def prepare(settings: Settings) -> None:
    """In the master, so that workers share the memory."""
    spoken(settings)


def maybe_library() -> str | None:
    """What HTTP/2 is spoken with, and its version; None: it was not built."""
    try:
        from tricorn.transport.http2 import library
    except ModuleNotFoundError:
        return None
    return library()
