"""The kinds of values that settings have: each turns what was written into the checked, typed value.

What was written is a text (command line, environment) or a value of a Python or TOML file; every kind takes
both, and a text always means the same wherever it stands.

Knows: value forms (Gunicorn's, where it has the setting) and bounds. Must not know: which settings exist,
and where a value came from.
"""

from __future__ import annotations

import builtins
import grp
import ipaddress
import math
import pwd
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Generic, TypeVar, cast

from tricorn import machine
from tricorn.config.errors import BadValueError, did_you_mean
from tricorn.records import dataclass, replace

T = TypeVar("T")

YES = ("true", "yes", "y", "on", "1")
NO = ("false", "no", "n", "off", "0", "")
# Patterns are compiled when they are first used (`re` keeps them): most starts use none of these.
#: A target, perhaps with a host (RFC 3986 §3.2.2) in front.
PAGE = r"(?a:/[!-~]*|https?://[\w.:\[\]-]+(/[!-~]*)?)"
WEB = r"(?ai:https?://([!-.0-?A-~]+@)?(\[[\da-f:.]+\]|[\w.-]+)(:\d{1,5})?([/?][!-~]*)?)"
TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # RFC 9110 §5.6.2
FRACTION = r"[0-9]{1,3}(\.[0-9]{1,15})?|\.[0-9]{1,15}"


def show_plain(value: Any) -> str:
    """A value as `--print-config` and the reference page show it: in the form one would write it."""
    if value is None:
        return "(not set)"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        return ",".join(f"{key}={item}" for key, item in value.items()) or "(empty)"
    if isinstance(value, tuple):
        return ",".join(value) or "(empty)"
    return str(value) or "(empty)"


def no_remark(_: object) -> str:
    return ""


#: The core counts in 64 bits, and adds to what it counts. A limit of this size is none: a time, which is in
#: nanoseconds there, is 146 years.
LARGEST = 1 << 62


def as_it_is(value: Any) -> object:
    return value


def bounded(number: int) -> int:
    return min(number, LARGEST)


def nanoseconds(seconds: float) -> int:
    """0, which often stands for "no limit", stays 0, and nothing else becomes 0."""
    return max(int(min(seconds * 1e9, LARGEST)), int(seconds > 0))


@dataclass(frozen=True)
class Kind(Generic[T]):
    """One kind of value.

    convert: what was written → the value; raises BadValueError.
    words: what is accepted, to stand after "must be".
    metavar: the value's name in --help; empty for a switch, which takes no value.
    example: something acceptable, as text.
    choices: all acceptable texts, where there are few.
    bare: the text that the option means when it stands alone, where it may.
    split: how an environment variable holds several items; set for options that may be repeated.
    blank: an empty text is a value (a list without items, "not set", "no").
    show: the value in the form one would write it.
    remark: what should be said about a form that is understood but is not ours; an empty text if nothing.
    to_core: the value as the compiled core has it; this is where its units differ from those of the settings.
    is_secret: the value is never shown.
    """

    convert: Callable[[object], T]
    words: str
    metavar: str = "VALUE"
    example: str = ""
    choices: tuple[str, ...] = ()
    bare: str | None = None
    split: Callable[[str], list[str]] | None = None
    blank: bool = False
    show: Callable[[Any], str] = show_plain
    remark: Callable[[object], str] = no_remark
    to_core: Callable[[Any], object] = as_it_is
    is_secret: bool = False

    @property
    def is_switch(self) -> bool:
        return not self.metavar

    def parse(self, written: object) -> T:
        try:
            return self.convert(written)
        except BadValueError as error:
            if error.hint:
                raise
            raise BadValueError(error.message, f"write {self.words}, for example {self.example!r}") from error


def refuse(written: object, words: str) -> BadValueError:
    return BadValueError("is empty" if written == "" else f"{shortened(written)} is not {words}")


def shortened(written: object) -> str:
    text = repr(written)
    return text if len(text) <= 60 else f"{text[:57]}..."


# ---------------------------------------------------------------------------------------- numbers


