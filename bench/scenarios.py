"""The table of scenarios: what is asked, of whom, and with which application. Measures nothing."""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial

from bench import servers
from bench.servers import ASGI, OTHER, WSGI, Launch, Server

KIB = 1024
MIB = 1024 * KIB

# Twelve header fields, as Firefox sends them; wrk would send Host itself, here it is the first of the twelve.
BROWSER = (
    "Host: www.example.org",
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    "Accept-Language: en-GB,en;q=0.7,de;q=0.3",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Referer: https://www.example.org/articles/2025/11/harbour",
    "Cookie: session=eyJ1c2VyIjoxMjM0NX0.aGVsbG8.d29ybGQ; theme=dark; consent=2025-11-01",
    "Upgrade-Insecure-Requests: 1",
    "Sec-Fetch-Dest: document",
    "Sec-Fetch-Mode: navigate",
    "Sec-Fetch-Site: same-origin",
    "Cache-Control: max-age=0",
)


@dataclass(frozen=True)
class Entry:
    """One contestant of a scenario: a server, and a variant where it takes part more than once."""

    server: str
    variant: str = ""

    @property
    def key(self) -> str:
        return f"{self.server} ({self.variant})" if self.variant else self.server


class Form(StrEnum):
    """What the messages on a WebSocket are."""

    TEXT = "text"
    BINARY = "binary"
    DEFLATE = "deflate"  # text, compressed by permessage-deflate (RFC 7692)


@dataclass(frozen=True)
class Message:
    """What is sent on each WebSocket and shall come back."""

    size: int
    form: Form = Form.TEXT


class Handshake(StrEnum):
    """How each connection begins, where a scenario is about that."""

    FULL = "full"
    RESUMED = "resumed"  # a session of before, by its ticket (RFC 8446 §2.2)


@dataclass(frozen=True)
class Scenario:
    name: str
    title: str
    about: str
    launch: Launch
    entries: tuple[Entry, ...]
    kind: str = "load"  # load, idle or start
    headers: tuple[str, ...] = ()
    script: str = ""
    body_size: int = 0  # of the request
    connections: int = 32
    streams: int = 0  # of each connection, by HTTP/2; 0: HTTP/1
    rate: int = 0  # requests a second, of the open-loop client; 0: as many as can be
    spin: bool = True  # that client never sleeps
    interface: str = WSGI
    message: Message | None = None  # with one, the connections are WebSockets
    handshake: Handshake | None = None  # with one, each request has a TLS connection of its own
    changes: dict[str, dict[str, object]] = field(default_factory=dict)  # variant -> fields of launch

    def launch_of(self, entry: Entry) -> Launch:
        return replace(self.launch, **self.changes.get(entry.variant, {}))  # type: ignore[arg-type]

    @property
    def unit(self) -> str:
        """What is counted."""
        return "message" if self.message else "handshake" if self.handshake else "request"

    def server(self, entry: Entry) -> Server:
        return servers.find(self.interface, entry.server)


def entries(*, threads: bool = False, floor: bool = False, also: tuple[str, ...] = ()) -> tuple[Entry, ...]:
    chosen = [s for s in servers.peers(WSGI) if s.threads or not threads or s.name in also]
    return (Entry("floor"),) * floor + tuple(Entry(s.name) for s in chosen)


def steady(interface: str) -> tuple[Entry, ...]:
    """Those that can hold the rate."""
    return tuple(Entry(s.name) for s in servers.peers(interface) if not s.slow)


def access_log_entries() -> tuple[Entry, ...]:
    loggers = [s.name for s in servers.peers(WSGI) if s.has_access_log]
    return tuple(Entry(name, variant) for name in loggers for variant in ("log off", "log on"))


def asgi_entries(*floors: Server, deflate: bool = False) -> tuple[Entry, ...]:
    chosen = [s for s in servers.peers(ASGI) if s.deflate or not deflate]
    return tuple(Entry(s.name) for s in (*floors, *chosen))


