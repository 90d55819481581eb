"""Makes an `ssl.SSLContext` for a certificate, as the settings ask for it.

Knows: Python's ssl module, Gunicorn's hook `ssl_context`. Must not know: files, SNI, sockets.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tricorn.config.errors import ConfigError
from tricorn.config.functions import function_of
from tricorn.config.settings import Settings
from tricorn.records import replace
from tricorn.tls import kernel
from tricorn.tls.material import Material, Pair, load_pair, trust
from tricorn.tls.rules import offered

MINIMUM_VERSIONS: Mapping[str, ssl.TLSVersion] = {
    "1.2": ssl.TLSVersion.TLSv1_2,
    "1.3": ssl.TLSVersion.TLSv1_3,
}

#: Renegotiation lets a client make the server do a handshake again and again (TLS 1.2); nothing needs it.
#: Compression tells how alike secret and chosen text are (CRIME).
OPTIONS = ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE


#: Of TLS 1.2, unless the settings say otherwise: a key for each session (ECDHE) and authenticated encryption.
#: These are the suites of Mozilla's intermediate profile but for DHE, which needs parameters that nobody has
#: set. Python's own choice has CBC suites, too, whose padding has been attacked again and again (LUCKY13);
#: every client of these years has better ones.
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


class ContextMaker:
    """One way to make contexts. Raises ConfigError, as `make` does.

    uses_kernel: connections give the keys of what they send to the kernel, if it takes them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._protocols = offered(settings)
        self._hook = maybe_hook(settings)
        self.uses_kernel = False

    def make(self, pair: Pair, material: Material) -> ssl.SSLContext:
        """A context that shows this certificate."""
        context = self._make(pair, material) if self._hook is None else self._ask(self._hook, pair, material)
        context.options = context.options & ~kernel.ENABLE | (kernel.ENABLE if self.uses_kernel else 0)
        return context

    def obstacle(self, pair: Pair, material: Material) -> str | None:
        """Why the kernel would not take the keys. None: it would."""
        context = self._make(pair, material)
        context.options |= kernel.ENABLE
        return kernel.obstacle(context)

    def _ask(self, hook: Callable[..., Any], pair: Pair, material: Material) -> ssl.SSLContext:
        settings = replace(self._settings, certfile=pair.certfile, keyfile=pair.keyfile)
        try:
            made = hook(settings, lambda: self._make(pair, material))
        except ConfigError:
            raise
        except Exception as error:
            what = f"the function raised {type(error).__name__}: {error}"
            raise ConfigError("ssl_context", "", what, "mend it, or leave it out") from error
        return _usable(made)

    def _make(self, pair: Pair, material: Material) -> ssl.SSLContext:
        settings = self._settings
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = MINIMUM_VERSIONS[settings.tls_minimum_version]
        context.options |= OPTIONS
        context.set_alpn_protocols(self._protocols)
        set_ciphers(context, CIPHERS if settings.ciphers is None else settings.ciphers)
        context.verify_mode = ssl.VerifyMode(settings.cert_reqs)
        try:
            load_pair(context, pair.pem, material.password)
            trust(context, material)
        except ssl.SSLError as error:
            # All of it was tried already, so it does not go with the ciphers, if any are set: @SECLEVEL=3.
            setting = "certfile" if settings.ciphers is None else "ciphers"
            what = f"OpenSSL does not use {pair.certfile} with these settings: {error}"
            raise ConfigError(setting, "", what, "leave the ciphers to Tricorn") from error
        return context


def set_ciphers(context: ssl.SSLContext, ciphers: str) -> None:
    try:
        context.set_ciphers(ciphers)
    except ssl.SSLError as error:
        hint = "`openssl ciphers -v` lists what there is"
        if "TLS_" in ciphers:
            hint = "those of TLS 1.3 (TLS_…) are always on, and cannot be chosen here; name those of TLS 1.2"
        what = f"{ciphers!r} leaves no cipher for TLS 1.2 that {ssl.OPENSSL_VERSION} has"
        raise ConfigError("ciphers", "", what, hint) from error


def unknown_ciphers(ciphers: str) -> Iterator[str]:
    """OpenSSL leaves out silently what it does not know, so that a misspelt cipher is not there."""
    for word in ciphers.replace(",", ":").replace(" ", ":").split(":"):
        if word and word[0] not in "!-+@":
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).set_ciphers(word)
            except ssl.SSLError:
                yield word


def maybe_hook(settings: Settings) -> Callable[..., Any] | None:
    """The function of the settings, imported if they name it. Raises ConfigError."""
    hook = settings.ssl_context
    return None if hook is None else function_of("ssl_context", hook)


def _usable(made: object) -> ssl.SSLContext:
    if not isinstance(made, ssl.SSLContext):
        what = f"the function returned {type(made).__name__}, not an ssl.SSLContext"
        raise ConfigError("ssl_context", "", what, "return default_ssl_context_factory(), or one of your own")
    if made.protocol == ssl.PROTOCOL_TLS_CLIENT:
        what = "the function returned a context for clients"
        raise ConfigError("ssl_context", "", what, "make it with ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)")
    return made