def whole_number(
    at_least: int = 0, at_most: int | None = None, *, example: int = 4, metavar: str = "N"
) -> Kind[int]:
    words = f"a whole number of {at_least} or more"
    if at_most is not None:
        words = f"a whole number from {at_least} to {at_most}"

    def convert(written: object) -> int:
        number = maybe_whole(plain_number(written))
        if number is None:
            raise refuse(written, "a whole number")
        if number < at_least or (at_most is not None and number > at_most):
            raise refuse(number, words)
        return number

    return Kind(convert, words, metavar, str(example), to_core=bounded)


def worker_count(at_most: int) -> Kind[int]:
    """A number, or `auto`: as many as the processors that this process may use, by the time that the settings
    are read."""
    plain = whole_number(1, at_most)

    def convert(written: object) -> int:
        if is_auto(written):
            return min(machine.processors().workers, at_most)
        return plain.convert(written)

    return Kind(convert, f"{plain.words}, or auto", "N", "4")


def is_auto(written: object) -> bool:
    return isinstance(written, str) and written.strip().lower() == "auto"


def whole_numbers(*, example: str) -> Kind[tuple[int, ...]]:
    """A text with commas, one number, or a list of numbers, each 1 or more. No text is an empty list."""
    words = "whole numbers of 1 or more, separated by commas"
    one = whole_number(1)

    def convert(written: object) -> tuple[int, ...]:
        if written is None:
            return ()
        items = written if isinstance(written, list | tuple) else [written]
        return tuple(
            one.convert(part)
            for item in items
            for part in (split_commas(item) if isinstance(item, str) else [item])
        )

    return Kind(convert, words, "NUMBERS", example, blank=True)


def plain_number(written: object) -> object:
    """What Python's `int` and those who compute also write: 1_000, 4.0. False is no limit, which is 0."""
    if written is False:
        return 0
    if isinstance(written, str) and re.fullmatch(r"\s*[+-]?[0-9]+(_[0-9]+)*(\.0*)?\s*", written, re.ASCII):
        return written.replace("_", "").partition(".")[0]
    return written


def maybe_whole(written: object) -> int | None:
    """The whole number that was written, or None. `True` is not 1 here: it is a switch in the wrong place."""
    if isinstance(written, bool):
        return None
    if isinstance(written, float) and written.is_integer():
        return int(written)
    if isinstance(written, str) and re.fullmatch(r"\s*[+-]?[0-9]{1,18}\s*", written):
        return int(written)
    return written if isinstance(written, int) else None


def size(at_least: int = 0, at_most: int = 1 << 62, *, example: str = "64k") -> Kind[int]:
    """Bytes; a text may end in k, m or g (powers of 1024), which Gunicorn does not know and nginx does."""
    words = f"a number of bytes, {at_least} or more (64k, 10m and 1g are allowed)"
    # The compiled core counts bytes in 64 bits.
    plain = whole_number(at_least, at_most)

    def convert(written: object) -> int:
        if isinstance(written, str) and (
            match := re.fullmatch(r"([0-9]{1,12})([kmg])", written.strip().lower())
        ):
            written = int(match[1]) << {"k": 10, "m": 20, "g": 30}[match[2]]
        return plain.convert(written)

    return Kind(convert, words, "BYTES", example)


def seconds(*, example: str = "30") -> Kind[float]:
    words = "a number of seconds, 0 or more"

    def convert(written: object) -> float:
        written = plain_number(written) if isinstance(written, str | bool) else written
        is_number = isinstance(written, int | float) and written is not True
        if isinstance(written, str):
            is_number = re.fullmatch(r"\s*[0-9]{1,15}(\.[0-9]*)?\s*", written) is not None
        number = float(cast(float, written)) if is_number else math.nan
        if not 0 <= number < math.inf:
            raise refuse(written, words)
        return number

    return Kind(convert, words, "SECONDS", example, to_core=nanoseconds)


