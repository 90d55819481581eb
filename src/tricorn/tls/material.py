"""All that the files of TLS hold, read once and checked: what contexts are made of.

Knows: the settings of TLS, PEM, what OpenSSL accepts. Must not know: sockets, SNI, who asks for it.

Nothing here is kept half: `read_material` gives everything or raises ConfigError with the file and its fault.
What it gives is plain bytes, so it can be handed to another process (renewal.py).
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator, Mapping, Sequence

from tricorn.config.errors import ConfigError
from tricorn.config.settings import Settings
from tricorn.records import dataclass, field
from tricorn.tls.certificate import (
    Certificate,
    RevocationList,
    read_certificate,
    read_revocation_list,
)
from tricorn.tls.der import DERError
from tricorn.tls.files import PairFiles, find_pairs, key_beside, read_file
from tricorn.tls.pem import CERTIFICATES, REVOCATION_LISTS, Block, PEMError, blocks_of, with_labels

UNREADABLE = "is not one that OpenSSL can read"

#: What to do about a lack of descriptors or memory.
LIMITS = "look at the limits of the process (ulimit)"

#: Of a password, in bytes: what Python's ssl module hands to OpenSSL at most.
PASSWORD_MAX = 1024

#: OpenSSL's reasons → what is wrong, and what to do.
REFUSED: Mapping[str, tuple[str, str]] = {
    "EE_KEY_TOO_SMALL": (
        "has a key that is too short to be safe",
        "get one with an RSA key of 2048 bits or more",
    ),
    "CA_KEY_TOO_SMALL": ("holds an authority's certificate with a key that is too short", "replace it"),
    "CA_MD_TOO_WEAK": (
        "is signed with a hash that is not safe any more",
        "get one that is signed with SHA-256",
    ),
}

#: OpenSSL's reasons when certificate and key are not a pair; the last if they are of different kinds.
NO_PAIR = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")


@dataclass(frozen=True)
class Pair:
    """A certificate with its chain and key, as PEM in one piece, which is how OpenSSL takes it."""

    certfile: str
    keyfile: str
    pem: bytes = field(repr=False)

    @property
    def leaf(self) -> Certificate:
        return read_certificate(with_labels(blocks_of(self.pem), CERTIFICATES)[0].der)


@dataclass(frozen=True)
class Material:
    """pairs: the first is for clients that ask for no name, or for one that nobody has. password: of
    encrypted keys. authorities: who may sign client certificates, in DER. revocations: their lists."""

    pairs: tuple[Pair, ...]
    password: str | None = field(default=None, repr=False)
    authorities: bytes = b""
    revocations: bytes = b""


def files_of(settings: Settings) -> tuple[PairFiles, ...]:
    """Where the pairs are. Raises ConfigError if that cannot be told."""

    def absolute(path: str) -> str:
        return os.path.join(settings.chdir, path)

    found: list[PairFiles] = []
    if settings.certfile is not None:
        certfile = absolute(settings.certfile)
        keyfile = certfile if settings.keyfile is None else absolute(settings.keyfile)
        found.append(PairFiles("certfile", certfile, keyfile))
    for path in settings.certificates:
        found += find_pairs("certificates", absolute(path))
    # certfile, which is the default, may also be in a directory of `certificates`.
    unique: dict[str, PairFiles] = {}
    for files in found:
        unique.setdefault(os.path.realpath(files.certfile), files)
    return tuple(unique.values())


def password_of(settings: Settings) -> str | None:
    """The keys' password: its own setting, or the first line of the file that another one names."""
    if settings.keyfile_password_file is None:
        return _short_enough("keyfile_password", settings.keyfile_password)
    path = os.path.join(settings.chdir, settings.keyfile_password_file)
    lines = read_file("keyfile_password_file", path).splitlines()
    try:
        password = lines[0].decode() if lines else ""
    except UnicodeDecodeError:
        raise ConfigError("keyfile_password_file", "", f"{path} is not text", "write it in UTF-8") from None
    if not password:
        raise ConfigError(
            "keyfile_password_file", "", f"{path} has an empty first line", "write the password there"
        )
    return _short_enough("keyfile_password_file", password)


def _short_enough(setting: str, password: str | None) -> str | None:
    if password is not None and len(password.encode()) > PASSWORD_MAX:
        what = f"the password has more than {PASSWORD_MAX} bytes, which OpenSSL does not take"
        raise ConfigError(setting, "", what, "encrypt the key with a shorter one")
    return password


def read_material(settings: Settings) -> Material:
    """Reads and checks every file. Raises ConfigError."""
    password = password_of(settings)
    pairs = tuple(read_pair(files, password) for files in files_of(settings))
    authorities, revocations = b"", b""
    if settings.ca_certs is not None:
        authorities = read_authorities(os.path.join(settings.chdir, settings.ca_certs))
    if settings.crlfile is not None:
        revocations = read_revocations(os.path.join(settings.chdir, settings.crlfile))
    return Material(pairs, password, authorities, revocations)