def tls_entries(interface: str, *, threads: bool = False) -> tuple[Entry, ...]:
    chosen = [s for s in servers.peers(interface) if s.tls and (s.threads or not threads)]
    return tuple(Entry(s.name) for s in chosen)


def handshakes(name: str, title: str, about: str, app: str, interface: str, kind: Handshake) -> Scenario:
    return Scenario(
        name,
        title,
        about + " Then one GET that closes the connection; the figures are those of all of it.",
        Launch(app, tls=True),
        tls_entries(interface),
        headers=("Host: 127.0.0.1:8000", "Connection: close"),
        interface=interface,
        handshake=kind,
    )


def over_tls(interface: str, prefix: str, apps: dict[str, str]) -> tuple[Scenario, ...]:
    """What both interfaces are asked over TLS; the names begin with the prefix.

    apps: of this interface, by what they do; `as_…`: in which way they do it.
    """
    speakers = tls_entries(interface)
    hello = apps["hello"]
    return (
        Scenario(
            f"{prefix}get-1-header",
            "GET with one header over TLS",
            "wrk sends `Host` and nothing else, and keeps its connections.",
            Launch(hello, tls=True),
            speakers,
            interface=interface,
        ),
        handshakes(
            f"{prefix}handshake-full",
            "A full TLS handshake for each request",
            "The client knows nothing of the server.",
            hello,
            interface,
            Handshake.FULL,
        ),
        handshakes(
            f"{prefix}handshake-resumed",
            "A resumed TLS handshake for each request",
            "The client offers the session of its last ticket. A server that takes less than 99 in a hundred "
            "is not measured.",
            hello,
            interface,
            Handshake.RESUMED,
        ),
        Scenario(
            f"{prefix}response-1mb",
            "Response of 1 MiB over TLS",
            apps["as_megabyte"],
            Launch(apps["megabyte"], body_size=MIB, tls=True),
            speakers,
            interface=interface,
        ),
        Scenario(
            f"{prefix}file-1mb",
            "A file of 1 MiB over TLS",
            f"{apps['as_file']} Nobody here leaves the encryption to the kernel.",
            Launch(apps["file"], body_size=MIB, files=True, tls=True),
            speakers,
            interface=interface,
        ),
        Scenario(
            f"{prefix}idle-connections",
            "2,000 idle TLS connections",
            "Each makes a handshake and one request and then waits. Memory of the processes; kernel buffers "
            "are not in it.",
            Launch(hello, idle=True, tls=True),
            speakers,
            kind="idle",
            interface=interface,
            connections=2_000,
        ),
    )


def http2_entries(interface: str, *, over_tls: bool) -> tuple[Entry, ...]:
    chosen = [s for s in servers.peers(interface) if s.http2 is not None and (s.tls or not over_tls)]
    return tuple(Entry(s.name) for s in chosen)