def octal_mode() -> Kind[int]:
    """A umask. Gunicorn reads `22` as decimal and `022` as octal; other tools read both as octal. Neither
    reading of the first is safe to guess, so it has to be written with a leading zero."""

    def convert(written: object) -> int:
        mode: int | None = None
        if isinstance(written, str):
            text = written.strip().lower()
            if re.fullmatch(r"[1-9][0-9]+", text):
                raise BadValueError(f"{shortened(written)} could be octal or decimal", f"write 0{text}")
            if re.fullmatch(r"0o?[0-7]*|[0-7]", text) and text != "0o":
                mode = int(text.removeprefix("0o"), 8)
            elif re.fullmatch(r"0x[0-9a-f]+", text):
                mode = int(text, 16)
        else:
            mode = maybe_whole(written)
        if mode is None or not 0 <= mode <= 0o777:
            raise refuse(written, "a file mode mask from 0 to 0777")
        return mode

    words = "an octal file mode mask from 0 to 0777"
    return Kind(
        convert, words, "MASK", "022", show=lambda mode: show_plain(mode) if mode is None else f"0{mode:03o}"
    )


def socket_mode() -> Kind[int]:
    """A file mode, in the form of a umask; nobody but the owner and the group may have any right."""
    form = octal_mode()

    def convert(written: object) -> int:
        mode = form.convert(written)
        if mode & 0o007:
            text = form.show(mode)
            raise BadValueError(f"{text} lets every user of this machine in", "write 0600, or 0660")
        return mode

    return replace(form, convert=convert, words="an octal file mode", metavar="MODE", example="0660")


# ----------------------------------------------------------------------------------- words, switches


def text(*, example: str, metavar: str = "TEXT", blank: bool = False) -> Kind[str]:
    """One line of text. Control characters are refused: such values end in headers, logs and titles."""

    def convert(written: object) -> str:
        if not isinstance(written, str):
            raise refuse(written, "text")
        value = written.strip()
        if not value and not blank:
            raise BadValueError("is empty")
        if re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value):
            raise BadValueError(f"{shortened(value)} contains a control character")
        return value

    return Kind(convert, "one line of text", metavar, example, blank=blank)


def switch() -> Kind[bool]:
    def convert(written: object) -> bool:
        if isinstance(written, bool):
            return written
        word = str(written).strip().lower() if isinstance(written, str | int) else None
        if word in YES or word in NO:
            return word in YES
        raise refuse(written, "true or false")

    return Kind(convert, "true or false", "", "true", blank=True)


def one_of(
    *choices: str,
    absent: Mapping[str, str] = MappingProxyType({}),
    aliases: Mapping[str, str] = MappingProxyType({}),
    is_foreign: Callable[[str], bool] = lambda _: False,
) -> Kind[str]:
    """One of a few words. `absent` are words that Gunicorn knows, with the reason why we do not, and behind a
    semicolon what to write instead. `aliases` are other ways to write a choice: understood, with a remark.
    `is_foreign`: whether a text is the name of something that is looked for later."""
    words = f"one of {', '.join(choices)}"

    def spelt(written: object) -> str:
        """The word; of a class the name by which it is found."""
        if isinstance(written, type):
            return f"{written.__module__}.{written.__qualname__}"
        return written.strip() if isinstance(written, str) else ""

    def convert(written: object) -> str:
        word = spelt(written)
        lower = word.lower()
        if lower in choices:
            return lower
        if lower in aliases:
            return aliases[lower]
        if lower in absent:
            said, _, hint = absent[lower].partition("; ")
            raise BadValueError(f"{shortened(word)} {said}", hint or f"write {words}")
        if is_foreign(word):
            return word
        near = did_you_mean(lower, choices)
        raise BadValueError(f"{shortened(written)} is not {words}", near or f"write {words}")

    def remark(written: object) -> str:
        word = spelt(written)
        choice = aliases.get(word.lower())
        return (
            f"{shortened(word)} is read as {choice!r}, Tricorn's own worker; write {choice}" if choice else ""
        )

    return Kind(convert, words, "WORD", choices[-1], choices, remark=remark)


def cleartext() -> Kind[str]:
    """Who may speak HTTP/2 without TLS. Gunicorn's users also write a switch."""
    old = "no longer a part of HTTP/2 (RFC 9113 §3.1); write prior-knowledge"
    word = one_of(
        "off",
        "prior-knowledge",
        "anyone",
        absent={"upgrade": f"is {old}", "both": f"has upgrade in it, {old}"},
    )

    def convert(written: object) -> str:
        if written is None or written is False:
            return "off"
        return "prior-knowledge" if written is True else word.convert(written)

    return replace(word, convert=convert)


