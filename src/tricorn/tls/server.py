"""TLS as the whole server has it: which context, which certificate for whom.

Knows: contexts, names. Must not know: connections, processes, when files change.

Made once, in the master before the first fork. That matters: OpenSSL makes the keys of session tickets with a
context, so a client may resume at any worker what it began at another only if they have the context from one
maker. For the same reason there is one context for as long as the settings stay, `context`, and all TLS
connections are made with it. It is never changed. A certificate is renewed by making new contexts beside it,
to which a connection switches when its client has said hello; OpenSSL goes on using the ticket keys, the
options and the number of tickets of the first.

Why not `load_cert_chain` once more on the same context? A pair that does not fit takes its key away, so no
handshake succeeds until the next one; and while it loads, other threads copy from what it is changing.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import datetime
from weakref import WeakKeyDictionary

from tricorn.config.errors import ConfigError
from tricorn.config.settings import Settings
from tricorn.records import dataclass
from tricorn.tls import kernel, rules
from tricorn.tls.certificate import Certificate, DistinguishedName
from tricorn.tls.context import ContextMaker, unknown_ciphers
from tricorn.tls.distinguished import OPENSSL, text_of
from tricorn.tls.material import Material, Pair, read_material, revocation_lists
from tricorn.tls.sni import NameTable

#: From when on the end of a certificate is a warning, days. Let's Encrypt's are renewed 30 days before it.
SOON = 14

#: The settings that make contexts what they are. If one changes, so do the ticket keys.
SETTINGS = (
    *("certfile", "keyfile", "keyfile_password", "keyfile_password_file", "certificates", "chdir"),
    *("ca_certs", "cert_reqs", "crlfile", "ciphers", "tls_minimum_version", "kernel_tls", "ssl_context"),
    "http_protocols",
)


@dataclass(frozen=True)
class _Chosen:
    """What a client may get, in one piece: replaced as a whole, so that any thread may look at any time."""

    default: ssl.SSLContext
    by_name: NameTable[ssl.SSLContext]


@dataclass(frozen=True)
class Remark:
    """A line for the log. is_warning: something has to be done about it."""

    text: str
    is_warning: bool = False


class ServerTLS:
    """context: what each TLS connection is made with. material: what it shows now."""

    def __init__(self, settings: Settings) -> None:
        """Reads the files. Raises ConfigError."""
        rules.check(settings)
        self.settings = settings
        self.material = read_material(settings)
        self._maker = ContextMaker(settings)
        self._maker.uses_kernel = self._finds_kernel()
        #: By context: the certificate that it shows, in PEM.
        self._shown: WeakKeyDictionary[ssl.SSLContext, str] = WeakKeyDictionary()
        self._chosen = self._make(self.material)
        self.context = self._chosen.default
        if is_free(self.context):
            self.context.sni_callback = self._choose
        elif len(self.material.pairs) > 1:
            hint = "choose by name in one of both places"
            raise ConfigError(
                "ssl_context", "", "the context has an sni_callback, and certificates are set", hint
            )

    @property
    def is_renewable(self) -> bool:
        """Not if the hook's context chooses by itself what it shows."""
        return self.context.sni_callback == self._choose

    def use(self, material: Material) -> None:
        """Show these certificates to all who come from now on. Raises ConfigError, and nothing changes."""
        self._chosen = self._make(material)
        self.material = material

    def shown_by(self, context: ssl.SSLContext) -> str | None:
        """The certificate (PEM) that a connection with this context (its attribute `context`) showed."""
        return self._shown.get(context)

    def is_same(self, settings: Settings) -> bool:
        """Whether these settings want the same contexts, but for the files' content."""
        return all(getattr(settings, name) == getattr(self.settings, name) for name in SETTINGS)

    def _finds_kernel(self) -> bool:
        """Whether the kernel is to encrypt what is sent. Raises ConfigError if it must and cannot."""
        wish, first = self.settings.kernel_tls, self.material.pairs[0]
        if wish == "off" or (wish == "auto" and not kernel.is_loaded()):
            return False
        obstacle = self._maker.obstacle(first, self.material)
        if obstacle is not None and wish == "on":
            hint = "load the module (`modprobe tls`), or write auto, which does without"
            raise ConfigError("kernel_tls", "", f"the kernel cannot encrypt what is sent: {obstacle}", hint)
        return obstacle is None

    def _make(self, material: Material) -> _Chosen:
        made = [(pair.leaf, self._maker.make(pair, material)) for pair in material.pairs]
        for leaf, context in made:
            self._shown[context] = ssl.DER_cert_to_PEM_cert(leaf.der)
        return _Chosen(made[0][1], NameTable((leaf.dns, context) for leaf, context in made))

    def _choose(
        self, connection: ssl.SSLSocket | ssl.SSLObject, name: str | None, first: ssl.SSLContext
    ) -> None:
        """OpenSSL calls this in each handshake, also if the client names nobody."""
        chosen = self._chosen
        context = (name and chosen.by_name.find(name)) or chosen.default
        if context is not first:
            connection.context = context

    # ------------------------------------------------------------------------------------ what to say

    def remarks(self, now: datetime) -> Iterator[Remark]:
        """A line for each certificate, with the days left, and what is wrong with it although it works."""
        for pair in self.material.pairs:
            yield _described(pair, pair.leaf, now)
            yield from _doubts(pair)
        contested = NameTable((pair.leaf.dns, pair) for pair in self.material.pairs).contested
        for name in dict.fromkeys(contested):
            yield Remark(f"Several certificates are for {name}: the first of them is shown", True)
        for revoked in revocation_lists(self.material.revocations):
            if revoked.next_update is not None and revoked.next_update <= now:
                issuer = text_of(revoked.issuer, OPENSSL)
                when = day(revoked.next_update)
                what = f"The revocation list of {issuer} expired on {when}: its clients will be refused"
                yield Remark(what, True)
        for word in unknown_ciphers(self.settings.ciphers or ""):
            yield Remark(f"ciphers: {ssl.OPENSSL_VERSION} does not know {word}, and leaves it out", True)
        if self._maker.uses_kernel:
            yield Remark("The kernel encrypts what is sent over TLS (kernel_tls)")
        if not self.is_renewable:
            yield Remark("ssl_context: its context has an sni_callback; renewed files need a reload (HUP)")

    def expiring(self, now: datetime) -> Iterator[Remark]:
        """The certificates that need attention."""
        for pair in self.material.pairs:
            if (remark := _described(pair, pair.leaf, now)).is_warning:
                yield remark


