"""How the settings of TLS go together, and which listeners it is for.

Knows: settings and addresses. Must not know: files, contexts. It imports no ssl, so a server without TLS need
not either.
"""

from __future__ import annotations

from collections.abc import Callable

from tricorn.config.errors import ConfigError
from tricorn.config.settings import Settings
from tricorn.net.address import Address, TcpAddress, parse_bind, shown
from tricorn.records import dataclass

#: What `http_protocols` calls them → what ALPN does (RFC 7301). A client that offers none of these, or
#: nothing, gets HTTP/1.1 too.
PROTOCOLS = {"h1": "http/1.1", "h2": "h2"}


def offered(settings: Settings) -> list[str]:
    """By ALPN, best first."""
    names = [PROTOCOLS[name] for name in settings.http_protocols]
    return list(dict.fromkeys([*names, PROTOCOLS["h1"]]))


def is_wanted(settings: Settings) -> bool:
    """Whether there is a certificate: without one there is no TLS."""
    return settings.certfile is not None or bool(settings.certificates)


def speaks_tls(bind: str, address: Address, settings: Settings) -> bool:
    """Whether a listener is for TLS. bind: what the settings say of it. address: where it listens, which for
    a socket that was handed over shows only when it is open.

    Its scheme decides. Without one TCP is for TLS if there is a certificate, as in Gunicorn, and a
    Unix socket is not: who can reach it is on this machine.
    """
    said = parse_bind(bind).is_for_tls
    if said is not None:
        return said
    return is_wanted(settings) and isinstance(address, TcpAddress)


def called(settings: Settings, bind: str, address: Address) -> str:
    """A listener, as the log and clients call it."""
    is_uwsgi = parse_bind(bind).speaks_uwsgi(settings.protocol)
    return shown(address, speaks_tls(bind, address, settings), is_uwsgi)


@dataclass(frozen=True)
class Rule:
    """setting: which one is to blame. is_broken: by these settings; then message and hint say what to do."""

    setting: str
    is_broken: Callable[[Settings], bool]
    message: str
    hint: str


RULES = (
    Rule(
        "bind",
        lambda s: not is_wanted(s) and any(parse_bind(bind).scheme == "https" for bind in s.bind),
        "https:// needs a certificate",
        "set certfile and keyfile",
    ),
    Rule(
        "bind",
        lambda s: not is_wanted(s) and any(parse_bind(bind).scheme == "suwsgi" for bind in s.bind),
        "suwsgi:// needs a certificate",
        "set certfile and keyfile",
    ),
    Rule(
        "keyfile",
        lambda s: s.keyfile is not None and s.certfile is None,
        "there is no certificate for this key",
        "set certfile too",
    ),
    Rule(
        "keyfile_password_file",
        lambda s: s.keyfile_password_file is not None and s.keyfile_password is not None,
        "keyfile_password is set too",
        "set one of them",
    ),
    Rule(
        "cert_reqs",
        lambda s: bool(s.cert_reqs) and not is_wanted(s),
        "client certificates need TLS, and the server has no certificate of its own",
        "set certfile and keyfile",
    ),
    Rule(
        "cert_reqs",
        lambda s: bool(s.cert_reqs) and s.ca_certs is None and s.ssl_context is None,
        "asks for client certificates, and nothing says who may sign them",
        "set ca_certs",
    ),
    Rule(
        "crlfile",
        lambda s: s.crlfile is not None and not s.cert_reqs,
        "nobody is asked for a certificate that could be revoked",
        "set cert_reqs to required",
    ),
)


def check(settings: Settings) -> None:
    """Raises ConfigError for settings that contradict each other."""
    for rule in RULES:
        if rule.is_broken(settings):
            origin = settings.origins.get(rule.setting, "")
            raise ConfigError(rule.setting, origin, rule.message, rule.hint)