def log_level() -> Kind[str]:
    """A level by its name, by another one that Python has for it, or by its number."""
    choices = ("debug", "info", "warning", "error", "critical")
    also = {"": "info", "warn": "warning", "fatal": "critical", "trace": "debug", "notset": "debug"}
    also |= {str(10 * place): word for place, word in enumerate(choices, start=1)}
    known = one_of(*choices)

    def convert(written: object) -> str:
        word = str(written).strip().lower()
        return known.convert(also.get(word, written))

    return Kind(convert, known.words, "LEVEL", "warning", choices, blank=True)


def loop_name() -> Kind[str]:
    """A word for a loop that we know, or where to find a function that makes one. Whether it is there is seen
    in the worker."""
    known = ("auto", "asyncio", "uvloop")
    words = f"one of {', '.join(known)}, or module:function"

    def convert(written: object) -> str:
        name = written.strip() if isinstance(written, str) else ""
        if name.lower() in known:
            return name.lower()
        module, _, function = name.partition(":") if ":" in name else name.rpartition(".")
        if all(part.isidentifier() for part in (*module.split("."), *function.split("."))):
            return name
        near = did_you_mean(name.lower(), known)
        raise BadValueError(refuse(written, words).message, near)

    return Kind(convert, words, "LOOP", "asyncio")


def mount_point() -> Kind[str]:
    """The path in front of all paths of an application, or nothing: "/shop", not "/shop/" and not "/"."""
    words = "a path that begins with '/' and does not end with '/'"
    line = text(example="/shop", metavar="PATH", blank=True)

    def convert(written: object) -> str:
        path = line.convert(written)
        if path and (not path.startswith("/") or path.endswith("/") or re.search(r"[?#]|//", path)):
            bare = "/".join(part for part in re.split(r"[?#]", path)[0].split("/") if part)
            hint = (
                f"write {'/' + bare!r}" if bare else "leave it out: the application is served at '/' anyway"
            )
            raise BadValueError(refuse(written, words).message, hint)
        return path

    return Kind(convert, words, "PATH", "/shop", blank=True)


def file_name(*, example: str) -> Kind[str]:
    """The name of a file, without a directory; an empty text is none."""
    words = "the name of a file, without '/'"
    line = text(example=example, metavar="NAME", blank=True)

    def convert(written: object) -> str:
        name = line.convert(written)
        if "/" in name or "\0" in name or name in (".", ".."):
            raise refuse(written, words)
        return name

    return Kind(convert, words, "NAME", example, blank=True)


def path_of_probe(example: str) -> Kind[str]:
    """A path as it stands in a request line, and nothing else of that."""
    words = "a path that begins with '/', without '?', '#' and spaces"
    line = text(example=example, metavar="PATH")

    def convert(written: object) -> str:
        path = line.convert(written)
        if not re.fullmatch(r"/[!-~]*", path) or re.search(r"[?#]", path):
            raise refuse(written, words)
        return path

    return Kind(convert, words, "PATH", example)


def proxy_versions() -> Kind[str]:
    """Gunicorn's forms: a word, or a boolean, or the option alone."""
    known = one_of("off", "v1", "v2", "auto")
    also = {"true": "auto", "1": "auto", "false": "off", "0": "off", "none": "off"}

    def convert(written: object) -> str:
        word = str(written).strip().lower()
        return known.convert(also.get(word, written))

    def to_core(version: str) -> object:
        return None if version == "off" else version

    return Kind(convert, known.words, "VERSION", "v2", known.choices, bare="auto", to_core=to_core)


def optional(kind: Kind[T]) -> Kind[T | None]:
    """The same, or nothing: an empty text or None."""

    def convert(written: object) -> T | None:
        if written is None or (isinstance(written, str) and not written.strip()):
            return None
        return kind.convert(written)

    return Kind(
        convert,
        kind.words,
        kind.metavar,
        kind.example,
        kind.choices,
        kind.bare,
        kind.split,
        True,
        kind.show,
        to_core=lambda value: None if value is None else kind.to_core(value),
        is_secret=kind.is_secret,
    )


