"""Forms of `bind`, and what start-up lines make of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tricorn.net.address import (
    Address,
    Bind,
    FdAddress,
    TcpAddress,
    UnixAddress,
    parse_address,
    parse_bind,
    shown,
)

GOOD: list[tuple[str, Address, str]] = [
    ("127.0.0.1:80", TcpAddress("127.0.0.1", 80), "http://127.0.0.1:80"),
    ("127.0.0.1", TcpAddress("127.0.0.1", 8000), "http://127.0.0.1:8000"),
    ("localhost", TcpAddress("localhost", 8000), "http://localhost:8000"),
    (":5000", TcpAddress("0.0.0.0", 5000), "http://0.0.0.0:5000"),
    ("host:0", TcpAddress("host", 0), "http://host:0"),
    ("[::1]:80", TcpAddress("::1", 80), "http://[::1]:80"),
    ("[::]", TcpAddress("::", 8000), "http://[::]:8000"),
    ("tcp://1.2.3.4:5", TcpAddress("1.2.3.4", 5), "http://1.2.3.4:5"),
    ("tcp://[::1]:5", TcpAddress("::1", 5), "http://[::1]:5"),
    ("  1.2.3.4:5 ", TcpAddress("1.2.3.4", 5), "http://1.2.3.4:5"),
    ("unix:/run/x.sock", UnixAddress("/run/x.sock"), "unix:/run/x.sock"),
    ("/run/x.sock", UnixAddress("/run/x.sock"), "unix:/run/x.sock"),
    ("./x.sock", UnixAddress("./x.sock"), "unix:./x.sock"),
    ("unix:///run/x.sock", UnixAddress("/run/x.sock"), "unix:/run/x.sock"),
    ("unix:x.sock", UnixAddress("x.sock"), "unix:x.sock"),
    ("unix:/odd://name", UnixAddress("/odd://name"), "unix:/odd://name"),
    ("unix:@shop", UnixAddress("shop", abstract=True), "unix:@shop"),
    ("unix:\0shop", UnixAddress("shop", abstract=True), "unix:@shop"),
    ("unix:\\0shop", UnixAddress("shop", abstract=True), "unix:@shop"),
    ("fd://3", FdAddress(3), "fd://3"),
]

BAD: list[tuple[str, str]] = [
    ("", "write HOST:PORT"),
    ("tcp://", "write HOST:PORT"),
    ("8000", "write :8000 or 127.0.0.1:8000"),
    ("host:", "'' is not a port"),
    ("host:http", "'http' is not a port"),
    ("host:65536", "from 0 to 65535"),
    ("host:-1", "is not a port"),
    ("host:٣", "is not a port"),
    ("::1", "write [::1]:8000"),
    ("::1:80", "needs brackets"),
    ("[::1", "write [::1]:8000"),
    ("[::1]80", "write [::1]:8000"),
    ("[::1]:", "is not a port"),
    ("[host]:80", "is not an IPv6 address"),
    ("http://host:80", "bind does not support http://"),
    ("host:80/path", "an address must not have a path"),
    ("unix:", "write unix:/run/tricorn.sock"),
    ("unix:@", "write unix:@NAME"),
    ("unix:/a\0b", "NUL"),
    ("fd://", "write fd://N"),
    ("fd://x", "write fd://N"),
    ("fd:3", "write fd://N"),
]


SCHEMES: list[tuple[str, Bind]] = [
    ("host:80", Bind(TcpAddress("host", 80))),
    ("tcp://host:80", Bind(TcpAddress("host", 80))),
    ("https://0.0.0.0:443", Bind(TcpAddress("0.0.0.0", 443), "https")),
    (" http://[::]:80 ", Bind(TcpAddress("::", 80), "http")),
    ("https://:443", Bind(TcpAddress("0.0.0.0", 443), "https")),
    ("https://unix:/run/x.sock", Bind(UnixAddress("/run/x.sock"), "https")),
    ("http://unix:@name", Bind(UnixAddress("name", abstract=True), "http")),
    ("http://fd://3", Bind(FdAddress(3), "http")),
    ("unix:/run/http://x", Bind(UnixAddress("/run/http://x"))),
    ("uwsgi://127.0.0.1:3031", Bind(TcpAddress("127.0.0.1", 3031), "uwsgi")),
    ("suwsgi://[::1]:3031", Bind(TcpAddress("::1", 3031), "suwsgi")),
    ("uwsgi://unix:/run/x.sock", Bind(UnixAddress("/run/x.sock"), "uwsgi")),
    ("uwsgi://unix:///run/x.sock", Bind(UnixAddress("/run/x.sock"), "uwsgi")),
    ("uwsgi:///run/x.sock", Bind(UnixAddress("/run/x.sock"), "uwsgi")),
    ("uwsgi://fd://3", Bind(FdAddress(3), "uwsgi")),
]

#: A bind, what is spoken where nothing else is said, whether it is for TLS → whether the uwsgi protocol is
#: spoken, and what the log calls the address.
SPOKEN = [
    ("host:80", "http", False, False, "http://host:80"),
    ("host:80", "http", True, False, "https://host:80"),
    ("host:80", "uwsgi", False, True, "uwsgi://host:80"),
    ("host:80", "uwsgi", True, True, "suwsgi://host:80"),
    ("http://host:80", "uwsgi", False, False, "http://host:80"),
    ("https://host:80", "uwsgi", True, False, "https://host:80"),
    ("uwsgi://host:80", "http", False, True, "uwsgi://host:80"),
    ("suwsgi://[::1]:80", "http", True, True, "suwsgi://[::1]:80"),
    ("unix:/run/x", "http", False, False, "unix:/run/x"),
    ("unix:/run/x", "uwsgi", False, True, "uwsgi://unix:/run/x"),
    ("suwsgi://unix:@x", "http", True, True, "suwsgi://unix:@x"),
    ("uwsgi://fd://3", "http", False, True, "uwsgi://fd://3"),
]


@pytest.mark.parametrize(("text", "usual", "tls", "uwsgi", "called"), SPOKEN)
def test_what_is_spoken(text: str, usual: str, tls: bool, uwsgi: bool, called: str) -> None:
    bind = parse_bind(text)
    assert bind.speaks_uwsgi(usual) == uwsgi
    assert bind.is_for_tls in (None, tls)
    assert shown(bind.address, tls, uwsgi) == called
    if "://" in called:
        assert parse_bind(called).speaks_uwsgi("http") == uwsgi


@pytest.mark.parametrize(("text", "bind"), SCHEMES)
def test_schemes(text: str, bind: Bind) -> None:
    assert parse_bind(text) == bind


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("https://host", "needs a port: write https://host:443"),
        ("http://[::1]", "needs a port: write http://[::1]:80"),
        ("https://tcp://host", "needs a port"),
        ("https://", "write HOST:PORT"),
        ("https://host:443/", "must not have a path"),
        ("https://http://host:1", "bind does not support http://"),
        ("HTTPS://host:1", "bind does not support HTTPS://"),
        ("tls://host:1", "write HOST:PORT, https://HOST:PORT"),
        ("uwsgi://host", "needs a port: write uwsgi://host:3031"),
        ("fastcgi://host:1", "bind does not support fastcgi://"),
        ("https://443", "is a number without a host"),
    ],
)
def test_bad_schemes(text: str, instead: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # the message is what is tested
        parse_bind(text)
    assert instead in str(caught.value)


@pytest.mark.parametrize(("text", "address", "shown"), GOOD, ids=[ascii(case[0]) for case in GOOD])
def test_good(text: str, address: Address, shown: str) -> None:
    assert parse_address(text) == address
    assert str(address) == shown


@pytest.mark.parametrize(("text", "instead"), BAD, ids=[ascii(case[0]) for case in BAD])
def test_bad(text: str, instead: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # the message is what is tested
        parse_address(text)
    assert instead in str(caught.value)


@given(st.text())
def test_any_text_is_an_address_or_a_value_error(text: str) -> None:
    try:
        address = parse_address(text)
    except ValueError:
        return
    assert str(address)


def test_what_the_kernel_takes() -> None:
    assert UnixAddress("/run/x").sockaddr == b"/run/x"
    assert UnixAddress("x", abstract=True).sockaddr == b"\0x"