def over_http2(interface: str, prefix: str, apps: dict[str, str]) -> tuple[Scenario, ...]:
    """What both interfaces are asked over HTTP/2, by h2load. apps: of this interface, by what they do."""

    def asked(
        name: str,
        title: str,
        about: str,
        app: str,
        *,
        connections: int = 8,
        streams: int = 16,
        secured: bool = False,
        **more: object,
    ) -> Scenario:
        size = more.pop("size", 13)
        idle = more.get("kind") == "idle"
        launch = Launch(apps[app], body_size=size, http2=True, tls=secured, idle=idle)  # type: ignore[arg-type]
        return Scenario(
            prefix + name,
            title,
            about,
            launch,
            http2_entries(interface, over_tls=secured),
            interface=interface,
            connections=connections,
            streams=streams,
            **more,  # type: ignore[arg-type]
        )

    return (
        asked(
            "h2c-hello",
            "Hello over HTTP/2 in clear text",
            "8 connections with 16 streams each, by prior knowledge.",
            "hello",
        ),
        asked(
            "h2-tls-hello",
            "Hello over HTTP/2 and TLS",
            "8 connections with 16 streams each, by ALPN.",
            "hello",
            secured=True,
        ),
        asked(
            "h2c-100-streams",
            "10 KiB on 100 streams of one HTTP/2 connection",
            "One client asks for everything at once, as a proxy does.",
            "ten",
            connections=1,
            streams=100,
            size=10 * KIB,
        ),
        asked(
            "h2c-response-1mb",
            "Response of 1 MiB over HTTP/2",
            "4 connections with 4 streams each; the client's windows are as wide as they can be.",
            "megabyte",
            connections=4,
            streams=4,
            size=MIB,
        ),
        asked(
            "h2c-upload-1mb",
            "Upload of 1 MiB over HTTP/2",
            "4 connections with 4 streams each; the windows are the server's.",
            "upload",
            connections=4,
            streams=4,
            body_size=MIB,
        ),
        asked(
            "h2c-framework",
            f"{apps['title']} over HTTP/2",
            "8 connections with 16 streams each.",
            "framework",
            size=int(apps["size"]),
        ),
        asked(
            "h2c-idle",
            "2,000 idle HTTP/2 connections",
            "Each makes one request and then waits. Memory of the processes; kernel buffers are not in it.",
            "hello",
            kind="idle",
            connections=2_000,
            streams=1,
        ),
    )


def constant(name: str, title: str, launch: Launch, interface: str, rate: int) -> Scenario:
    """An open loop: the client keeps to its plan, and latencies count from it."""
    about = (
        f"{rate:,} requests a second on 64 connections, planned beforehand; the client never sleeps. "
        "Servers that are far from the others are left out."
    )
    return Scenario(
        name, title, about, launch, steady(interface), rate=rate, interface=interface, connections=64
    )


EVERYBODY = entries(floor=True)
HELLO = Launch("hello")

