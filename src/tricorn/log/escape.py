"""Escaping for logs: no text that came from outside may end a line or steer a terminal.

Knows: characters. Must not know: records, files. (The usual access log escapes bytes, in access_line.pyx.)
"""

from __future__ import annotations

import re

# DEL and C1 (a terminal takes U+009B for ESC [); the line separators of Unicode; what turns the direction of
# text or shows nothing, so that a line reads as another than it is (Unicode Technical Report 36,
# "Bidirectional Text Spoofing"); and lone surrogates, which no encoding takes.
_ALWAYS = (
    "\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e0fff"
)
# With C0, of which a block keeps tabs and line feeds.
_UNSAFE = re.compile(f"[\x00-\x1f{_ALWAYS}]")
_UNSAFE_IN_BLOCK = re.compile(f"[\x00-\x08\x0b-\x1f{_ALWAYS}]")
# A record starts with `[`. So a line of a block that starts so, perhaps after other white space, is moved.
_LIKE_A_RECORD = re.compile(r"^\[", re.MULTILINE)


def escape_line(text: str) -> str:
    """`text` on one line: control characters become \\xNN or \\uNNNN."""
    return _UNSAFE.sub(_escaped, text)


def escape_block(text: str) -> str:
    """`text` over several lines (a traceback), none of which looks like the start of a record.

    An exception's message can quote the request; its lines are let through, but cannot pass for a record.
    """
    return _LIKE_A_RECORD.sub(" [", _UNSAFE_IN_BLOCK.sub(_escaped, text))


#: Longer values of the access log are cut, as in access_line.pyx.
LONGEST_VALUE = 16384
_UNSAFE_IN_QUOTES = re.compile(r"[^ !#-\[\]-~]")


def escape_quoted(text: str) -> str:
    """A value of the access log, as access_line.pyx writes it: `"`, `\\`, control characters and what is
    beyond ASCII become \\xNN. Characters up to U+00FF stand for bytes (PEP 3333, "Unicode Issues")."""
    return _UNSAFE_IN_QUOTES.sub(_escaped_bytes, text[:LONGEST_VALUE])


def _escaped_bytes(found: re.Match[str]) -> str:
    character = found[0]
    if ord(character) < 256:
        return f"\\x{ord(character):02X}"
    return "".join([f"\\x{byte:02X}" for byte in character.encode("utf-8", "surrogatepass")])


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 256:
        return f"\\x{code:02X}"
    return f"\\u{code:04X}" if code < 65536 else f"\\U{code:08X}"
