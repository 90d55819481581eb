"""How the settings of TLS go together, and which listeners it is for."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from tricorn.config.errors import ConfigError
from tricorn.config.settings import SETTINGS, Settings
from tricorn.net.address import Address, FdAddress, TcpAddress, UnixAddress
from tricorn.tls import server
from tricorn.tls.rules import check, speaks_tls

TCP, UNIX, FD = TcpAddress("0.0.0.0", 443), UnixAddress("/run/x.sock"), FdAddress(3)
PAIR: dict[str, Any] = {"certfile": "x.pem"}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"bind": (":80", "https://:443")}, "bind: https:// needs a certificate; set certfile and keyfile"),
        ({"bind": ("suwsgi://:1",)}, "bind: suwsgi:// needs a certificate; set certfile and keyfile"),
        ({"keyfile": "x.key"}, "keyfile: there is no certificate for this key; set certfile too"),
        ({"keyfile": "x.key", "certificates": ("more",)}, "keyfile: there is no certificate"),
        (
            {**PAIR, "keyfile_password": "a", "keyfile_password_file": "b"},
            "keyfile_password_file: keyfile_password is set too",
        ),
        ({"cert_reqs": 2, "ca_certs": "ca.pem"}, "cert_reqs: client certificates need TLS"),
        ({**PAIR, "cert_reqs": 1}, "cert_reqs: asks for client certificates, and nothing says who may sign"),
        ({**PAIR, "ca_certs": "ca.pem", "crlfile": "x"}, "crlfile: nobody is asked for a certificate"),
    ],
)
def test_contradictions(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check(Settings(**values))
    assert str(caught.value).startswith(said)
    assert "a" not in caught.value.message.split() or "keyfile_password" not in values


@pytest.mark.parametrize(
    "values",
    [
        {},
        PAIR,
        {**PAIR, "keyfile": "x.key"},
        {"certificates": ("more",), "bind": ("https://:443",)},
        {**PAIR, "cert_reqs": 2, "ca_certs": "ca.pem", "crlfile": "x"},
        {**PAIR, "cert_reqs": 2, "ssl_context": "site:context"},  # which may name them itself
    ],
)
def test_what_goes_together(values: dict[str, Any]) -> None:
    check(Settings(**values))


@pytest.mark.parametrize(
    ("bind", "address", "with_certificate", "without"),
    [
        ("0.0.0.0:443", TCP, True, False),
        ("tcp://0.0.0.0:443", TCP, True, False),
        ("http://0.0.0.0:80", TCP, False, False),
        ("https://0.0.0.0:443", TCP, True, True),
        ("unix:/run/x.sock", UNIX, False, False),
        ("https://unix:/run/x.sock", UNIX, True, True),
        ("fd://3", TCP, True, False),  # where a socket listens shows when it is there
        ("fd://3", FD, False, False),
        ("http://fd://3", TCP, False, False),
        ("https://fd://3", FD, True, True),
        ("uwsgi://0.0.0.0:443", TCP, False, False),
        ("suwsgi://unix:/run/x.sock", UNIX, True, True),
    ],
)
def test_speaks_tls(bind: str, address: Address, with_certificate: bool, without: bool) -> None:
    assert speaks_tls(bind, address, Settings(certfile="x.pem")) is with_certificate
    assert speaks_tls(bind, address, Settings()) is without


def test_a_server_without_tls_imports_no_ssl() -> None:
    """It would take its time and its memory, in each worker."""
    code = "import sys, tricorn.launch, tricorn.arbiter.arbiter; print('ssl' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "False\n"


def test_every_setting_of_tls_makes_another_context() -> None:
    """Else a reload would not notice that it has changed."""
    assert {name for name, declared in SETTINGS.items() if declared.section == "TLS"} < set(server.SETTINGS)
