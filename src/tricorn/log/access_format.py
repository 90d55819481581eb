"""The words of an access log format: from `%(h)s "%(r)s"` to a list of steps.

Knows: the atoms, where an environ and an ASGI scope have their values, what a wrong format should have been.
Must not know: how a step is carried out (access_line.pyx), where the lines go, settings.

A step names its value by the key of the environ, for ASGI too: `scope_place` says where a scope has the same.

It runs once at start, so it is plain Python; each step then costs `access_line.pyx` one `switch`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

COMBINED = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"'
JSON = "json"
#: Short lines for who develops: on a terminal, and where something else reads them.
FRIENDLY_COLOURED, FRIENDLY = "dev-colour", "dev"
#: The same in atoms, for whoever knows nothing else: methods of Gunicorn's Logger.
FRIENDLY_ATOMS = "%(t)s %(s)s %(m)s %(U)s %(M)s ms"


class Step(NamedTuple):
    """One thing to append. `kind` is a key of `KINDS` in access_line.pyx."""

    kind: str
    text: str = ""  # literal text, or the lower-case name of a response header
    key: str = ""  # key of the environ
    other: str = ""  # key to ask where `key` has nothing


class Place(NamedTuple):
    """Where an ASGI scope has a value. `kind` is a key of `PLACES` in access_line.pyx."""

    kind: str
    name: str = ""  # key of the scope, or lower-case name of a header, in which `_` stands for `-` too


# What an environ and a scope both have (PEP 3333, "environ Variables"; ASGI 3, "HTTP & WebSocket").
SCOPE_PLACES: dict[str, Place] = {
    "REQUEST_METHOD": Place("method", "method"),
    "RAW_URI": Place("uri"),
    "PATH_INFO": Place("value", "path"),
    "SCRIPT_NAME": Place("value", "root_path"),
    "QUERY_STRING": Place("value", "query_string"),
    "SERVER_PROTOCOL": Place("protocol"),
    "REMOTE_ADDR": Place("host", "client"),
    "REMOTE_PORT": Place("port", "client"),
    "SERVER_NAME": Place("host", "server"),
    "SERVER_PORT": Place("port", "server"),
    "wsgi.url_scheme": Place("value", "scheme"),
}

# Atom → steps. The same letters as Gunicorn's, so a format can be carried over as it is; `Q` and `i` are
# ours.
ATOMS: dict[str, list[Step]] = {
    "h": [Step("address", key="REMOTE_ADDR")],
    "l": [Step("literal", text="-")],
    "u": [Step("user", key="HTTP_AUTHORIZATION")],
    "t": [Step("time")],
    "r": [
        Step("field", key="REQUEST_METHOD"),
        Step("literal", text=" "),
        Step("field", key="RAW_URI", other="PATH_INFO"),
        Step("literal", text=" "),
        Step("field", key="SERVER_PROTOCOL"),
    ],
    "s": [Step("status")],
    "m": [Step("field", key="REQUEST_METHOD")],
    "U": [Step("field", key="PATH_INFO")],
    "q": [Step("field", key="QUERY_STRING")],
    "H": [Step("field", key="SERVER_PROTOCOL")],
    "b": [Step("bytes_or_dash")],
    "B": [Step("bytes")],
    "f": [Step("field", key="HTTP_REFERER")],
    "a": [Step("field", key="HTTP_USER_AGENT")],
    "T": [Step("seconds")],
    "D": [Step("microseconds")],
    "M": [Step("milliseconds")],
    "L": [Step("decimal_seconds")],
    "Q": [Step("queued")],
    "i": [Step("request_id")],
    "p": [Step("pid")],
}
UNKNOWN = [Step("literal", text="-")]
NAMES = re.compile(r"%\(([^)]*)\)")
NUMBERS = frozenset("sBTDMp")  # the atoms that may also be written with a `d`: %(D)d

JSON_STEPS: list[Step] = [
    Step("literal", text='{"time":"'),
    Step("iso_time"),
    Step("literal", text='","remote_addr":'),
    Step("json", key="REMOTE_ADDR"),
    Step("literal", text=',"method":'),
    Step("json", key="REQUEST_METHOD"),
    Step("literal", text=',"path":'),
    Step("json", key="PATH_INFO"),
    Step("literal", text=',"query":'),
    Step("json", key="QUERY_STRING"),
    Step("literal", text=',"protocol":'),
    Step("json", key="SERVER_PROTOCOL"),
    Step("literal", text=',"status":'),
    Step("status_number"),
    Step("literal", text=',"bytes":'),
    Step("bytes"),
    Step("literal", text=',"duration_us":'),
    Step("microseconds"),
    Step("json_queued", text=',"queue_us":'),
    Step("literal", text=',"referer":'),
    Step("json", key="HTTP_REFERER"),
    Step("literal", text=',"user_agent":'),
    Step("json", key="HTTP_USER_AGENT"),
    # The server's own id where requests have one, else the client's word.
    Step("json_request_id", text=',"request_id":', key="HTTP_X_REQUEST_ID"),
    Step("literal", text="}"),
]

FRIENDLY_STEPS: list[Step] = [
    Step("clock"),
    Step("literal", text="  "),
    Step("status"),
    Step("literal", text="  "),
    Step("field", key="REQUEST_METHOD"),
    Step("literal", text=" "),
    Step("field", key="RAW_URI", other="PATH_INFO"),
    Step("literal", text="  "),
    Step("tenths"),
    Step("literal", text=" ms"),
]
#: The status in a colour (ECMA-48 §8.3.117), the time and how long it took dim.
FRIENDLY_COLOURED_STEPS: list[Step] = [
    Step("literal", text="\x1b[2m"),
    *FRIENDLY_STEPS[:1],
    Step("literal", text="\x1b[0m  "),
    Step("colour"),
    Step("status"),
    Step("literal", text="\x1b[0m  "),
    *FRIENDLY_STEPS[4:7],
    Step("literal", text="  \x1b[2m"),
    *FRIENDLY_STEPS[8:],
    Step("literal", text="\x1b[0m"),
]
WORDS: dict[str, list[Step]] = {
    JSON: JSON_STEPS,
    FRIENDLY: FRIENDLY_STEPS,
    FRIENDLY_COLOURED: FRIENDLY_COLOURED_STEPS,
}


def for_terminal(text: str) -> str:
    """The format in colour, if it has one."""
    return FRIENDLY_COLOURED if text == FRIENDLY else text


def compile_format(text: str) -> list[Step]:
    """The steps of `text`, neighbouring literals joined. ValueError says what to write instead."""
    if text in WORDS:
        return _joined(WORDS[text])
    if "\n" in text or "\r" in text:
        raise ValueError("an access log format is one line; remove the line break")
    steps: list[Step] = []
    position = 0
    while position < len(text):
        percent = text.find("%", position)
        if percent < 0:
            percent = len(text)
        if percent > position:
            steps.append(Step("literal", text=text[position:percent]))
        if percent == len(text):
            break
        found, position = _atom_at(text, percent)
        steps += found
    return _joined(steps)


def _atom_at(text: str, percent: int) -> tuple[list[Step], int]:
    """The steps of the atom that starts at the `%`, and where the text goes on."""
    if text.startswith("%%", percent):
        return [Step("literal", text="%")], percent + 2
    if not text.startswith("%(", percent):
        raise ValueError(
            f"a lone % at position {percent} of the access log format: write %% for a percent sign, "
            "%(h)s for an atom"
        )
    close = text.find(")", percent)
    if close < 0:
        raise ValueError(f"{text[percent : percent + 20]!r} in the access log format has no closing ')'")
    name, conversion = text[percent + 2 : close], text[close + 1 : close + 2]
    steps = _atom(name)
    if conversion == "d" and name in ATOMS and name not in NUMBERS:
        raise ValueError(f"%({name})d in the access log format is not a number: write %({name})s")
    if conversion not in ("s", "d"):
        raise ValueError(
            f"%({name}){conversion} in the access log format: widths and other conversions are not "
            f"supported, write %({name})s"
        )
    return steps, close + 2


def _atom(name: str) -> list[Step]:
    if name in ATOMS:
        return ATOMS[name]
    inner, _, source = name.removeprefix("{").rpartition("}")
    if name.startswith("{") and inner:
        if source == "i":
            return [Step("field", key=environ_key(inner))]
        if source == "o":
            return [Step("response_header", text=inner.lower())]
        if source == "e":
            # As it is written or in upper case: Gunicorn ignores case.
            return [Step("environ", key=inner, other=inner.upper())]
    return UNKNOWN  # as in Gunicorn, whose formats people have; `unknown_atoms` tells of it


def unknown_atoms(text: str) -> list[str]:
    """What is written as a dash because nobody knows it, each with what may have been meant."""
    if text in WORDS:
        return []
    found = dict.fromkeys(name for name in NAMES.findall(text.replace("%%", "")) if _atom(name) is UNKNOWN)
    return [f"%({name})s is no atom and is written as -; {_meant(name)}" for name in found]


def _meant(name: str) -> str:
    bare = name.strip("{}")
    if len(bare) > 1 and bare.replace("-", "").isalnum():
        return f"for a request header, write %({{{bare}}}i)s"
    known = " ".join(sorted(ATOMS, key=str.lower))
    return f"the atoms are {known}, and %({{name}}i)s for a request header"


def environ_key(header: str) -> str:
    """The environ key of a request header, as PEP 3333 (CGI) spells it."""
    key = header.upper().replace("-", "_")
    return key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else "HTTP_" + key


def scope_place(key: str) -> Place:
    """Where a scope has what an environ has under `key`. Any other key is taken for one of its own."""
    if key in SCOPE_PLACES:
        return SCOPE_PLACES[key]
    if key in ("CONTENT_TYPE", "CONTENT_LENGTH") or key.startswith("HTTP_"):
        return Place("header", key.removeprefix("HTTP_").lower())
    return Place("value", key)


def _joined(steps: list[Step]) -> list[Step]:
    joined: list[Step] = []
    for step in steps:
        if step.kind == "literal" and joined and joined[-1].kind == "literal":
            joined[-1] = Step("literal", text=joined[-1].text + step.text)
        else:
            joined.append(step)
    return joined
