"""`tricorn ctl`: find a running server, tell it something, and say what came of it.

Knows: the words of this command line, how a server is chosen, exit statuses. Must not know: how the server
does anything.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tricorn import __version__
from tricorn.commands import ctl_text, flame
from tricorn.config.errors import did_you_mean
from tricorn.control import finding
from tricorn.control.client import Connection, ControlError, NoAnswerError
from tricorn.control.protocol import Message
from tricorn.log.escape import escape_block, escape_line
from tricorn.metrics.exposition import OPEN
from tricorn.net.address import parse_bind
from tricorn.procfs import memory_of, stat_of
from tricorn.records import dataclass, field

DONE = 0
FAILED = 1
USAGE = 2
NO_SERVER = 3
NOT_YET = 4
INTERRUPTED = 130

#: How long a server may take to greet, or to tell something, seconds. Its loop has no part that waits, but
#: reading the settings anew may run foreign code.
PATIENCE = 5.0
GREETING = 1.0

#: Of a profile.
PROFILE_SECONDS = 10.0
#: Slow requests that are shown if nobody says how many.
SLOW_SHOWN = 10

VARIABLE = "TRICORN_CONTROL_SOCKET"
PID_DIGITS = 10

#: In front of what went wrong.
NAME = "tricorn ctl"


class UsageError(Exception):
    """What was written cannot be meant; one line."""


# -- the commands ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Verb:
    """One command. usage: its argument, for --help; in brackets if it can be left out. most: how many words
    that can be. question: from the words behind it. show: of what comes back as data, in text. is_report: it
    is answered at once. ends: the server ends after it."""

    summary: str
    usage: str = ""
    question: Callable[[Sequence[str]], Message] = lambda _words: {}
    show: Callable[[Any, ctl_text.Weigh], str] | None = None
    is_report: bool = False
    ends: bool = False
    most: int = 1

    @property
    def words(self) -> tuple[int, int]:
        """How many it wants at least, and at most."""
        is_needed = bool(self.usage) and (self.most > 1 or not self.usage.startswith("["))
        return int(is_needed), self.most if self.usage else 0


def size_of(words: Sequence[str]) -> Message:
    if len(words) == 2:
        return {"pool": words[0], **size_of(words[1:])}
    text = words[0]
    try:
        number = int(text)
    except ValueError:
        raise UsageError(f"{text!r} is not a number; write 4, +1 or -1") from None
    return {"by": number} if text[0] in "+-" else {"workers": number}


def process_of(words: Sequence[str]) -> Message:
    if not (words[0].isascii() and words[0].isdigit()):
        raise UsageError(f"{words[0]!r} is not a process id; `tricorn ctl workers` shows them")
    return {"pid": int(words[0])}


def maybe_process_of(words: Sequence[str]) -> Message:
    return process_of(words) if words else {}


def maybe_count_of(words: Sequence[str]) -> Message:
    if not words:
        return {"last": SLOW_SHOWN}
    if not (words[0].isascii() and words[0].isdigit()):
        raise UsageError(f"{words[0]!r} is not a number; write 50")
    return {"last": int(words[0])}


def maybe_level_of(words: Sequence[str]) -> Message:
    return {"level": words[0]} if words else {}


VERBS: Mapping[str, Verb] = {
    "status": Verb("How the server is, and what its workers do", show=ctl_text.status, is_report=True),
    "workers": Verb("What its workers do", show=ctl_text.table_of_workers, is_report=True),
    "config": Verb(
        "Its settings, and where they come from", show=lambda data, _: ctl_text.config(data), is_report=True
    ),
    "certs": Verb(
        "Its certificates, and how long they are valid",
        show=lambda data, _: ctl_text.certificates(data),
        is_report=True,
    ),
    "events": Verb(
        "What has happened lately; with --follow also what happens from now on",
        show=lambda data, _: ctl_text.events(data),
        is_report=True,
    ),
    "metrics": Verb(
        "What it counts, as Prometheus reads it; with --openmetrics in that format",
        show=lambda data, _: ctl_text.figures(data).rstrip("\n"),
        is_report=True,
    ),
    "requests": Verb(
        "What each request does now", show=lambda data, _: ctl_text.requests(data), is_report=True
    ),
    "slow": Verb(
        "The last requests that were slow (slow_request_time), where, and whose fault it was",
        "[N]",
        maybe_count_of,
        show=lambda data, _: ctl_text.slow(data),
        is_report=True,
    ),
    "dump": Verb(
        "Where the threads and tasks of a worker are, or of all",
        "[PID]",
        maybe_process_of,
        show=lambda data, _: ctl_text.stacks(data),
    ),
    "profile": Verb(
        "Look for some seconds where the time goes, and write files",
        "[PID]",
        maybe_process_of,
    ),
    "log-level": Verb("Show the level of the error log, or set it", "[LEVEL]", maybe_level_of),
    "reload": Verb("Read the settings again, and load the code anew (HUP)"),
    "upgrade": Verb("Put a new master with a new Python and Tricorn in its place (USR2)"),
    "scale": Verb(
        "Have so many workers, or more or fewer: 4, +1, -1; heavy 4: so many heavy ones",
        "[POOL] N",
        size_of,
        most=2,
    ),
    "replace": Verb("Put another worker in the place of this one, which finishes first", "PID", process_of),
    "kill": Verb("End a worker at once, and start another", "PID", process_of),
    "pause": Verb("Finish all requests, and let new connections wait"),
    "resume": Verb("Serve again after a pause"),
    "refork": Verb("Fork all workers anew from one that has served (with preload_app)"),
    "reopen": Verb("Open the log files again (USR1)"),
    "rest": Verb("In an upgrade by hand: send the workers of the old master away (WINCH)"),
    "stop": Verb("Finish all requests, and stop (TERM)", ends=True),
    "quit": Verb("Stop at once (INT)", ends=True),
}

#: What others say for the same, above all Gunicorn's gunicornc. A word in braces is an argument, 1 if it is
#: left out.
OTHER_WORDS: Mapping[str, str] = {
    "show all": "status",
    "show stats": "status",
    "show listeners": "status",
    "show workers": "workers",
    "show config": "config",
    "worker add": "scale +{}",
    "worker remove": "scale -{}",
    "worker kill": "replace {}",
    "show dirty": "workers",
    "dirty add": "scale heavy +{}",
    "dirty remove": "scale heavy -{}",
    "drain": "stop",
    "shutdown": "stop",
    "shutdown graceful": "stop",
    "shutdown quick": "quit",
}


@dataclass
class Line:
    """A command line, taken apart. timeout: seconds, None: any time."""

    words: list[str] = field(default_factory=list)
    socket: str | None = None
    pidfile: str | None = None
    bind: str | None = None
    timeout: float | None = None
    waits: bool = True
    as_json: bool = False
    follows: bool = False
    is_open: bool = False
    seconds: float | None = None
    output: str | None = None
    asks_help: bool = False
    asks_version: bool = False


def main(words: Sequence[str]) -> int:
    """The exit status: 0 done, 1 failed or refused, 2 not understood, 3 no server, 4 not done (yet)."""
    return status_of(run, words, NAME)


def status_of(run: Callable[[Sequence[str]], int], words: Sequence[str], name: str) -> int:
    """The exit status of a command that asks a server. name: of the command, in front of what went wrong."""
    try:
        status = run(words)
        sys.stdout.flush()
        return status
    except UsageError as error:
        return complain(str(error), USAGE, name)
    except NoAnswerError as error:
        return complain(f"{error}; it may be reading its settings, or be suspended", NO_SERVER, name)
    except ControlError as error:
        return complain(str(error), NO_SERVER, name)
    except BrokenPipeError:
        # The reader (`| head`) has seen enough. The flush at the end of the interpreter must not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return DONE
    except KeyboardInterrupt:
        return INTERRUPTED


def run(words: Sequence[str]) -> int:
    line = taken_apart(words)
    if line.asks_version:
        print(f"tricorn {__version__}")
        return DONE
    if line.asks_help or not line.words or line.words == ["help"]:
        print(help_text())
        return DONE if line.asks_help or line.words else USAGE
    name, question = meant(line.words)
    if line.follows and name != "events":
        raise UsageError(f"--follow is for events, not for {name}")
    if line.is_open and name != "metrics":
        raise UsageError(f"--openmetrics is for metrics, not for {name}")
    if name == "profile":
        question |= {"seconds": PROFILE_SECONDS if line.seconds is None else line.seconds}
    elif line.seconds is not None or line.output is not None:
        raise UsageError(f"--seconds and --output are for profile, not for {name}")
    with server(line) as connection:
        return (follow if line.follows else tell)(connection, line, name, question)


def tell(connection: Connection, line: Line, name: str, question: Message) -> int:
    verb = VERBS[name]
    deadline = None if line.timeout is None else time.monotonic() + line.timeout
    if verb.is_report:
        answer = connection.ask(question, deadline or time.monotonic() + PATIENCE)
    else:
        try:
            answer = connection.ask(question | ({} if line.waits else {"wait": False}), deadline)
        except NoAnswerError:
            answer = late(f"It is not done after {line.timeout:g} s, and goes on")
    if verb.ends and answer.get("ok") and line.waits:
        if connection.wait_closed(deadline):
            answer = {"ok": True, "done": True, "say": f"The server has stopped (process {connection.pid})"}
        else:
            answer = late(f"{answer.get('say')}; it has not stopped after {line.timeout:g} s")
    if name == "profile" and not line.as_json and "data" in answer:
        return written(answer["data"], line, connection)
    show(answer, line, verb, weigh if connection.is_seen_as else lambda _: 0)
    if not answer.get("ok"):
        return FAILED
    return DONE if answer.get("done") or not line.waits else NOT_YET


def written(answers: Sequence[Mapping[str, Any]], line: Line, connection: Connection) -> int:
    """A profile, into two files."""
    stacks = flame.stacks_of(answers)
    workers = ", ".join(str(answer.get("pid")) for answer in answers)
    title = f"{connection.greeting.get('app')}: worker{'s' if len(answers) > 1 else ''} {workers}"
    base = line.output or f"tricorn-profile-{connection.pid}"
    files = {
        f"{base}.speedscope.json": json.dumps(flame.speedscope(stacks, title)),
        f"{base}.svg": flame.svg(stacks, title),
    }
    for path, text in files.items():
        try:
            Path(path).write_text(text, encoding="utf-8")
        except OSError as error:
            return complain(f"cannot write {path}: {error.strerror}", FAILED)
        print(escape_line(f"{path} is written"))
    if not stacks:
        print("Nothing of the application's has run: all files are empty")
    return DONE


def follow(connection: Connection, line: Line, name: str, question: Message) -> int:
    """Events, until somebody has seen enough, or the server is gone."""
    deadline = None if line.timeout is None else time.monotonic() + line.timeout
    answer = connection.ask(question, deadline or time.monotonic() + PATIENCE)
    while answer.get("ok"):
        events = answer["data"]
        if events and line.as_json:
            print("\n".join(map(json.dumps, events)), flush=True)  # a line each, for a program that reads on
        elif events:
            print(ctl_text.events(events), flush=True)
        last = events[-1]["number"] if events else question.get("after", 0)
        question = {"do": name, "after": last, "wait": True}
        try:
            answer = connection.ask(question, deadline)
        except NoAnswerError:
            return DONE
        except ControlError:
            return complain("the server has stopped", DONE)
    show(answer, line, VERBS[name], weigh)
    return FAILED


def late(say: str) -> Message:
    return {"ok": True, "done": False, "say": say}


def show(answer: Message, line: Line, verb: Verb, weigh: ctl_text.Weigh) -> None:
    stream = sys.stdout if answer.get("ok") else sys.stderr
    if line.as_json:
        print(json.dumps(answer, indent=2), flush=True)
    elif line.is_open and "data" in answer:
        print(ctl_text.figures(answer["data"], OPEN), end="", flush=True)
    elif verb.show is not None and "data" in answer:
        print(verb.show(answer["data"], weigh), flush=True)
    else:
        print(escape_line(str(answer.get("say", ""))), file=stream)
        if detail := answer.get("detail"):
            print(escape_block(str(detail)), file=stream)


def weigh(pid: int) -> int:
    """Bytes of memory of a process (RSS); 0: it has gone."""
    stat = stat_of(pid)
    return memory_of(stat) if stat else 0


def complain(text: str, code: int, name: str = NAME) -> int:
    print(f"{name}: {escape_line(text)}", file=sys.stderr)
    return code


# -- the command line --------------------------------------------------------------------------------------

#: Options that take a value → how it is kept.
VALUES: Mapping[str, str] = {
    "-s": "socket",
    "--socket": "socket",
    "-p": "pidfile",
    "--pid": "pidfile",
    "-b": "bind",
    "--bind": "bind",
    "-t": "timeout",
    "--timeout": "timeout",
    "--seconds": "seconds",
    "-o": "output",
    "--output": "output",
    "-c": "command",
    "--command": "command",
}

#: Options that take none → what they set.
SWITCHES: Mapping[str, tuple[str, bool]] = {
    "-j": ("as_json", True),
    "--json": ("as_json", True),
    "--wait": ("waits", True),
    "--no-wait": ("waits", False),
    "--openmetrics": ("is_open", True),
    "-f": ("follows", True),
    "--follow": ("follows", True),
    "-h": ("asks_help", True),
    "--help": ("asks_help", True),
    "-v": ("asks_version", True),
    "--version": ("asks_version", True),
}


def taken_apart(words: Sequence[str]) -> Line:
    line = Line()
    rest = list(words)
    while rest:
        word = rest.pop(0)
        option, equals, value = word.partition("=")
        if option in VALUES:
            if not equals and not rest:
                raise UsageError(f"{option} needs a value")
            keep(line, VALUES[option], value if equals else rest.pop(0))
        elif word in SWITCHES:
            setattr(line, *SWITCHES[word])
        elif word.startswith("-") and not word[1:].isdigit():
            near = did_you_mean(option, (*VALUES, *SWITCHES))
            raise UsageError(f"there is no option {option}; {near or 'see tricorn ctl --help'}")
        else:
            line.words.append(word)
    return line


def keep(line: Line, name: str, value: str) -> None:
    if name == "command":
        try:
            line.words += shlex.split(value)
        except ValueError as error:
            raise UsageError(f"--command: {value!r}: {error}") from None
    elif name == "seconds":
        try:
            line.seconds = float(value)
        except ValueError:
            raise UsageError(f"--seconds: {value!r} is not a number of seconds") from None
    elif name == "timeout":
        try:
            line.timeout = float(value) or None
        except ValueError:
            line.timeout = -1.0
        if line.timeout is not None and not line.timeout > 0:
            raise UsageError(f"--timeout: {value!r} is not a number of seconds")
    else:
        setattr(line, name, value)


def meant(words: Sequence[str]) -> tuple[str, Message]:
    """The command, and what to ask the server."""
    name, *rest = in_our_words(list(words))
    verb = VERBS.get(name)
    if verb is None:
        near = did_you_mean(name, VERBS)
        raise UsageError(f"there is no command {name!r}; {near or 'the commands are ' + ', '.join(VERBS)}")
    least, most = verb.words
    if not least <= len(rest) <= most:
        usage = f"tricorn ctl {name} {verb.usage}".rstrip()
        problem = "a word is missing" if len(rest) < least else "too many words"
        raise UsageError(f"{name}: {problem}; write {usage}")
    try:
        return name, {"do": name, **verb.question(rest)}
    except UsageError as error:
        raise UsageError(f"{name}: {error}") from None


def in_our_words(words: list[str]) -> list[str]:
    for length in (2, 1):
        ours = OTHER_WORDS.get(" ".join(words[:length]).lower()) if len(words) >= length else None
        if ours is not None:
            rest = words[length:] or (["1"] if "{}" in ours and "kill" not in words else [])
            return (
                [*ours.format(*rest).split(), *rest[1:]] if "{}" in ours and rest else [*ours.split(), *rest]
            )
    return words


def help_text() -> str:
    lines = [
        "Usage: tricorn ctl [options] COMMAND",
        "",
        "Tells a running server something, waits until it is done, and says what came of it.",
        "",
        "Commands:",
    ]
    lines += columns((f"{name} {verb.usage}".rstrip(), verb.summary + ".") for name, verb in VERBS.items())
    lines += ["", "Which server (needed if there are several):"]
    lines += columns(
        (
            ("-p, --pid FILE", "The one whose process id is in this file, or is this number."),
            ("-b, --bind ADDRESS", "The one that listens there, if it has no control_socket set."),
            ("-s, --socket FILE", f"The one with this control socket. Also by ${VARIABLE}."),
        )
    )
    lines += ["", "Options:"]
    lines += columns(
        (
            ("--no-wait", "Do not wait until it is done."),
            ("-t, --timeout SECONDS", "Wait so long at most. The server goes on all the same."),
            ("-j, --json", "Print the whole answer as JSON."),
            ("-f, --follow", "Of events, go on showing what happens."),
            ("--seconds SECONDS", f"Of profile, how long to look ({PROFILE_SECONDS:g})."),
            ("-o, --output NAME", "Of profile, the files: NAME.speedscope.json and NAME.svg."),
            (
                "-c, --command TEXT",
                "The command as one text, as gunicornc takes it.",
            ),
            ("-h, --help", "Show this text and exit."),
        )
    )
    lines += [
        "",
        "Exit status: 0 done, 1 failed or refused (the sentence says why), 2 not understood,",
        "3 no such server, 4 not done yet.",
        "",
        "`tricorn ctl:app`, `tricorn ./ctl.py` and `tricorn -- ctl` serve an application of that name.",
    ]
    return "\n".join(lines)


def columns(rows: Iterator[tuple[str, str]] | Sequence[tuple[str, str]]) -> Iterator[str]:
    for left, right in rows:
        yield f"  {left:<24}{right}"


# -- which server ------------------------------------------------------------------------------------------


def server(line: Line) -> Connection:
    """A connection to the one that is meant. ControlError: there is none, or it is not clear which."""
    path = named_socket(line)
    if path:
        return Connection(path, patience(line), trusts_anybody=True)
    if line.pidfile is not None:
        return of_pidfile(line.pidfile, patience(line))
    return the_only_one(line)


def named_socket(line: Line) -> str | None:
    """The path that somebody has named."""
    return line.socket or (os.environ.get(VARIABLE) if line.pidfile is None and line.bind is None else None)


def patience(line: Line) -> float:
    return min(PATIENCE, line.timeout or PATIENCE)


def of_pidfile(path: str, seconds: float) -> Connection:
    """path: of the file; or the number itself, where there is no such file."""
    try:
        text = Path(path).read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError as error:
        if not (path.isascii() and path.isdigit()):
            raise ControlError(f"{path}: {error.strerror}; the server may not be running") from None
        text = path
    except OSError as error:
        raise ControlError(f"{path}: {error.strerror}") from None
    if not (text.isdigit() and len(text) <= PID_DIGITS):
        raise ControlError(f"{path}: there is no process id in it")
    pid, by = int(text), f" ({path})" if path != text else ""
    if not stat_of(pid):
        raise ControlError(f"process {pid}{by} is not running")
    reasons, candidates = [], finding.of_process(pid)
    for candidate in candidates:
        try:
            # Of several all but one are for requests, and whoever listens there says nothing.
            connection = Connection(candidate, seconds if len(candidates) == 1 else min(seconds, GREETING))
        except ControlError as error:
            reasons.append(error)
            continue
        if connection.pid == pid:
            return connection
        connection.close()
    if reasons:
        raise reasons[0]
    raise ControlError(
        f"process {pid}{by} has no control socket that can be found; name it with --socket, or send it "
        "signals"
    )


def the_only_one(line: Line) -> Connection:
    address = None if line.bind is None else wanted(line.bind)
    with ExitStack() as found:
        connections, reasons = [], []
        for path in finding.all_of_masters():
            try:
                connections.append(found.enter_context(Connection(path, patience(line))))
            except ControlError as error:
                reasons.append(str(error))
        # While an upgrade is under way, there are two masters of one service.
        mains = [each for each in connections if each.greeting.get("is_main")] or connections
        if address is not None:
            mains = [each for each in mains if address in map(plain, each.greeting.get("listeners", ()))]
        if len(mains) == 1:
            chosen = mains[0]
            found.pop_all()
            for other in connections:
                if other is not chosen:
                    other.close()
            return chosen
    if mains:
        rows = "".join(f"; process {each.pid}: {described(each.greeting)}" for each in mains)
        raise ControlError(f"{len(mains)} servers are running: say which, by --pid, --bind or --socket{rows}")
    where = f" at {line.bind}" if line.bind is not None else ""
    hint = "; ".join(reasons) or "name its control socket with --socket if control_socket is set"
    raise ControlError(f"no server found{where} that this user may control; {hint}")


def described(greeting: Message) -> str:
    return f"{greeting.get('app')} at {', '.join(greeting.get('listeners', [])) or 'no address yet'}"


def wanted(bind: str) -> str:
    try:
        return plain(str(parse_bind(bind).address))
    except ValueError as error:
        raise UsageError(f"--bind: {error}") from None


def plain(address: str) -> str:
    """Without the scheme, which a bind need not have."""
    return address.removeprefix("http://").removeprefix("https://")