WSGI_SCENARIOS = (
    Scenario("get-1-header", "GET with one header", "wrk sends `Host` and nothing else.", HELLO, EVERYBODY),
    Scenario(
        "browser-get",
        "GET with a browser's twelve headers",
        "The twelve header fields of a browser, `Host` among them.",
        HELLO,
        EVERYBODY,
        headers=BROWSER,
    ),
    Scenario(
        "post-10k-echo",
        "POST of 10 KiB, echoed",
        "The application reads `wsgi.input` and returns what it read.",
        Launch("echo", body_size=10 * KIB),
        EVERYBODY,
        script="post-10k.lua",
        body_size=10 * KIB,
    ),
    Scenario(
        "response-1mb",
        "Response of 1 MiB",
        "One `bytes` object of 1 MiB. wrk reads in pieces of 8 KiB, so requests/s are bounded by wrk.",
        Launch("megabyte", body_size=MIB),
        EVERYBODY,
    ),
    Scenario(
        "upload-1mb",
        "Upload of 1 MiB",
        "The application reads `wsgi.input` in pieces of 64 KiB.",
        Launch("upload"),
        EVERYBODY,
        script="upload-1mb.lua",
        body_size=MIB,
    ),
    Scenario(
        "new-connection",
        "A new connection for each request",
        "`Connection: close` in each request.",
        Launch("hello", close=True),
        EVERYBODY,
        headers=("Connection: close",),
    ),
    Scenario(
        "threads-8-hello",
        "Eight threads, hello",
        "The one-header GET again; here the threads only cost. Tricorn also with one thread.",
        Launch("hello", threads=8),
        (Entry("floor"), Entry("tricorn", "1 thread"), *entries(threads=True)),
        changes={"1 thread": {"threads": 1}},
    ),
    Scenario(
        "threads-8-cpu-80us",
        "Eight threads, 80 µs of pure Python",
        "Each request computes for about 80 µs while it holds the GIL.",
        Launch("burn", threads=8),
        entries(threads=True),
    ),
    Scenario(
        "threads-32-sleep-2ms",
        "Thirty-two threads, an application that waits 2 ms",
        "`time.sleep(0.002)`; 32 connections. gevent waits in greenlets.",
        Launch("nap", threads=32),
        entries(threads=True, also=("gunicorn-gevent",)),
    ),
    constant("get-constant", "GET with one header at a constant rate", HELLO, WSGI, 6_000),
    constant("flask-constant", "Flask hello at a constant rate", Launch("flask_hello"), WSGI, 6_000),
    constant(
        "django-constant",
        "Django JSON view at a constant rate",
        Launch("django_hello", body_size=45),
        WSGI,
        5_000,
    ),
    Scenario("flask-hello", "Flask hello", "One route, 13 bytes.", Launch("flask_hello"), entries()),
    Scenario(
        "django-hello",
        "Django JSON view",
        "The JSON view of the example project, behind its five middlewares.",
        Launch("django_hello", body_size=45),
        entries(),
    ),
    Scenario(
        "file-wrapper-1mb",
        "A file of 1 MiB through wsgi.file_wrapper",
        "Servers without `wsgi.file_wrapper` iterate in blocks of 64 KiB. The floor sends from memory.",
        Launch("file_megabyte", body_size=MIB),
        EVERYBODY,
    ),
    Scenario(
        "static-10k",
        "A file of 10 KiB from a directory",
        "Answered by the server itself, below a prefix. nginx is Debian's, with `sendfile` and `tcp_nopush`.",
        Launch("hello", body_size=10 * KIB, static=True, path="/files/10k.bin"),
        (Entry("nginx"), *(Entry(s.name) for s in servers.peers(WSGI) if s.static)),
    ),
    Scenario(
        "access-log",
        "Access log off and on",
        "The one-header GET; each server writes its own format to a file. Not all have an access log.",
        HELLO,
        access_log_entries(),
        changes={"log on": {"access_log": True}},
    ),
    Scenario(
        "idle-connections",
        "10,000 idle keep-alive connections",
        "Each makes one request and then waits. Memory of the processes; kernel buffers are not in it.",
        Launch("hello", idle=True),
        EVERYBODY,
        kind="idle",
        connections=10_000,
    ),
    Scenario(
        "start-up",
        "Start-up and memory of a worker",
        "From the start of the command to the first answered request; memory after one request.",
        HELLO,
        entries(),
        kind="start",
    ),
    *over_tls(
        WSGI,
        "tls-",
        {
            "hello": "hello",
            "megabyte": "megabyte",
            "as_megabyte": "One `bytes` object of 1 MiB.",
            "file": "file_megabyte",
            "as_file": "Through `wsgi.file_wrapper` where there is one.",
        },
    ),
    Scenario(
        "tls-threads-8-hello",
        "Eight threads, hello over TLS",
        "The one-header GET over TLS; here the threads only cost. Tricorn also with one thread.",
        Launch("hello", threads=8, tls=True),
        (Entry("tricorn", "1 thread"), *tls_entries(WSGI, threads=True)),
        changes={"1 thread": {"threads": 1}},
    ),
    *over_http2(
        WSGI,
        "",
        {
            "hello": "hello",
            "ten": "ten_kib",
            "megabyte": "megabyte",
            "upload": "upload",
            "framework": "django_hello",
            "title": "Django JSON view",
            "size": "45",
        },
    ),
)


# ---- ASGI ----

asgi = partial(Scenario, interface=ASGI)
ASGI_ALL = asgi_entries(servers.FLOOR, servers.UVLOOP_FLOOR)
ASGI_SERVERS = asgi_entries()
WEBSOCKETS = asgi_entries(servers.UVLOOP_FLOOR)
ASGI_HELLO = Launch("asgi_hello")