def verify_mode() -> Kind[int]:
    """Gunicorn's numbers, which are those of Python's ssl module, or the words that these have there."""
    choices = ("none", "optional", "required")
    words = f"one of {', '.join(choices)}, or 0, 1, 2"

    def convert(written: object) -> int:
        if isinstance(written, str) and (word := written.strip().lower().removeprefix("cert_")) in choices:
            return choices.index(word)
        number = maybe_whole(written)
        if number is None or number >= len(choices) or number < 0:
            raise refuse(written, words)
        return int(number)

    return Kind(convert, words, "WHEN", choices[-1], choices, show=lambda mode: choices[mode])


def tls_version() -> Kind[str]:
    """Also with what other programs put in front: TLSv1.3, TLS 1.3. In a file it may be a number."""
    forbidden = dict.fromkeys(("1.0", "1.1"), "is not safe and was forbidden by RFC 8996")
    known = one_of("1.2", "1.3", absent=forbidden)

    def convert(written: object) -> str:
        if isinstance(written, float):
            written = str(written)
        if isinstance(written, str):
            written = re.sub(r"(?i)^tls *v?(?=1)", "", written.strip())
        return known.convert(written)

    return Kind(convert, known.words, "VERSION", "1.3", known.choices)


def log_file(*, example: str) -> Kind[str]:
    """A file, or `-` for a standard stream. Nothing means that too, because a log has to be somewhere."""
    line = text(example=example, metavar="FILE", blank=True)

    def convert(written: object) -> str:
        return "-" if written is None else line.convert(written) or "-"

    return Kind(convert, line.words, "FILE", example, blank=True)


def secret() -> Kind[str]:
    """A text that no message quotes. Spaces may be a part of it."""

    def convert(written: object) -> str:
        if not isinstance(written, str) or re.search(r"[\x00\r\n]", written):
            raise BadValueError("is not one line of text")
        return written

    return Kind(
        convert,
        "one line of text",
        "TEXT",
        "correct horse",
        show=lambda value: "(not set)" if value is None else "(set, not shown)",
        is_secret=True,
    )


def share() -> Kind[float]:
    """A part of a whole."""
    words = "a share from 0 to 1, as 0.05 or 5%"

    def convert(written: object) -> float:
        number = plain_number(written) if isinstance(written, str | bool) else written
        divisor = 1.0
        if isinstance(number, str):
            text = number.strip()
            divisor = 100.0 if text.endswith("%") else 1.0
            text = text.removesuffix("%").strip()
            number = float(text) if re.fullmatch(FRACTION, text) else math.nan
        if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number / divisor <= 1:
            raise refuse(written, words)
        return number / divisor

    return Kind(convert, words, "SHARE", "0.05")


def web_address() -> Kind[str]:
    """An http URL. It may have a secret in it, so no message quotes it."""
    plain = secret()

    def convert(written: object) -> str:
        url = plain.convert(written).strip()
        if not re.fullmatch(WEB, url):
            raise BadValueError("is not a URL of http or https", "write https://example.org/path")
        return url

    return replace(plain, convert=convert, words="a URL", metavar="URL", example="https://example.org/hook")


def function() -> Kind[Callable[..., Any] | str]:
    """A function, or where to find one. Whether it is there is seen when it is needed: to import it here
    would run foreign code before anything is ready for that."""
    words = "a function, or module:function"

    def convert(written: object) -> Callable[..., Any] | str:
        if callable(written):
            return written
        path = written.strip() if isinstance(written, str) else ""
        # With a dot it is Gunicorn's form.
        module, colon, name = path.partition(":") if ":" in path else path.rpartition(".")
        if not colon or not name.isidentifier() or not all(map(str.isidentifier, module.split("."))):
            raise refuse(written, words)
        return f"{module}:{name}"

    def show(value: object) -> str:
        return getattr(value, "__qualname__", "a function") if callable(value) else show_plain(value)

    return Kind(convert, words, "FUNCTION", "myproject.tls:ssl_context", show=show)


