"""The shape of the house, as ARCHITECTURE.md draws it: who imports whom, who touches the world.

A rule that has to bend gets a line in one of the tables below, with its reason.
"""

from __future__ import annotations

import ast
import re

import pytest
from architecture.source import MODULES, ROOMS, ROOT, Module

#: Which rooms each room may import besides itself; the arrows of ARCHITECTURE.md.
SIDE_ROOMS = {
    *("config", "kinds", "log", "net", "tls", "scoreboard", "handover", "forks", "sigaction", "parentage"),
    *("drain", "hooks", "machine", "metrics", "procfs", "control", "summary", "patches", "wishes"),
    *("admin", "alarms", "tracing", "console", "heavy", "static"),
}

#: How a program starts a server: by all that the command has, and the command knows nothing of it.
ABOVE_LAUNCH = {"cli", "embedding", "app", "testing", "contrib", "__main__"}

#: As if it were the standard library's: every room may use it.
EVERYBODYS = {"records"}

MAY_IMPORT: dict[str, set[str]] = {
    "http": set(),
    "gateway": {"http"},
    "transport": {"gateway", "http", "log", "metrics", "scoreboard", "static", "tracing"},
    "workers": {
        "transport",
        "gateway",
        "http",
        "config",
        "kinds",
        "log",
        "net",
        "tls",
        "scoreboard",
        "handover",
        "forks",
        "sigaction",
        "drain",
        "summary",
        "wishes",
        "admin",
        "control",  # the door, which it is given
        "hooks",
        "patches",
        "static",
        "tracing",
        "heavy",
    },
    "arbiter": {
        "config",
        "log",
        "net",
        "tls",
        "scoreboard",
        "handover",
        "forks",
        "sigaction",
        "parentage",
        "machine",
        "procfs",
        "control",
        "metrics",
        "admin",
        "alarms",
        "summary",
        "wishes",
        "hooks",
        "heavy",
    },
    "heavy": {"config", "log"},
    "alarms": {"config", "metrics"},
    "control": {"config", "net"},
    "admin": {"config", "control", "metrics", "net", "procfs"},
    "commands": {"compat", "config", "control", "kinds", "log", "machine", "metrics", "net", "procfs"},
    "hooks": {"config", "http", "log", "net", "scoreboard", "tls"},
    "config": {"kinds", "machine"},
    "kinds": set(),
    "log": {"config"},
    "net": {"config", "procfs"},
    "tls": {"config", "net"},
    "scoreboard": set(),
    "metrics": {"scoreboard"},
    "static": {"http"},
    "tracing": {"http", "log"},
    "forks": set(),
    "sigaction": set(),
    "parentage": set(),
    "drain": set(),
    "patches": set(),
    "summary": set(),
    "wishes": set(),
    "machine": set(),
    "procfs": set(),
    "handover": {"config", "hooks", "net", "tls", "scoreboard", "wishes"},
    "console": set(),
    "launch": ROOMS - ABOVE_LAUNCH,
    "cli": {"arbiter", "commands", "config", "console", "launch", "workers"},
    "worker_classes": {"workers", "config", "kinds", "handover", "compat"},
    "compat": set(),
    "embedding": {"config", "console", "forks", "gateway", "launch", "log", "parentage", "patches"},
    "app": {"console", "embedding", "workers", "gateway", "config", "kinds", "net", "compat"},
    "testing": {"embedding", "console", "launch", "arbiter", "gateway", "config", "kinds", "net", "tls"},
    "contrib": set(),
    "records": set(),
    "__main__": {"cli"},
}

#: The transport's floors, from the ground up: bytes and descriptors, without HTTP; requests in those bytes,
#: without threads, loops and applications; what applications run on. A module imports from its own floor and
#: from those below.
FLOORS: dict[str, tuple[str, ...]] = {
    "channel": (
        *("system", "poller", "wire", "send_queue", "thread_context", "channel", "hold", "kernel_tls", "tls"),
        "tls_layer",
        "relay",
        *("errors", "failures", "files", "stacks", "streams"),
    ),
    "protocol": (
        "admission",
        "body",
        "routes",
        "request_ids",
        "worker_context",
        "request",
        "http1",
        "http2",
        "opening",
        "passing",
        "queues",
        "client_socket",
    ),
    "runner": (
        *(
            "caller",
            "deadline",
            "task_deadline",
            "thread_pool",
            "loop_context",
            "wsgi_request",
            "asgi_request",
            "websocket",
            "server",
            "thread_server",
        ),
        *("loop_watch", "loop_server", "tornado_request", "frame_chunks", "green_server"),
    ),
}

#: No I/O and no clock in these rooms.
PURE = ("http", "gateway")

#: Modules whose only use is to reach out of the process, or to look at a clock.
WORLD = {
    *("_io", "_socket", "_thread", "asyncio", "concurrent", "datetime", "fcntl", "io", "logging", "mmap"),
    *("multiprocessing", "os", "pathlib", "posix", "random", "select", "selectors", "shutil", "signal"),
    *("socket", "socketserver", "ssl", "subprocess", "tempfile", "threading", "time", "urllib"),
}
#: The same for C: declarations from these headers, or cimports of these modules.
C_WORLD = re.compile(r"sys/|unistd|fcntl|poll|netinet|arpa|pthread|signal|posix|libc\.(time|signal)")