def echo(size: int) -> Launch:
    return Launch("asgi_websocket", body_size=size, websocket=True)


ASGI_SCENARIOS = (
    asgi(
        "asgi-get-1-header", "GET with one header", "wrk sends `Host` and nothing else.", ASGI_HELLO, ASGI_ALL
    ),
    asgi(
        "asgi-browser-get",
        "GET with a browser's twelve headers",
        "The twelve header fields of a browser, `Host` among them.",
        ASGI_HELLO,
        ASGI_ALL,
        headers=BROWSER,
    ),
    asgi(
        "asgi-post-10k-echo",
        "POST of 10 KiB, echoed",
        "The application receives until `more_body` is false and sends what it has.",
        Launch("asgi_echo", body_size=10 * KIB),
        ASGI_ALL,
        script="post-10k.lua",
        body_size=10 * KIB,
    ),
    asgi(
        "asgi-response-1mb",
        "Response of 1 MiB in pieces of 64 KiB",
        "Sixteen calls of `send`, with a Content-Length. The floors send 1 MiB at once.",
        Launch("asgi_megabyte", body_size=MIB),
        ASGI_ALL,
    ),
    asgi(
        "asgi-upload-1mb",
        "Upload of 1 MiB",
        "The application receives the pieces as the server hands them out, and adds up their sizes.",
        Launch("asgi_upload"),
        ASGI_ALL,
        script="upload-1mb.lua",
        body_size=MIB,
    ),
    asgi(
        "asgi-sleep-10ms",
        "An application that awaits 10 ms",
        "`asyncio.sleep(0.010)`; 100 connections, so at most 10,000 requests a second and no saturation.",
        Launch("asgi_nap"),
        ASGI_SERVERS,
        connections=100,
    ),
    asgi(
        "asgi-fastapi-hello",
        "FastAPI hello",
        "One route, a dictionary that becomes 27 bytes of JSON.",
        Launch("fastapi_hello", body_size=27),
        ASGI_SERVERS,
    ),
    constant("asgi-get-constant", "GET with one header at a constant rate", ASGI_HELLO, ASGI, 6_000),
    constant(
        "asgi-fastapi-constant",
        "FastAPI hello at a constant rate",
        Launch("fastapi_hello", body_size=27),
        ASGI,
        6_000,
    ),
    asgi(
        "asgi-file-1mb",
        "A file of 1 MiB with http.response.pathsend",
        "Some servers offer `http.response.pathsend`; Tricorn is told to. For the others the application "
        "reads the file and sends it in pieces of 64 KiB. The floors send from memory.",
        Launch("asgi_file_megabyte", body_size=MIB, files=True),
        ASGI_ALL,
    ),
    asgi(
        "asgi-new-connection",
        "A new connection for each request",
        "`Connection: close` in each request.",
        Launch("asgi_hello", close=True),
        ASGI_ALL,
        headers=("Connection: close",),
    ),
    asgi(
        "asgi-websocket-32b",
        "WebSocket echo, 32 bytes, 32 connections",
        "Text of 32 bytes; each connection sends the next message when the echo of the last one is there.",
        echo(32),
        WEBSOCKETS,
        message=Message(32),
    ),
    asgi(
        "asgi-websocket-32b-1000",
        "WebSocket echo, 32 bytes, 1,000 connections",
        "The same on 1,000 connections.",
        echo(32),
        WEBSOCKETS,
        message=Message(32),
        connections=1_000,
    ),
    asgi(
        "asgi-websocket-16k",
        "WebSocket echo, 16 KiB",
        "Text of 16 KiB on 32 connections.",
        echo(16 * KIB),
        WEBSOCKETS,
        message=Message(16 * KIB),
    ),
    asgi(
        "asgi-websocket-64k",
        "WebSocket echo, 64 KiB",
        "Binary messages of 64 KiB on 32 connections.",
        echo(64 * KIB),
        WEBSOCKETS,
        message=Message(64 * KIB, Form.BINARY),
    ),
    asgi(
        "asgi-websocket-deflate",
        "WebSocket echo with compression",
        "JSON text of 2 KiB, compressed by permessage-deflate both ways, without context take-over. "
        "Servers that do not offer it are left out.",
        echo(2 * KIB),
        asgi_entries(deflate=True),
        message=Message(2 * KIB, Form.DEFLATE),
    ),
    asgi(
        "asgi-idle-connections",
        "10,000 idle keep-alive connections",
        "Each makes one request and then waits. Memory of the processes; kernel buffers are not in it.",
        Launch("asgi_hello", idle=True),
        ASGI_ALL,
        kind="idle",
        connections=10_000,
    ),
    asgi(
        "asgi-idle-websockets",
        "10,000 idle WebSockets",
        "Each makes its handshake and echoes one message of 32 bytes; the application waits in `receive`. "
        "The floor has no application.",
        replace(echo(32), idle=True),
        WEBSOCKETS,
        kind="idle",
        message=Message(32),
        connections=10_000,
    ),
    *over_tls(
        ASGI,
        "asgi-tls-",
        {
            "hello": "asgi_hello",
            "megabyte": "asgi_megabyte",
            "as_megabyte": "Sixteen calls of `send` with 64 KiB each, and a Content-Length.",
            "file": "asgi_file_megabyte",
            "as_file": "With `http.response.pathsend` where it is offered.",
        },
    ),
    *over_http2(
        ASGI,
        "asgi-",
        {
            "hello": "asgi_hello",
            "ten": "asgi_ten_kib",
            "megabyte": "asgi_megabyte",
            "upload": "asgi_upload",
            "framework": "fastapi_hello",
            "title": "FastAPI hello",
            "size": "27",
        },
    ),
)


