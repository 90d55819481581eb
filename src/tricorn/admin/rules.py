"""Who may control the server over HTTP: which settings of `admin_bind` are safe.

Knows: settings, addresses. Must not know: HTTP, what is served.

A socket file lets in whoever its mode lets in. Anything else is open to more than the server's user, so there
the caller has to show who he is: by a token, or by a certificate that `ca_certs` has signed.
"""

from __future__ import annotations

import ipaddress
import os

from tricorn.config.errors import ConfigError
from tricorn.config.settings import Settings
from tricorn.net.address import Address, TcpAddress, UnixAddress, parse_bind

#: Of a token. 16 characters of letters and digits are 95 bits, if somebody has drawn them.
TOKEN_MIN = 16
TOKEN_MAX = 1024

#: The same that ssl.CERT_REQUIRED is; a server without TLS imports no ssl.
CERT_REQUIRED = 2

HINT = (
    "write a token into a file and set admin_token_file (`openssl rand -hex 32` makes one), or listen at "
    "https:// with ca_certs and cert_reqs = required, or at a socket file (unix:/run/mysite/admin.sock)"
)


def speaks_tls(settings: Settings) -> bool:
    return parse_bind(settings.admin_bind or "").scheme == "https"


def check(settings: Settings) -> None:
    """Raises ValueError; the text says what to write instead. What is in files `token_of` looks at."""
    if settings.admin_bind is None:
        return
    bind = parse_bind(settings.admin_bind)
    if bind.scheme is not None and bind.speaks_uwsgi(""):
        raise ValueError(f"{settings.admin_bind}: it is asked by HTTP; write http:// or https://")
    address = bind.address
    is_tls = speaks_tls(settings)
    if is_tls and settings.certfile is None and not settings.certificates:
        raise ValueError(f"{settings.admin_bind} needs a certificate; set certfile and keyfile")
    is_file = isinstance(address, UnixAddress) and not address.abstract
    has_token = settings.admin_token is not None or settings.admin_token_file is not None
    shows_certificate = is_tls and settings.cert_reqs == CERT_REQUIRED and settings.ca_certs is not None
    if not (is_file or has_token or shows_certificate):
        raise ValueError(
            f"whoever reaches {settings.admin_bind} could control the server, because nobody is asked who he "
            f"is; {HINT}"
        )


def token_of(settings: Settings) -> str | None:
    """None: there is none, and none is needed. Raises ConfigError."""
    if settings.admin_token is not None and settings.admin_token_file is not None:
        raise ConfigError("admin_token_file", "", "admin_token is set too", "set one of them")
    if settings.admin_token_file is None:
        return _checked("admin_token", "it", settings.admin_token)
    path = os.path.join(settings.chdir, settings.admin_token_file)
    try:
        with open(path, encoding="utf-8") as file:
            token = file.readline(TOKEN_MAX + 2).strip()
            status = os.fstat(file.fileno())
    except OSError as error:
        raise _wrong("admin_token_file", f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise _wrong("admin_token_file", f"{path} is not text") from None
    if status.st_mode & 0o022:
        raise ConfigError("admin_token_file", "", f"others can write to {path}", f"write chmod go-w {path}")
    return _checked("admin_token_file", f"the first line of {path}", token)


def is_in_the_clear(settings: Settings) -> bool:
    """Whether the token crosses a network unencrypted."""
    if settings.admin_bind is None or speaks_tls(settings):
        return False
    address = parse_bind(settings.admin_bind).address
    return not isinstance(address, UnixAddress) and not _is_loopback(address)


def _is_loopback(address: Address) -> bool:
    if not isinstance(address, TcpAddress):
        return False
    try:
        return ipaddress.ip_address(address.host).is_loopback
    except ValueError:
        return address.host == "localhost"


def _checked(setting: str, what: str, token: str | None) -> str | None:
    if token is None:
        return None
    if not TOKEN_MIN <= len(token) <= TOKEN_MAX:
        raise _wrong(setting, f"{what} has {len(token)} characters, not {TOKEN_MIN} to {TOKEN_MAX}")
    if not (token.isascii() and token.isprintable() and " " not in token):
        raise _wrong(setting, f"{what} has characters that do not fit into a header")
    return token


def _wrong(setting: str, message: str) -> ConfigError:
    return ConfigError(
        setting, "", message, "write a line of letters and digits, as from openssl rand -hex 32"
    )