def is_free(context: ssl.SSLContext) -> bool:
    """Whether nobody chooses in it. The hook may give a context that it has given before a reload: then it
    was we who chose."""
    callback = context.sni_callback
    return callback is None or getattr(callback, "__func__", None) is ServerTLS._choose


# --------------------------------------------------------------------------------------------- words


def _described(pair: Pair, leaf: Certificate, now: datetime) -> Remark:
    what = f"Certificate {pair.certfile} for {names_of(leaf)}"
    if leaf.not_before > now:
        return Remark(f"{what} is not valid before {day(leaf.not_before)}: clients will refuse it", True)
    left = leaf.days_left(now)
    if left < 0:
        return Remark(f"{what} expired on {day(leaf.not_after)}: clients will refuse it", True)
    days = "1 day" if left == 1 else f"{left} days"
    return Remark(f"{what} expires on {day(leaf.not_after)}, in {days}", left < SOON)


def _doubts(pair: Pair) -> Iterator[Remark]:
    leaf = pair.leaf
    if not leaf.dns and not leaf.addresses:
        # RFC 9525 §2: a common name is not looked at.
        yield Remark(f"Certificate {pair.certfile} has no subjectAltName: clients will refuse it", True)


def names_of(leaf: Certificate) -> str:
    names = (*leaf.dns, *leaf.addresses) or (_common_name(leaf.subject),)
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _common_name(name: DistinguishedName) -> str:
    return text_of(name, OPENSSL) or "nobody"


def day(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%d %H:%M UTC")