# ---- green threads, and Tornado ----

other = partial(Scenario, interface=OTHER)
GREEN_OWN = (Entry("tricorn-gevent"), Entry("tricorn-eventlet"))
GREEN = (*GREEN_OWN, Entry("gunicorn-gevent"))

OTHER_SCENARIOS = (
    other(
        "green-hello",
        "GET with one header",
        "The greenlets only cost here. `tricorn` is its worker for threads, with one.",
        HELLO,
        (Entry("floor"), Entry("tricorn"), *GREEN),
    ),
    other(
        "green-sleep-2ms",
        "An application that waits 2 ms",
        "`time.sleep(0.002)`; 256 connections, so as many greenlets.",
        Launch("nap"),
        GREEN,
        connections=256,
    ),
    other(
        "green-response-1mb",
        "Response of 1 MiB",
        "One `bytes` object of 1 MiB.",
        Launch("megabyte", body_size=MIB),
        (Entry("floor"), *GREEN),
    ),
    other(
        "green-upload-1mb",
        "Upload of 1 MiB",
        "The application reads `wsgi.input` in pieces of 64 KiB.",
        Launch("upload"),
        (Entry("floor"), *GREEN),
        script="upload-1mb.lua",
        body_size=MIB,
    ),
    other(
        "green-idle-connections",
        "10,000 idle keep-alive connections",
        "Each makes one request and then waits. Memory of the processes; kernel buffers are not in it.",
        Launch("hello", idle=True),
        GREEN,
        kind="idle",
        connections=10_000,
    ),
    other(
        "tornado-hello",
        "GET with one header, a handler of Tornado's",
        "A `tornado.web.RequestHandler` that writes 13 bytes; Tornado with its own HTTPServer.",
        Launch("tornado_hello"),
        (Entry("tricorn-tornado"), Entry("tornado")),
    ),
)

SCENARIOS = WSGI_SCENARIOS + ASGI_SCENARIOS + OTHER_SCENARIOS


def by_name(name: str) -> Scenario:
    return next(scenario for scenario in SCENARIOS if scenario.name == name)
