"""The forms of `bind`, as values.

Knows: how an address is written and shown. Must not know: sockets, name resolution, settings.

    HOST  HOST:PORT  :PORT  [IPV6]  [IPV6]:PORT  tcp://…     TcpAddress
    unix:PATH  /PATH  ./PATH  unix:@NAME  unix:\\0NAME        UnixAddress
    fd://N                                                   FdAddress
    https://…  http://…                                      any of these, with TLS or without
    suwsgi://…  uwsgi://…                                    the same, for the uwsgi protocol in place of HTTP
"""

from __future__ import annotations

import ipaddress

from tricorn.records import dataclass

#: What a `bind` without a port gets; the same number as Gunicorn's.
DEFAULT_PORT = 8000

#: What an address with a scheme may have meant that has no port. uWSGI's own examples have 3031.
USUAL_PORTS = {"http": 80, "https": 443}

#: `struct sockaddr_un.sun_path` has 108 bytes and the last one is the terminating NUL (unix(7)).
UNIX_PATH_MAX = 107


@dataclass(frozen=True)
class TcpAddress:
    """A host (a name, or an address without brackets) and a port; port 0 lets the kernel choose."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"http://{_bracketed(self.host)}:{self.port}"

    @property
    def is_wildcard(self) -> bool:
        return self.host in ("0.0.0.0", "::")


@dataclass(frozen=True)
class UnixAddress:
    """A socket in the file system, or (abstract) a name without a file; `path` has no marker for that."""

    path: str
    abstract: bool = False

    def __str__(self) -> str:
        return f"unix:@{self.path}" if self.abstract else f"unix:{self.path}"

    @property
    def sockaddr(self) -> bytes:
        """What bind(2) and connect(2) take."""
        encoded = self.path.encode("utf-8", "surrogateescape")
        return b"\0" + encoded if self.abstract else encoded


@dataclass(frozen=True)
class FdAddress:
    """A socket that was opened by whoever started us."""

    fd: int

    def __str__(self) -> str:
        return f"fd://{self.fd}"


Address = TcpAddress | UnixAddress | FdAddress


#: What may stand before an address, and whether it is for TLS, for the uwsgi protocol. The last two are
#: nginx's: what stands there behind uwsgi_pass can stand here.
SCHEMES = {"http": (False, False), "https": (True, False), "uwsgi": (False, True), "suwsgi": (True, True)}


def shown(address: Address, tls: bool, uwsgi: bool = False) -> str:
    """As clients and the log call it."""
    if not (tls or uwsgi):
        return str(address)
    (scheme,) = (name for name, said in SCHEMES.items() if said == (tls, uwsgi))
    return f"{scheme}://{str(address).removeprefix('http://')}"


@dataclass(frozen=True)
class Bind:
    """What one `bind` says. scheme: None if it leaves that to the other settings.

    The scheme is not a part of the address: a listening socket can change it without being opened anew.
    """

    address: Address
    scheme: str | None = None

    def speaks_uwsgi(self, usual: str) -> bool:
        """usual: what is spoken where nothing else is said: http or uwsgi, the setting `protocol`."""
        return usual == "uwsgi" if self.scheme is None else SCHEMES[self.scheme][1]

    @property
    def is_for_tls(self) -> bool | None:
        """None: it leaves that to the other settings."""
        return None if self.scheme is None else SCHEMES[self.scheme][0]


def parse_bind(text: str) -> Bind:
    """What `text` means; ValueError says what to write instead."""
    scheme, separator, rest = text.strip().partition("://")
    if not separator or scheme not in SCHEMES:
        return Bind(parse_address(text))
    address = parse_address(rest)
    if isinstance(address, TcpAddress) and ":" not in rest.removeprefix("tcp://").rpartition("]")[2]:
        # Elsewhere the default would be 80 or 443, and in a `bind` it is 8000: what is meant is not clear.
        raise ValueError(f"{text!r} needs a port: write {scheme}://{rest}:{USUAL_PORTS.get(scheme, 3031)}")
    return Bind(address, scheme)


def parse_address(text: str) -> Address:
    """The address that `text` means; ValueError says what to write instead."""
    text = text.strip()
    if text.startswith("unix:"):
        return _parse_unix(text)
    if text.startswith("fd:"):
        return _parse_fd(text)
    scheme, separator, rest = text.partition("://")
    if separator and scheme != "tcp":
        raise ValueError(
            f"{text!r}: bind does not support {scheme}://: write HOST:PORT, https://HOST:PORT or unix:PATH"
        )
    if text.startswith(("/", "./", "../")):
        return _parse_unix(f"unix:{text}")
    return _parse_tcp(rest if separator else text, text)


def _parse_unix(text: str) -> UnixAddress:
    # unix://PATH is what systemd, Docker and Gunicorn's own users write; the path itself keeps its slash.
    path = text.removeprefix("unix:").removeprefix("//")
    # A shell cannot pass a real NUL, so the two characters \0 mean it too.
    for marker in ("@", "\0", "\\0"):
        if path.startswith(marker):
            name = path.removeprefix(marker)
            if not name:
                raise ValueError(f"{text!r} has no name: write unix:@NAME")
            return UnixAddress(name, abstract=True)
    if not path:
        raise ValueError(f"{text!r} has no path: write unix:/run/tricorn.sock")
    if "\0" in path:
        raise ValueError(f"{text!r}: a path cannot contain a NUL byte")
    return UnixAddress(path)


def _parse_fd(text: str) -> FdAddress:
    number = text.removeprefix("fd://")
    if not _is_number(number):
        raise ValueError(f"{text!r} is not a descriptor: write fd://N with a number, such as fd://3")
    return FdAddress(int(number))


def _parse_tcp(text: str, written: str) -> TcpAddress:
    if not text:
        raise ValueError(f"{written!r} is empty: write HOST:PORT, such as 127.0.0.1:{DEFAULT_PORT}")
    if "/" in text:
        raise ValueError(f"{written!r}: an address must not have a path: write HOST:PORT")
    if text.startswith("["):
        return _parse_bracketed(text, written)
    if text.count(":") > 1:
        raise ValueError(f"{written!r}: an IPv6 address needs brackets: write [::1]:{DEFAULT_PORT}")
    host, colon, port = text.partition(":")
    if not colon and _is_number(host):
        raise ValueError(f"{written!r} is a number without a host: write :{host} or 127.0.0.1:{host}")
    # An empty host is every IPv4 interface, as in Gunicorn; [::]:PORT asks for IPv6.
    return TcpAddress(host or "0.0.0.0", _parse_port(port, colon, written))


def _parse_bracketed(text: str, written: str) -> TcpAddress:
    host, bracket, rest = text[1:].partition("]")
    if not bracket or (rest and not rest.startswith(":")):
        raise ValueError(f"{written!r}: write [::1]:{DEFAULT_PORT}")
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        raise ValueError(
            f"{written!r}: {host!r} is not an IPv6 address, and brackets are only for IPv6"
        ) from None
    return TcpAddress(host, _parse_port(rest[1:], rest, written))


def _parse_port(port: str, given: str, written: str) -> int:
    if not given:
        return DEFAULT_PORT
    if not _is_number(port) or int(port) > 65535:
        raise ValueError(f"{written!r}: {port!r} is not a port: write a number from 0 to 65535")
    return int(port)


def _is_number(text: str) -> bool:
    # str.isdigit() alone also takes digits of other scripts; six digits are more than any port has.
    return text.isascii() and text.isdigit() and len(text) <= 6


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