def logger_class() -> Kind[type | str | None]:
    """A class, or where to find one, as module.Class or module:Class. Gunicorn's own are what we do
    anyway."""
    words = "a class, or module.Class"
    usual = ("gunicorn.glogging.Logger", "gunicorn.instrument.statsd.Statsd", "default")

    def convert(written: object) -> type | str | None:
        if isinstance(written, type):
            return written
        name = written.strip().replace(":", ".") if isinstance(written, str) else None
        if written is None or name in ("", *usual):
            return None
        if name is None or "." not in name or not all(map(str.isidentifier, name.split("."))):
            raise refuse(written, words)
        return name

    def show(value: object) -> str:
        return f"{value.__module__}.{value.__qualname__}" if isinstance(value, type) else show_plain(value)

    return Kind(convert, words, "CLASS", "myproject.logs.Logger", blank=True, show=show)


def receiver(*, example: str) -> Kind[str]:
    """Where something receives datagrams: a text, or what Gunicorn makes of one (host and port, a path)."""
    line = text(example=example, metavar="ADDRESS")

    def convert(written: object) -> str:
        if isinstance(written, tuple | list) and len(written) == 2:
            written = f"{written[0]}:{written[1]}"
        address = line.convert(written)
        return f"unix://{address}" if address.startswith("/") else address

    return Kind(convert, "HOST:PORT or unix://PATH", "ADDRESS", example)


def table() -> Kind[Mapping[str, Any]]:
    """A dict of a file; in a text a JSON object."""
    words = "a dict, or a JSON object"

    def convert(written: object) -> Mapping[str, Any]:
        if isinstance(written, str) and written.strip():
            import json  # hardly anybody writes one

            try:
                written = json.loads(written)
            except ValueError as error:
                raise BadValueError(f"{shortened(written)} is not valid JSON: {error}") from error
        if not written and written is not False:
            return MappingProxyType({})
        if not isinstance(written, Mapping):
            raise refuse(written, words)
        return MappingProxyType(dict(written))

    def show(value: Mapping[str, Any]) -> str:
        if not value:
            return "(empty)"
        import json

        return json.dumps(dict(value), default=repr)

    return Kind(convert, words, "JSON", '{"version": 1}', blank=True, show=show)


def header_name() -> Kind[str]:
    """The name of a header field, as it is written on the wire."""
    words = "the name of a header"

    def convert(written: object) -> str:
        name = written.strip() if isinstance(written, str) else ""
        if not re.fullmatch(TOKEN, name) or len(name) > 64:
            raise refuse(written, words)
        return name

    return Kind(convert, words, "HEADER", "X-Request-Id")


def hook(*parameters: str) -> Kind[Callable[..., Any] | str]:
    """A function that is called with these parameters, written as in a call; of several forms, the first that
    fits. A text names it as module:function, or as Gunicorn has it, module.function."""
    forms = " or ".join(f"({each})" for each in parameters)
    words = f"a function of {forms}, or module:function"
    named = function()

    def convert(written: object) -> Callable[..., Any] | str:
        if callable(written):
            return _checked(written, parameters, f"a function of {forms}")
        name = written
        if isinstance(written, str) and ":" not in written:
            name = ":".join(written.strip().rpartition(".")[::2])
        try:
            return named.convert(name)
        except BadValueError as error:
            raise refuse(written, words) from error

    return Kind(convert, words, "FUNCTION", "myproject.hooks:function", show=named.show)


def _checked(called: Callable[..., Any], parameters: tuple[str, ...], words: str) -> Callable[..., Any]:
    # Imported where a program or a file has given one: `inspect` takes as long as all settings.
    from tricorn.config.signatures import as_declared, is_async, maybe_arity

    if is_async(called):
        raise BadValueError("is an async function", "write a plain one: hooks are called, not awaited")
    if maybe_arity(called, parameters) is None:
        raise BadValueError(f"{as_declared(called)} takes other arguments", f"write {words}")
    return called


# ------------------------------------------------------------------------------------------- lists


def items_of(written: object, words: str) -> list[str]:
    if isinstance(written, str):
        written = [written]
    if not isinstance(written, list | tuple | set | frozenset) or not all(
        isinstance(item, str) for item in written
    ):
        raise refuse(written, words)
    return [item.strip() for item in written if item.strip()]


