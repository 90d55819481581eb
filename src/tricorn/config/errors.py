"""How a wrong setting is reported: one line that says what, where it came from, what to write instead.

Knows: words. Must not know: which settings exist.
"""

from __future__ import annotations

from collections.abc import Iterable


class ConfigError(Exception):
    """A setting that cannot be used. The command prints it on one line and exits with 2.

    setting: its name, or what was written instead of a name.
    origin: where the value came from ("command line", "environment TRICORN_WORKERS", "tricorn.toml").
    message: what is wrong with it.
    hint: what to write instead; may be empty.
    """

    def __init__(self, setting: str, origin: str, message: str, hint: str = "") -> None:
        super().__init__(setting, origin, message, hint)
        self.setting = setting
        self.origin = origin
        self.message = message
        self.hint = hint

    def at(self, origin: str) -> ConfigError:
        """The same with its origin, for an error raised where only the value was known."""
        return self if self.origin else ConfigError(self.setting, origin, self.message, self.hint)

    def __str__(self) -> str:
        origin = f" ({self.origin})" if self.origin else ""
        hint = f"; {self.hint}" if self.hint else ""
        # Values are quoted in messages, and a value may contain anything: the line stays one line.
        return " ".join(f"{self.setting}: {self.message}{origin}{hint}".split())


class BadValueError(Exception):
    """What a parser raises: the message and the hint of a ConfigError that does not know its setting yet."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def reason_of(error: Exception) -> str:
    """What to say of it in a line that says already which file or address it is about: of what the system
    refuses, its words without their number and the path; else its own text."""
    return getattr(error, "strerror", None) or str(error)


def did_you_mean(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """A hint with the nearest known name, or an empty string when nothing is near. At 0.6 (difflib's own
    default) `timout` finds `timeout` and `foo` finds nothing."""
    from difflib import get_close_matches  # in most starts no word is wrong

    near = get_close_matches(word, list(known), n=1, cutoff=cutoff)
    return f"did you mean {near[0]}?" if near else ""