TASKS = "tasks are what ASGI applications are; no loop is made, run or asked for I/O"

#: file → module → why it may.
ALLOWED_WORLD: dict[str, dict[str, str]] = {
    "gateway/loader.py": {
        "pathlib": "an application may be named by its file; it is loaded once, before the first request"
    },
    "gateway/input.pyx": {
        "io": "an empty wsgi.input is registered as a binary file, and raises what those raise"
    },
    "gateway/asgi.pyi": {"asyncio": TASKS},
    "gateway/waiting.pyx": {"asyncio": TASKS},
    "gateway/waiting.pyi": {"asyncio": TASKS},
    "gateway/lifespan.py": {
        "asyncio": "a lifespan is a task beside the requests; who starts and stops a worker waits for it"
    },
}

#: A socket in a name, in any case; WebSockets are a protocol like another.
SOCKET = r"(?i:\w*(?<!web)socket\w*)"

#: Names in the code of a room that would mean it knows what it must not (the table in ARCHITECTURE.md).
FOREIGN: dict[str, str] = {
    "http": rf"\b({SOCKET}|\w*epoll\w*|\w*wsgi\w*|environ|start_response|[Ss]ettings|monotonic|fork)\b",
    "gateway": rf"\b({SOCKET}|\w*epoll\w*|recv|sendmsg|chunked|keep_alive|[Ss]ettings|monotonic|fork)\b",
    "transport": r"\b([Ss]ettings|fork|kill|setitimer|waitpid|getpid|arbiter)\b",
    "workers": r"\b([Aa]rbiter|fork|waitpid|generation)\b",
    "arbiter": r"\b(http|(Thread|Loop)Server|[Gg]ateway|[Tt]ransport|start_response|serve_\w+|recv|accept)\b",
    "control": r"\b([Aa]rbiter|(Thread|Loop)Server|Worker|wsgi|fork|[Gg]eneration|Target)\b",
    "commands": r"\b([Aa]rbiter|(Thread|Loop)Server|fork|waitpid|Target)\b",
    "config": r"\b([Aa]rbiter|(Thread|Loop)Server|Worker|fork)\b",
    "heavy": r"\b([Aa]rbiter|(Thread|Loop)Server|Channel|wsgi|environ|fork|waitpid|[Gg]eneration)\b",
    "hooks": r"\b([Aa]rbiter|(Thread|Loop)Server|fork|waitpid|kill|recv|accept)\b",
    "log": r"\b([Aa]rbiter|(Thread|Loop)Server|Channel|Worker)\b",
    "net": r"\b([Aa]rbiter|(Thread|Loop)Server|Channel|Worker|wsgi|environ)\b",
    "tls": r"\b([Aa]rbiter|(Thread|Loop)Server|wsgi|fork|waitpid|recv|accept|start_response)\b",
    "scoreboard": r"\b([Aa]rbiter|(Thread|Loop)Server|Channel|[Ss]ettings|decide)\b",
    "static": rf"\b({SOCKET}|\w*epoll\w*|\w*wsgi\w*|environ|start_response|[Ss]ettings|monotonic|chunked)\b",
}


#: C headers of the world outside, with the reason.
ALLOWED_HEADERS: dict[str, dict[str, str]] = {
    "http/h1.pyx": {"arpa/inet.h": "inet_pton knows the grammar of an IPv6 address; it opens nothing"},
}


def named(module: Module) -> str:
    return module.name


every_module = pytest.mark.parametrize("module", MODULES, ids=named)
pure_module = pytest.mark.parametrize("module", [m for m in MODULES if m.room in PURE], ids=named)


def rooms_imported(module: Module) -> set[str]:
    return {name.split(".")[1] for name in module.imports if name.startswith("tricorn.")}


def test_every_room_has_its_rule() -> None:
    assert {module.room for module in MODULES} - {"__init__"} == set(MAY_IMPORT)


def test_the_table_of_architecture_md_names_every_room() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    table = set(re.findall(r"^\| `(\w+)/?` \|", text, re.MULTILINE))
    assert table == ROOMS


@every_module
def test_imports_run_in_one_direction(module: Module) -> None:
    if module.room != "__init__":
        assert rooms_imported(module) <= MAY_IMPORT[module.room] | EVERYBODYS | {module.room}


@every_module
def test_classes_of_fields_are_made_by_records(module: Module) -> None:
    """A start makes a hundred of them, and the standard library compiles each."""
    assert module.room == "records" or not any(name.startswith("dataclasses") for name in module.imports)


def test_the_directions_have_no_circle() -> None:
    order: list[str] = []
    left = dict(MAY_IMPORT)
    left["launch"] = ROOMS - ABOVE_LAUNCH - {"launch"}
    while left:
        ready = [room for room, needs in left.items() if needs <= set(order)]
        assert ready, f"a circle among {sorted(left)}"
        order += ready
        for room in ready:
            del left[room]