def split_commas(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def comma_list(
    check: Callable[[str], str], *, words: str, example: str, metavar: str
) -> Kind[tuple[str, ...]]:
    """A text with commas, or a list of texts. No text at all is the empty list."""

    def convert(written: object) -> tuple[str, ...]:
        if written is None:
            return ()
        return tuple(check(item) for entry in items_of(written, words) for item in split_commas(entry))

    return Kind(convert, words, metavar, example, blank=True)


def words_of(*choices: str) -> Kind[tuple[str, ...]]:
    """Any of a few words, or none."""
    words = f"names from {', '.join(choices)}, separated by commas"

    def check(item: str) -> str:
        word = item.lower()
        if word not in choices:
            near = did_you_mean(word, choices)
            raise BadValueError(f"{item!r} is not one of {', '.join(choices)}", near or f"write {words}")
        return word

    return comma_list(check, words=words, example=",".join(choices[:2]), metavar="NAMES")


def paths(
    words: str = "directories", *, example: str = "lib,vendor", metavar: str = "DIRS"
) -> Kind[tuple[str, ...]]:
    return comma_list(str, words=f"{words} separated by commas", example=example, metavar=metavar)


def file_patterns(
    words: str = "files or patterns of files", *, metavar: str = "FILE", example: str = "templates/*.html"
) -> Kind[tuple[str, ...]]:

    def convert(written: object) -> tuple[str, ...]:
        return tuple(items_of(written or [], words))

    return Kind(convert, words, metavar, example, split=split_commas, blank=True)


def peer(item: str) -> str:
    """One trusted peer: an address, a network, `unix`, or `*`."""
    if item in ("*", "unix"):
        return item
    try:
        ipaddress.ip_network(item)
    except ValueError as error:
        try:
            network = ipaddress.ip_network(item, strict=False)
        except ValueError:
            raise BadValueError(
                f"{shortened(item)} is not an IP address, a network, 'unix' or '*'"
            ) from error
        # Gunicorn refuses these too: the writer meant either one address or the whole network.
        raise BadValueError(
            f"{item!r} is an address inside a network",
            f"write {network} for the network, {item.partition('/')[0]} for the address",
        ) from error
    return item


def peers() -> Kind[tuple[str, ...]]:
    words = "IP addresses and networks separated by commas, 'unix', or '*'"
    return comma_list(peer, words=words, example="10.0.0.0/8,unix", metavar="PEERS")


def field_name(item: str) -> str:
    if not re.fullmatch(TOKEN, item):
        raise BadValueError(f"{shortened(item)} is not a valid header name")
    return item.upper()


def field_names() -> Kind[tuple[str, ...]]:
    words = "header names separated by commas, or '*'"
    return comma_list(field_name, words=words, example="SCRIPT_NAME,REMOTE_USER", metavar="NAMES")


def field_values() -> Kind[Mapping[str, str]]:
    """A dict in a file; in a text NAME=VALUE with commas between them."""
    words = "headers with their values: a dict, or NAME=VALUE separated by commas"

    def convert(written: object) -> Mapping[str, str]:
        if isinstance(written, Mapping):
            pairs = list(written.items())
        else:
            items = [item for entry in items_of(written, words) for item in split_commas(entry)]
            pairs = [(name, value) for name, _, value in (item.partition("=") for item in items)]
        if not all(
            isinstance(name, str) and isinstance(value, str) and value.strip() for name, value in pairs
        ):
            raise refuse(written, words)
        return MappingProxyType({field_name(name.strip()): value.strip() for name, value in pairs})

    return Kind(convert, words, "NAME=VALUE,…", "X-FORWARDED-PROTO=https", blank=True)


def addresses() -> Kind[tuple[str, ...]]:
    """Where to listen: a list, in which a text may hold several with commas between them. What an address
    looks like is known to net/address.py, which the command asks before it does anything with the settings.
    """
    words = "HOST:PORT, [IPV6]:PORT, unix:PATH, unix:@NAME or fd://N"

    def convert(written: object) -> tuple[str, ...]:
        found = tuple(each for item in items_of(written, words) for each in split_addresses(item))
        if not found:
            raise BadValueError("is empty")
        return found

    return Kind(convert, words, "ADDRESS", "0.0.0.0:8000", split=split_addresses)


#: How an address begins, or looks as a whole, where the name of a file could go on instead.
ADDRESS = r"\s*(unix:|fd:|tcp:|https?:|s?uwsgi:|/|\./|\.\./|\[|:[0-9]|[^/:]+:[0-9]+\s*$)"
FILE = r"\s*((https?|s?uwsgi)://)?(unix:|/|\./|\.\./)"


def split_addresses(text: str) -> list[str]:
    """A comma between addresses; one in the name of a socket file belongs to that."""
    found: list[str] = []
    for part in text.split(","):
        if found and re.match(FILE, found[-1]) and not re.match(ADDRESS, part) and part.strip():
            found[-1] += f",{part}"
        else:
            found.append(part)
    return [item.strip() for item in found if item.strip()]


def class_names() -> Kind[tuple[str, ...]]:
    """Classes, by module and name. They are not imported, so nobody can say yet whether they exist."""
    words = "names of exceptions with their modules, separated by commas"

    def check(item: str) -> str:
        if not all(part.isidentifier() for part in item.split(".")):
            raise refuse(item, "the name of a class with its module")
        if "." not in item and not hasattr(builtins, item):
            raise BadValueError(
                f"{item!r} is no exception of Python's own", f"write its module too: module.{item}"
            )
        return item

    return comma_list(
        check, words=words, example="MemoryError,django.db.utils.InterfaceError", metavar="NAMES"
    )


def class_places() -> Kind[tuple[str, ...]]:
    """Classes by module and name, some with a number. Their form is known to the room that loads them."""
    words = "module:Class, or module:Class:N"

    def convert(written: object) -> tuple[str, ...]:
        items = items_of([] if written is None else written, words)
        if not all(":" in item for item in items):
            raise refuse(written, words)
        return tuple(item.strip() for item in items)

    return Kind(convert, words, "CLASS", "myproject.reports:Reports", split=split_commas, blank=True)


def targets() -> Kind[tuple[str, ...]]:
    """What a worker may ask itself for: a list of paths and URLs."""
    words = "/path, or http://host/path, or https://host/path"

    def convert(written: object) -> tuple[str, ...]:
        items = tuple(items_of([] if written is None else written, words))
        for item in items:
            if "#" in item or not re.fullmatch(PAGE, item):
                raise refuse(item, words)
        return items

    return Kind(convert, words, "PAGE", "/login", split=split_commas, blank=True)


def assignments() -> Kind[tuple[str, ...]]:
    words = "KEY=VALUE"

    def convert(written: object) -> tuple[str, ...]:
        if isinstance(written, Mapping):
            written = [f"{key}={value}" for key, value in written.items()]
        items = items_of([] if written is None else written, words)
        for item in items:
            if not re.match(r"[^=\0]+=[^\0]*\Z", item):
                raise refuse(item, words)
        return tuple(items)

    return Kind(convert, words, "KEY=VALUE", "DEBUG=1", split=split_shell, blank=True)


def split_shell(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise BadValueError(
            f"{shortened(text)} cannot be split into words like a shell command: {error}"
        ) from error


# --------------------------------------------------------------------------------- users and groups


def user_id() -> Kind[int]:
    return account(
        lambda name: pwd.getpwnam(name).pw_uid, "user", lambda: (entry.pw_name for entry in pwd.getpwall())
    )


def group_id() -> Kind[int]:
    return account(
        lambda name: grp.getgrnam(name).gr_gid, "group", lambda: (entry.gr_name for entry in grp.getgrall())
    )


def account(find: Callable[[str], int], what: str, names: Callable[[], Iterable[str]]) -> Kind[int]:
    """A name or a number. Numbers need no entry in the database: containers run under bare ids."""
    words = f"the name or the number of a {what}"

    def convert(written: object) -> int:
        number = maybe_whole(written)
        # setuid(-1) means "leave as is" to the kernel: it would keep root without a word.
        if number is not None and 0 <= number < 2**32 - 1:
            return number
        if number is not None or not isinstance(written, str):
            raise refuse(written, words)
        try:
            return find(written.strip())
        except KeyError as error:
            hint = did_you_mean(written, names()) or f"write {words} that exists on this machine"
            raise BadValueError(f"there is no {what} {shortened(written)}", hint) from error

    return Kind(convert, words, what.upper(), "root")
