"""The table of scenarios: what is asked, of whom, and with which application. Measures nothing."""

from dataclasses import dataclass, field, replace

from bench import servers
from bench.servers import Launch

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
    changes: dict[str, dict[str, object]] = field(default_factory=dict)  # variant -> fields of launch

    def launch_of(self, entry: Entry) -> Launch:
        return replace(self.launch, **self.changes.get(entry.variant, {}))  # type: ignore[arg-type]


def entries(*, threads: bool = False, floor: bool = False, also: tuple[str, ...] = ()) -> tuple[Entry, ...]:
    chosen = [s for s in servers.peers() if s.threads or not threads or s.name in also]
    return (Entry("floor"),) * floor + tuple(Entry(s.name) for s in chosen)


def access_log_entries() -> tuple[Entry, ...]:
    loggers = [s.name for s in servers.peers() if s.has_access_log]
    return tuple(Entry(name, variant) for name in loggers for variant in ("log off", "log on"))


EVERYBODY = entries(floor=True)
HELLO = Launch("hello")

SCENARIOS = (
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
)


def by_name(name: str) -> Scenario:
    return next(scenario for scenario in SCENARIOS if scenario.name == name)