# ------------------------------------------------------------------------------ certificate and key


def read_pair(files: PairFiles, password: str | None) -> Pair:
    """The certificate and its key, which belong together and which OpenSSL takes. Raises ConfigError."""
    certificates = _certificates_in(files.setting, files.certfile)
    try:
        # Of the others nothing has to be known here, and who made them may have been less strict than we are.
        read_certificate(certificates[0].der)
    except (PEMError, DERError) as error:
        raise _damaged(files.setting, files.certfile, error) from error
    key = _key_in(files, password)
    pem = b"".join(block.text for block in certificates) + key.text
    _try(files, pem, password, key, certificates)
    return Pair(files.certfile, files.keyfile, pem)


def _certificates_in(setting: str, path: str) -> list[Block]:
    """All certificates of a file."""
    content = read_file(setting, path)
    blocks = blocks_of(content)
    found = with_labels(blocks, CERTIFICATES)
    if not found:
        raise _without_certificate(setting, path, content, blocks)
    return found


def _damaged(setting: str, path: str, error: Exception) -> ConfigError:
    return ConfigError(setting, "", f"{path}: a certificate in it {error}", "get the file again")


def _without_certificate(setting: str, path: str, content: bytes, blocks: Sequence[Block]) -> ConfigError:
    if any(block.is_key for block in blocks):
        return ConfigError(
            setting, "", f"{path} holds a key and no certificate", "certfile and keyfile may be exchanged"
        )
    if blocks:
        labels = ", ".join(dict.fromkeys(block.label for block in blocks))
        return ConfigError(setting, "", f"{path} holds no certificate but {labels}", "name the right file")
    return not_pem(setting, path, content)


def not_pem(setting: str, path: str, content: bytes) -> ConfigError:
    if not content.strip():
        return ConfigError(setting, "", f"{path} is empty", "name the right file")
    if content[:1] == b"\x30":
        hint = "convert it with openssl x509 -inform DER, or, if it is PKCS #12 (.pfx), with openssl pkcs12"
        return ConfigError(setting, "", f"{path} is not a PEM file but in a binary form", hint)
    if b"-----BEGIN " in content:
        return ConfigError(setting, "", f"{path} is cut off: a block in it has no end", "get the file again")
    hint = "a PEM file has lines such as -----BEGIN CERTIFICATE-----"
    return ConfigError(setting, "", f"{path} is not a PEM file", hint)


def _key_in(files: PairFiles, password: str | None) -> Block:
    setting, path = files.key_setting, files.keyfile
    content = read_file(setting, path)
    keys = [block for block in blocks_of(content) if block.is_key]
    if not keys:
        raise _without_key(files, content)
    if keys[0].is_encrypted and password is None:
        hint = "put its password into a file and set keyfile_password_file, or set TRICORN_KEYFILE_PASSWORD"
        raise ConfigError(setting, "", f"{path} is encrypted, and there is no password for it", hint)
    return keys[0]


def _without_key(files: PairFiles, content: bytes) -> ConfigError:
    setting, path = files.key_setting, files.keyfile
    if path == files.certfile:
        beside = key_beside(path)
        hint = f"set keyfile, perhaps to {beside}" if beside else "set keyfile"
        if setting == "certificates":
            hint = f"put the key into it, or into {os.path.splitext(path)[0]}.key"
        return ConfigError(files.setting, "", f"{path} holds no private key", hint)
    if with_labels(blocks_of(content), CERTIFICATES):
        hint = "certfile and keyfile may be exchanged"
        return ConfigError(setting, "", f"{path} holds a certificate and no private key", hint)
    if not blocks_of(content):
        return not_pem(setting, path, content)
    return ConfigError(setting, "", f"{path} holds no private key", "name the right file")


def _try(
    files: PairFiles, pem: bytes, password: str | None, key: Block, certificates: Sequence[Block]
) -> None:
    """Let OpenSSL take the pair, in a context that nobody uses."""
    try:
        load_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), pem, password)
    except ssl.SSLError as error:
        reason = error.reason or ""
        if reason in NO_PAIR:
            raise _mismatch(files, key, certificates, password) from error
        raise _refused(files, key, certificates, password, reason) from error


def _mismatch(
    files: PairFiles, key: Block, certificates: Sequence[Block], password: str | None
) -> ConfigError:
    what = f"{files.keyfile} is not the key of the certificate in {files.certfile}"
    if files.keyfile == files.certfile:
        what = f"the key in {files.certfile} is not the key of the certificate in it"
    if any(_fit(other, key, password) for other in certificates[1:]):
        hint = "the server's own certificate must be the first in the file, before those that sign it"
        return ConfigError(files.setting, "", f"{what}, but of another one in it", hint)
    hint = "a new certificate comes with a new key, often: take both from the same place"
    setting = files.setting if files.keyfile == files.certfile else files.key_setting
    return ConfigError(setting, "", what, hint)