def floor_of(name: str) -> int:
    """From the ground up. name: of a module of the transport."""
    (found,) = [number for number, modules in enumerate(FLOORS.values()) if name in modules]
    return found


@pytest.mark.parametrize("module", [m for m in MODULES if m.room == "transport"], ids=named)
def test_the_transport_has_floors(module: Module) -> None:
    if module.path.stem == "__init__":
        return
    mine = floor_of(module.path.stem)
    for name in module.imports:
        if name.startswith("tricorn.transport."):
            assert floor_of(name.split(".")[2]) <= mine, name
        assert mine or not name.startswith("tricorn.gateway"), name


def test_the_floors_name_only_what_is_there() -> None:
    there = {module.path.stem for module in MODULES if module.room == "transport"} - {"__init__"}
    assert {name for modules in FLOORS.values() for name in modules} == there


def test_imports_are_found() -> None:
    """The tests above would pass on a scanner that finds nothing."""
    found = {(module.room, room) for module in MODULES for room in rooms_imported(module)}
    assert {
        ("transport", "gateway"),
        ("gateway", "http"),
        ("workers", "transport"),
        ("arbiter", "scoreboard"),
        ("launch", "workers"),
    } <= found


@pure_module
def test_http_and_gateway_do_no_io(module: Module) -> None:
    used = {name.split(".")[0] for name in module.imports} & WORLD
    assert used <= set(ALLOWED_WORLD.get(module.name, {}))
    worldly = {name for name in (*module.imports, *module.headers) if C_WORLD.search(name)}
    assert worldly <= set(ALLOWED_HEADERS.get(module.name, {}))
    assert not re.search(r"(?<![\w.])(open|print|input)\(", module.code)


@pure_module
def test_http_and_gateway_read_no_clock(module: Module) -> None:
    """Formatting an instant that was handed in is no reading of the clock."""
    assert not re.search(r"\b(clock_gettime|gettimeofday|time|clock|monotonic|perf_counter)\(", module.code)


def test_no_exception_for_what_is_not_there() -> None:
    for name, reasons in ALLOWED_WORLD.items():
        (module,) = [module for module in MODULES if module.name == name]
        assert set(reasons) <= {found.split(".")[0] for found in module.imports}


@every_module
def test_a_room_does_not_speak_of_what_it_must_not_know(module: Module) -> None:
    if module.room in FOREIGN:
        # Imports have tests of their own.
        code = re.sub(r"^\s*(from|import|cimport)\b.*$", "", module.code, flags=re.MULTILINE)
        assert not {match[0] for match in re.finditer(FOREIGN[module.room], code)}


@pytest.mark.parametrize("room", PURE)
def test_a_websocket_is_no_socket(room: str) -> None:
    forbidden = re.compile(FOREIGN[room])
    for name in ("websocket", "WebSocket", "read_websocket", "WEBSOCKET_VERSION", "websockets"):
        assert not forbidden.search(name), name
    for name in ("socket", "a.socket(b)", "socket_of", "sockets", "Socket", "my_socket", "websocket_socket"):
        assert forbidden.search(name), name


@every_module
def test_a_module_says_what_it_knows(module: Module) -> None:
    """At its top, so that a reader sees in ten seconds what belongs there."""
    if module.path.suffix in {".pxd", ".pyi"} or module.path.stem.startswith("__"):
        return  # what declares says no more than what it declares
    assert module.docstring.strip()
    assert re.search(r"\b[Kk]nows\b", module.docstring), "no line 'Knows: … Must not know: …'"


@pytest.mark.parametrize("module", [m for m in MODULES if not m.is_compiled], ids=named)
def test_no_handler_only_passes(module: Module) -> None:
    handlers = [node for node in ast.walk(ast.parse(module.text)) if isinstance(node, ast.ExceptHandler)]
    silent = [handler.lineno for handler in handlers if all(map(_does_nothing, handler.body))]
    assert silent == []


def _does_nothing(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Pass) or (
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    )


@pytest.mark.parametrize("module", [m for m in MODULES if m.is_compiled], ids=named)
def test_no_compiled_handler_only_passes(module: Module) -> None:
    assert not re.search(r"\bexcept\b[^\n]*:\s*(pass|\.\.\.)\s*$", module.code, re.MULTILINE)


@every_module
def test_foreign_code_is_the_only_reason_to_catch_everything(module: Module) -> None:
    """A bare `except:` never says what it waits for."""
    assert not re.search(r"\bexcept\s*:", module.code)


def test_every_compiled_module_has_its_declarations() -> None:
    """A `.pxd` beside each `.pyx`: what other compiled modules may use of it. Nobody uses ThreadServer."""
    names = {module.name for module in MODULES}
    missing = [name for name in names if name.endswith(".pyx") and name.replace(".pyx", ".pxd") not in names]
    assert sorted(missing) in ([], ["transport/thread_server.pyx"])
