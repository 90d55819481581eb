"""Reads the files that the settings of TLS name, and finds those that belong together.

Knows: paths, directories of certificates, certbot's names for them. Must not know: what is in the files
(material.py).

    a file         the certificate and those that sign it; its key is in the same file, or beside it:
                   site.pem and site.key, fullchain.pem and privkey.pem
    a directory    all files in it that end in .pem or .crt and have a key, and all directories in it with a
                   fullchain.pem, in the order of their names: /etc/letsencrypt/live
"""

from __future__ import annotations

import errno
import os
import pwd
from collections.abc import Iterator
from contextlib import suppress
from stat import S_ISDIR

from tricorn.config.errors import ConfigError
from tricorn.records import dataclass

#: A chain with its key has some ten kilobytes, a bundle of all public authorities a quarter of a megabyte.
SIZE_MAX = 4 * 1024 * 1024

CHAIN, KEY = "fullchain.pem", "privkey.pem"
CERTIFICATE_ENDINGS = (".pem", ".crt")
KEY_ENDING = ".key"


@dataclass(frozen=True)
class PairFiles:
    """Where a certificate and its key are, which may be one file. setting: which setting names them."""

    setting: str
    certfile: str
    keyfile: str

    @property
    def key_setting(self) -> str:
        return "keyfile" if self.setting == "certfile" else self.setting


#: What tells one state of a file from another: None if there is no such file.
Signature = tuple[int, int, int, int] | None


def signature_of(path: str) -> Signature:
    """Links are followed, so a link that is given another target (certbot does that) is another file."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def read_file(setting: str, path: str) -> bytes:
    """Raises ConfigError, which says what is wrong with which file."""
    try:
        with open(path, "rb") as file:
            content = file.read(SIZE_MAX + 1)
    except OSError as error:
        raise _explained(setting, path, error) from error
    if len(content) > SIZE_MAX:
        raise ConfigError(setting, "", f"{path} is too large to be a PEM file", "name the right file")
    return content


def _explained(setting: str, path: str, error: OSError) -> ConfigError:
    match error.errno:
        case errno.ENOENT if os.path.islink(path):
            there = os.path.realpath(path)
            return ConfigError(
                setting, "", f"{path} is a link to {there}, which does not exist", "mend the link"
            )
        case errno.ENOENT | errno.ENOTDIR:
            return ConfigError(
                setting, "", f"there is no file {path}", "relative paths are relative to chdir"
            )
        case errno.EISDIR:
            hint = "name a file; directories may stand in certificates"
            return ConfigError(setting, "", f"{path} is a directory", hint)
        case errno.EACCES:
            hint = f"let {_whoami()} read it, or start as root and set user: files are read before the change"
            return ConfigError(setting, "", f"{path} cannot be read by {_whoami()}", hint)
    return ConfigError(setting, "", f"{path} cannot be read: {error.strerror}")


def _whoami() -> str:
    uid = os.geteuid()
    with suppress(KeyError):
        return f"user {pwd.getpwuid(uid).pw_name}"
    return f"user {uid}"


def find_pairs(setting: str, path: str) -> tuple[PairFiles, ...]:
    """The pairs that one entry of `certificates` means. Raises ConfigError."""
    try:
        is_directory = S_ISDIR(os.stat(path).st_mode)
    except OSError as error:
        raise _explained(setting, path, error) from error
    if not is_directory:
        return (PairFiles(setting, path, key_beside(path) or path),)
    try:
        found = tuple(_pairs_in(setting, path))
    except OSError as error:
        raise _explained(setting, path, error) from error
    if not found:
        hint = f"put NAME.pem and NAME.key into it, or NAME/{CHAIN} and NAME/{KEY}"
        raise ConfigError(setting, "", f"{path} is a directory without certificates", hint)
    return found


def _pairs_in(setting: str, directory: str) -> Iterator[PairFiles]:
    for name in sorted(os.listdir(directory)):
        path = os.path.join(directory, name)
        if os.path.exists(os.path.join(path, CHAIN)):
            yield PairFiles(setting, os.path.join(path, CHAIN), os.path.join(path, KEY))
        elif name.endswith(CERTIFICATE_ENDINGS) and os.path.isfile(path) and name != KEY:
            key = key_beside(path)
            # certbot's cert.pem and chain.pem lie beside fullchain.pem, and are parts of it.
            if key is not None or b"PRIVATE KEY-----" in read_file(setting, path):
                yield PairFiles(setting, path, key or path)


def key_beside(path: str) -> str | None:
    """The file with the key of the certificate in `path`, by its name."""
    directory, name = os.path.split(path)
    beside = KEY if name == CHAIN else os.path.splitext(name)[0] + KEY_ENDING
    key = os.path.join(directory, beside)
    return key if key != path and os.path.exists(key) else None
