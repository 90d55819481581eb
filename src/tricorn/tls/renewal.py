"""Takes renewed certificates into use, in all processes, without a new one.

Knows: when files have changed, how the master's reading reaches the workers. Must not know: what is done with
contexts (server.py), who calls.

The master looks at the files (`look`), because often only root may read a key. What it reads it checks and
publishes in shared memory; workers look there (`take`). So all have the same pair at the same time, a mistake
is found once, and workers need no right to read anything.

A pair is two files, and whoever renews it replaces one after the other. So files must be the same at two
looks before they are read.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import mmap
import os
from collections.abc import Mapping
from datetime import datetime

from tricorn.config.errors import ConfigError
from tricorn.config.settings import Settings
from tricorn.records import dataclass
from tricorn.tls import rules
from tricorn.tls.files import Signature, signature_of
from tricorn.tls.material import Material, Pair, files_of, read_material
from tricorn.tls.server import ServerTLS, day, names_of

log = logging.getLogger("tricorn.error")

#: How often the master should look, seconds. A renewal is in use after two looks.
INTERVAL = 5.0

#: For all that the files hold. The kernel gives only what is written to.
ROOM = 16 * 1024 * 1024
#: Where the digest ends and the length begins, and where that ends and the text begins.
_DIGEST = hashlib.sha256().digest_size
_TEXT = _DIGEST + 8


@dataclass(frozen=True)
class Outcome:
    """What a look has found. renewed: what is new, in words. error: why nothing was taken."""

    renewed: tuple[str, ...] = ()
    error: str = ""


class Renewal:
    """Made in the master before the fork; the workers have the copies that the fork makes."""

    def __init__(self, settings: Settings) -> None:
        """Reads the files. Raises ConfigError."""
        # Before they are read: what changes meanwhile is found at the next look.
        self._seen = self._done = signatures_of(settings)
        self.tls = ServerTLS(settings)
        self._shared = SharedPage()
        self._taken = self._shared.write(encoded(self.tls.material))
        self._refused = b""
        self._failed: tuple[Mapping[str, Signature], str] | None = None
        self._warned: datetime | None = None
        self._due = 0.0

    # -- in the master -----------------------------------------------------------------------------------

    def is_due(self, monotonic: float) -> bool:
        return monotonic >= self._due

    def attend(self, monotonic: float, now: datetime) -> None:
        """Looks if it is time, and says what is about to expire. To be called in each turn of a loop."""
        if self.is_due(monotonic):
            self._due = monotonic + INTERVAL
            self.look()
            self.warn(now)

    def look(self) -> Outcome | None:
        """Reads the files if they have changed, and publishes what they hold. None: there is nothing new, or
        what there is may be half of it."""
        if not self.tls.is_renewable:
            return None
        found = signatures_of(self.tls.settings)
        is_settled, self._seen = found == self._seen, found
        if not is_settled or found == self._done:
            return None
        before, done = self.tls.material, self._done
        # First: a stop may interrupt the function of ssl_context, and then it is not to be called again.
        self._done = found
        try:
            self.reload()
        except ConfigError as error:
            self._done = done
            return self._maybe_said(found, str(error))
        outcome = Outcome(_news(before, self.tls.material))
        for line in outcome.renewed:
            log.info("%s", line)
        return outcome

    def _maybe_said(self, found: Mapping[str, Signature], error: str) -> Outcome | None:
        """Of files that cannot be used. They are read again at each look, since the fault need not be theirs
        (no descriptor is left), but nothing is said twice."""
        if self._failed == (found, error):
            return None
        self._failed = (found, error)
        # Its text says everything: a traceback would show our own lines.
        log.error("A certificate was not renewed, the old one stays in use: %s", error)
        return Outcome(error=error)

    def reload(self) -> None:
        """Reads the files as they are now, and publishes what they hold. Raises ConfigError, and then
        nothing has changed. For HUP, which says itself what there is to say."""
        found = signatures_of(self.tls.settings)
        material = read_material(self.tls.settings)
        if material != self.tls.material:
            self.tls.use(material)
        self._taken = self._shared.write(encoded(material))
        self._seen = self._done = found

    def warn(self, now: datetime) -> None:
        """Logs what is about to expire, once a day; first a day after the start, which has said it."""
        if self._warned is None:
            self._warned = now
        if (now - self._warned).days >= 1:
            self._warned = now
            for remark in self.tls.expiring(now):
                log.warning("%s", remark.text)

    # -- in a worker -------------------------------------------------------------------------------------

    def take(self) -> bool:
        """Puts into use what the master has published since the last call; whether there was something. If
        not, it has compared 32 bytes."""
        if self._shared.digest() == self._taken:
            return False
        text = self._shared.maybe_read()
        if text is None:
            return False  # it is being written: the next call finds it
        digest = hashlib.sha256(text).digest()
        try:
            self.tls.use(decoded(text))
        except ConfigError as error:
            # The master could use it, so the trouble is this process's, and may pass: no descriptors.
            if digest != self._refused:
                self._refused = digest
                log.error("Worker %d keeps the old certificate: %s", os.getpid(), error)  # noqa: TRY400 - says all
            return False
        self._taken = digest
        return True

    def close(self) -> None:
        self._shared.close()


def certificates_for(settings: Settings, previous: Renewal | None) -> Renewal | None:
    """What the settings ask for, or None. previous: what there was before a reload. It stays, and so do the
    ticket keys, if only the files have changed; the workers that it has get what is new in them. Raises
    ConfigError, and then nothing has changed."""
    if not rules.is_wanted(settings):
        return None
    if previous is None or not previous.tls.is_same(settings) or not previous.tls.is_renewable:
        return Renewal(settings)
    previous.reload()
    return previous


class SharedPage:
    """A text in memory that one process writes, and those that it has forked read. Its digest stands in
    front: a reader that finds another one has come in the middle of writing.

    Not a file: applications close descriptors that they do not know, and the programs that they start would
    inherit one with the keys in it.
    """

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, ROOM)

    def write(self, text: bytes) -> bytes:
        """Gives the digest. Raises ConfigError if it is too much."""
        end = _TEXT + len(text)
        if end > ROOM:
            what = f"all of them together have more than {ROOM >> 20} MiB"
            raise ConfigError("certificates", "", what, "name fewer, or fewer authorities in ca_certs")
        digest = hashlib.sha256(text).digest()
        if digest != self.digest():
            self._memory[_DIGEST:_TEXT] = len(text).to_bytes(_TEXT - _DIGEST, "big")
            self._memory[_TEXT:end] = text
            self._memory[:_DIGEST] = digest
        return digest

    def digest(self) -> bytes:
        return self._memory[:_DIGEST]

    def maybe_read(self) -> bytes | None:
        size = int.from_bytes(self._memory[_DIGEST:_TEXT], "big")
        text = self._memory[_TEXT : _TEXT + size]
        return text if hashlib.sha256(text).digest() == self.digest() else None

    def close(self) -> None:
        self._memory.close()


def signatures_of(settings: Settings) -> Mapping[str, Signature]:
    """The state of each file, and so which files there are: directories may get others."""
    try:
        pairs = files_of(settings)
    except ConfigError:
        pairs = ()  # reading will say what is wrong
    named = (
        *(settings.certfile, settings.keyfile, settings.keyfile_password_file),
        *(settings.ca_certs, settings.crlfile),
    )
    paths = [os.path.join(settings.chdir, path) for path in named if path is not None]
    paths += [path for pair in pairs for path in (pair.certfile, pair.keyfile)]
    return {path: signature_of(path) for path in paths}


def _news(before: Material, now: Material) -> tuple[str, ...]:
    lines = [
        f"Certificate {pair.certfile} is new: for {names_of(pair.leaf)}, until {day(pair.leaf.not_after)}"
        for pair in now.pairs
        if pair not in before.pairs
    ]
    left = {pair.certfile for pair in before.pairs} - {pair.certfile for pair in now.pairs}
    lines += [f"Certificate {certfile} is no longer there" for certfile in sorted(left)]
    if (now.authorities, now.revocations) != (before.authorities, before.revocations):
        lines.append("Client certificates are verified by new files")
    return tuple(lines)


def encoded(material: Material) -> bytes:
    """As text, to be read by a process that need not believe it: no pickle."""
    pairs = [[pair.certfile, pair.keyfile, pair.pem.decode("latin-1")] for pair in material.pairs]
    authorities = base64.b64encode(material.authorities).decode()
    revocations = material.revocations.decode("latin-1")
    return json.dumps([pairs, material.password, authorities, revocations]).encode()


def decoded(text: bytes) -> Material:
    pairs, password, authorities, revocations = json.loads(text)
    return Material(
        tuple(Pair(certfile, keyfile, pem.encode("latin-1")) for certfile, keyfile, pem in pairs),
        password,
        base64.b64decode(authorities),
        revocations.encode("latin-1"),
    )
