"""Escaping for the error log: no text that came from outside may end a line or steer a terminal.

Knows: characters. Must not know: records, files. (The access log escapes bytes, in access.pyx.)
"""

from __future__ import annotations

import re

# C0 with CR and LF, DEL, C1 (a terminal takes U+009B for ESC [), the line separators of Unicode, the marks
# that turn the direction of text, and lone surrogates, which no encoding takes.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_UNSAFE_IN_BLOCK = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
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


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02X}" if code < 256 else f"\\u{code:04X}"