def _fit(certificate: Block, key: Block, password: str | None) -> bool:
    try:
        load_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), certificate.text + key.text, password)
    except ssl.SSLError:
        return False
    return True


def _refused(
    files: PairFiles, key: Block, certificates: Sequence[Block], password: str | None, reason: str
) -> ConfigError:
    if reason in REFUSED:
        what, hint = REFUSED[reason]
        return ConfigError(files.setting, "", f"{files.certfile} {what}", hint)
    if len(certificates) > 1 and _fit(certificates[0], key, password):
        return _damaged(files.setting, files.certfile, ValueError(UNREADABLE))
    setting, path = files.key_setting, files.keyfile
    if key.is_encrypted:
        what = f"{path} cannot be decrypted with the password"
        return ConfigError(setting, "", what, "look at keyfile_password")
    # The certificate was read by us already, so it is the key that OpenSSL does not understand.
    says = reason.replace("_", " ").lower() or "it is damaged"
    return ConfigError(setting, "", f"{path}: OpenSSL does not take the key: {says}", "get the file again")


def load_pair(context: ssl.SSLContext, pem: bytes, password: str | None) -> None:
    """`load_cert_chain` takes nothing but files, and reads the two of them one after the other: while they
    are being replaced it may get one old and one new. So it gets a file in memory that nobody replaces."""
    with _memory_file(pem) as path:
        try:
            # Never None: OpenSSL would ask at the terminal.
            context.load_cert_chain(path, password=password or "")
        except FileNotFoundError:
            what = "/proc is not mounted, through which OpenSSL gets it"
            raise ConfigError("certfile", "", what, "mount it, or leave out what hides it") from None
        except ssl.SSLError:
            raise
        except OSError as error:  # no descriptor is left for OpenSSL, say
            raise ConfigError("certfile", "", f"OpenSSL cannot read it: {error.strerror}", LIMITS) from error


class _memory_file:  # noqa: N801 - used like the functions of contextlib, which are written so
    """A file in memory with this content, and the path under which it can be opened while it is in use."""

    def __init__(self, content: bytes) -> None:
        try:
            self._fd = os.memfd_create("tricorn-tls", os.MFD_CLOEXEC)
        except OSError as error:
            what = f"no file in memory can be made, through which OpenSSL gets it: {error.strerror}"
            raise ConfigError("certfile", "", what, LIMITS) from error
        left = memoryview(content)
        while left:
            left = left[os.write(self._fd, left) :]

    def __enter__(self) -> str:
        return f"/proc/self/fd/{self._fd}"

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


# --------------------------------------------------------------------------------- client certificates


def read_authorities(path: str) -> bytes:
    """The certificates of those who may sign a client's, in DER one behind the other. Raises ConfigError."""
    blocks = _certificates_in("ca_certs", path)
    try:
        found = b"".join(block.der for block in blocks)
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata=found)
    except PEMError as error:
        raise _damaged("ca_certs", path, error) from error
    except ssl.SSLError as error:
        raise _damaged("ca_certs", path, ValueError(UNREADABLE)) from error
    return found


def read_revocations(path: str) -> bytes:
    """The lists of a file, readable each. Raises ConfigError."""
    content = read_file("crlfile", path)
    blocks = blocks_of(content)
    found = with_labels(blocks, REVOCATION_LISTS)
    if not found and not blocks:
        raise not_pem("crlfile", path, content)
    if not found:
        raise ConfigError(
            "crlfile", "", f"{path} holds no revocation list", "it has lines -----BEGIN X509 CRL-----"
        )
    lists = b"".join(block.text for block in found)
    try:
        list(revocation_lists(lists))
        trust(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), Material((), revocations=lists))
    except (PEMError, DERError) as error:
        raise ConfigError("crlfile", "", f"{path}: a list in it {error}", "get the file again") from error
    except ssl.SSLError as error:
        what = f"{path}: OpenSSL cannot read a list in it"
        raise ConfigError("crlfile", "", what, "get the file again") from error
    return lists


def revocation_lists(pem: bytes) -> Iterator[RevocationList]:
    for block in with_labels(blocks_of(pem), REVOCATION_LISTS):
        yield read_revocation_list(block.der)


def trust(context: ssl.SSLContext, material: Material) -> None:
    """Let the context verify client certificates by what was read."""
    if material.authorities:
        context.load_verify_locations(cadata=material.authorities)
    if material.revocations:
        with _memory_file(material.revocations) as path:
            context.load_verify_locations(path)
        context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
