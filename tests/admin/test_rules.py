"""Where control may be served, and to whom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tricorn.admin.rules import TOKEN_MAX, TOKEN_MIN, check, is_in_the_clear, token_of
from tricorn.config.errors import ConfigError
from tricorn.config.settings import Settings

TOKEN = "x" * TOKEN_MIN
MUTUAL = {"certfile": "site.pem", "ca_certs": "ca.pem", "cert_reqs": 2}


@pytest.mark.parametrize(
    "values",
    [
        {"admin_bind": None},
        {"admin_bind": "unix:/run/site/admin.sock"},
        {"admin_bind": "127.0.0.1:9000", "admin_token": TOKEN},
        {"admin_bind": "0.0.0.0:9000", "admin_token_file": "token"},
        {"admin_bind": "https://0.0.0.0:9000", **MUTUAL},
        {"admin_bind": "https://0.0.0.0:9000", "certfile": "site.pem", "admin_token": TOKEN},
        {"admin_bind": "unix:@admin", "admin_token": TOKEN},
    ],
)
def test_what_is_safe(values: dict[str, Any]) -> None:
    check(Settings(**values))


@pytest.mark.parametrize(
    "values",
    [
        {"admin_bind": "127.0.0.1:9000"},
        {"admin_bind": "[::1]:9000"},
        {"admin_bind": "unix:@admin"},  # it has no mode
        {"admin_bind": "fd://7"},
        {"admin_bind": "http://127.0.0.1:9000", **MUTUAL},
        {"admin_bind": "127.0.0.1:9000", **MUTUAL},
        {"admin_bind": "https://127.0.0.1:9000", **MUTUAL, "cert_reqs": 1},
        {"admin_bind": "https://127.0.0.1:9000", "certfile": "site.pem", "cert_reqs": 2},
    ],
)
def test_what_is_not(values: dict[str, Any]) -> None:
    with pytest.raises(
        ValueError, match="could control the server, because nobody is asked who he is; write a"
    ):
        check(Settings(**values))


def test_tls_needs_a_certificate() -> None:
    with pytest.raises(ValueError, match="needs a certificate; set certfile and keyfile"):
        check(Settings(admin_bind="https://127.0.0.1:9000", admin_token=TOKEN))


def test_it_is_asked_by_http() -> None:
    with pytest.raises(ValueError, match="it is asked by HTTP; write http:// or https://"):
        check(Settings(admin_bind="uwsgi://127.0.0.1:9000", admin_token=TOKEN))
    check(Settings(admin_bind="127.0.0.1:9000", admin_token=TOKEN, protocol="uwsgi"))


def test_the_token_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\nwhatever\n")
    assert token_of(Settings(admin_token_file="token", chdir=str(tmp_path))) == TOKEN
    assert token_of(Settings(admin_token=TOKEN)) == TOKEN
    assert token_of(Settings()) is None


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        (b"short\n", 0o600, "has 5 characters, not 16 to 1024"),
        (b"", 0o600, "has 0 characters"),
        (b"x" * (TOKEN_MAX + 1), 0o600, "not 16 to 1024"),
        (b"x" * 16 + b" " + b"x" * 16, 0o600, "characters that do not fit into a header"),
        ("ä".encode() * 20, 0o600, "characters that do not fit into a header"),
        (b"\xff" * 20, 0o600, "is not text"),
        (b"x" * 20, 0o620, "others can write to"),
    ],
)
def test_a_token_that_is_none(content: bytes, mode: int, said: str, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)
    path.chmod(mode)
    with pytest.raises(ConfigError, match=said) as caught:
        token_of(Settings(admin_token_file=str(path)))
    assert caught.value.setting == "admin_token_file"
    assert TOKEN not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        token_of(Settings(admin_token_file=str(tmp_path / "token")))
    with pytest.raises(ConfigError, match="admin_token is set too"):
        token_of(Settings(admin_token_file="token", admin_token=TOKEN))


@pytest.mark.parametrize(
    ("address", "is_clear"),
    [
        ("127.0.0.1:9000", False),
        ("localhost:9000", False),
        ("[::1]:9000", False),
        ("unix:/run/admin.sock", False),
        ("10.0.0.1:9000", True),
        ("0.0.0.0:9000", True),
        ("https://10.0.0.1:9000", False),
    ],
)
def test_who_could_overhear_the_token(address: str, is_clear: bool) -> None:
    assert is_in_the_clear(Settings(admin_bind=address)) is is_clear
