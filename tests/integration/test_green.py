"""Workers with green threads: what waits lets others go on, and everything else is as on threads.

What holds for all kinds of workers is tested with these too (harness/axes.py); here is what they promise.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.server import wait_for
from integration.answering import told
from integration.asking import answers, asking
from integration.live import Live, Load, message
from integration.slow_servers import http_crowd

from tricorn.control.client import Connection

GREEN = ("gevent", "eventlet")
BIG = 30_000_000  # more than both sockets' buffers and the server's own hold
LIMIT = 0.3


@pytest.fixture(scope="module", params=GREEN)
def live(request: pytest.FixtureRequest) -> Iterator[Live]:
    """Requests are not buffered, and may take long."""
    with Live("greens:app", "--no-request-buffering", "--request-timeout=60", kind=request.param) as live:
        yield live
        live.stop()


def overlap(live: Live, number: int) -> None:
    told(live, "/leave")
    with asking(live, *[f"/meet?{number}"] * number) as clients:
        assert set(answers(clients)) == {"met"}


def test_what_waits_lets_others_go_on(live: Live) -> None:
    overlap(live, 100)


@pytest.mark.slow
def test_a_thousand_at_once(live: Live) -> None:
    overlap(live, 999)


def test_what_a_greenlet_and_a_request_have_for_themselves(live: Live) -> None:
    """Ten at once, twice: neither has one what another has, nor what one before had."""
    for _ in range(2):
        told(live, "/leave")
        with asking(live, *[f"/own?t{number}&10" for number in range(10)]) as clients:
            assert answers(clients) == [f"t{number} t{number} unset unset" for number in range(10)]


def test_sockets_of_the_application_wait_beside_each_other(live: Live) -> None:
    with http_crowd(20) as port, asking(live, *[f"/through?{port}"] * 20) as clients:
        assert answers(clients) == ["slow"] * 20


def test_threads_queues_and_processes(live: Live) -> None:
    assert told(live, "/later") == "one two"
    assert told(live, "/command") == "printed"
    assert told(live, "/library") == "0 1 4 one two"


def test_a_copy_of_the_worker_serves_nobody_who_waits(live: Live, tmp_path: Path) -> None:
    """It has their greenlets, too: gevent goes on with them there when the copy waits. But they come back in
    the worker, and the copy ends by itself."""
    gate = tmp_path / "gate"
    with asking(live, f"/wait?{gate}") as waiting:
        wait_for(Path(f"{gate}.in").exists, "the application is inside")
        with asking(live, f"/copy?{gate}") as copying:
            assert answers(copying) == ["7"]
        assert answers(waiting) == ["released"]
    assert "came back to the server" not in live.log()


@pytest.mark.parametrize("live", ["gevent"], indirect=True)
def test_a_copy_may_end_as_any_process(live: Live) -> None:
    assert told(live, "/exits") == "3"


def test_a_body_that_is_awaited_holds_up_nobody(live: Live) -> None:
    with live.connect(timeout=20) as client:
        client.send(message("/read", method="POST", fields=("Content-Length: 20",)) + b"x" * 10)
        told(live, "/")
        assert client.is_quiet(0.05)
        client.send(b"y" * 10)
        assert client.response().body == b"20 True"


@pytest.mark.parametrize("path", ["/write", "/pieces"])
def test_a_client_that_does_not_read_holds_up_nobody(live: Live, path: str) -> None:
    """Nor does its greenlet lose what was kept for it."""
    with live.connect(timeout=20) as client:
        client.send(message(f"{path}?{BIG // 65536 * 65536}"))
        told(live, "/")
        told(live, "/")
        response = client.response()
    assert response.complete
    assert len(response.body) >= BIG // 65536 * 65536
    assert path == "/write" or response.body.endswith(b"True kept")


#: What a client sends that then leaves, and whether it waits for the beginning of an answer. It leaves in the
#: middle of a response, of a body, of a head, while the application waits, and with answers unread.
WAYS_TO_LEAVE = [
    (message(f"/pieces?{BIG}"), True),
    (message(f"/write?{BIG}"), True),
    (message("/read", method="POST", fields=("Content-Length: 20",)) + b"x", False),
    (message("/later"), False),
    (message("/later") * 5 + message(f"/pieces?{BIG}"), False),
    (message("/") * 20, True),
    (message("/")[:-2], False),
]


def leave(live: Live, turn: int) -> None:
    """As often by a reset as by an end."""
    request, waits = WAYS_TO_LEAVE[turn % len(WAYS_TO_LEAVE)]
    with live.connect(timeout=20) as client:
        client.send(request)
        if waits:
            client.more()
        if turn // len(WAYS_TO_LEAVE) % 2:
            client.abort()


def serve_and_leave(live: Live, pipelines: int, clients: int) -> None:
    """So many clients send so many pipelines of 50 requests; while one is served, another client leaves."""
    failures: list[BaseException] = []

    def visit() -> None:
        try:
            with live.connect(timeout=20) as client:
                for turn in range(pipelines):
                    client.send(message("/") * 50)
                    leave(live, turn)
                    for _ in range(50):
                        assert client.response().status == 200
        except BaseException as error:  # noqa: BLE001 - a thread of the test's: it is shown at its end
            failures.append(error)

    threads = [threading.Thread(target=visit) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def at_rest(live: Live) -> tuple[int, int]:
    """How many greenlets and descriptors there are, once all that clients have left behind has ended."""
    seen: list[tuple[int, int]] = []

    def changes_no_more() -> bool:
        seen.append((int(told(live, "/greenlets")), int(told(live, "/descriptors"))))
        return seen[-3:] == [min(seen)] * 3

    wait_for(changes_no_more, "nothing changes any longer", deadline=10)
    return seen[-1]


@pytest.mark.parametrize(
    ("pipelines", "clients"),
    [
        pytest.param(len(WAYS_TO_LEAVE) * 2, 1, id="some"),
        pytest.param(250, 8, id="100000", marks=pytest.mark.slow),
    ],
)
def test_clients_that_leave_among_others_leave_nothing(live: Live, pipelines: int, clients: int) -> None:
    """No greenlet, no descriptor, and nothing that the garbage collector knows."""
    for turn in range(len(WAYS_TO_LEAVE) * 2):  # what is made once, and kept, is made here
        leave(live, turn)
    serve_and_leave(live, 2, clients)
    before, opened = at_rest(live)
    objects = int(told(live, "/objects"))
    serve_and_leave(live, pipelines, clients)
    greenlets, descriptors = at_rest(live)
    assert greenlets <= before
    assert descriptors <= opened
    bound = objects + pipelines * clients // 2
    wait_for(lambda: int(told(live, "/objects")) < bound, f"fewer objects than {bound}")


def test_a_greenlet_gets_the_memory_of_one_before(live: Live) -> None:
    """That of the frames of its functions, which else comes fresh from the kernel for each."""
    number = 500

    def ask() -> int:
        with live.connect(timeout=20) as client:
            client.send(message("/") * number + message("/faults"))
            return int([client.response().body for _ in range(number + 1)][-1])

    ask()
    before = ask()
    assert ask() - before < number // 2


def test_an_application_cannot_end_the_worker(live: Live) -> None:
    pid = told(live, "/")
    told(live, "/exit")
    assert told(live, "/") == pid
    live.wait_log("The application tried to end the worker")


def test_early_hints_and_the_deadline_know_their_greenlet(live: Live) -> None:
    response = live.request("/early")
    assert [each.status for each in response.interim] == [103]
    assert response.body == b"True False True"


@pytest.mark.parametrize("kind", GREEN)
def test_time_limits_bounds_and_the_drain(kind: str, tmp_path: Path) -> None:
    """One server: request_timeout, green_requests, max_queue, slow_request_time, a drain."""
    options = (
        f"--request-timeout={LIMIT * 4}",
        f"--slow-request-time={LIMIT}",
        "--green-requests=2",
        "--max-queue=1",
        f"--control-socket={tmp_path}/ctl",
    )
    gates = [tmp_path / name for name in ("one", "two", "three", "four")]
    with Live("greens:app", *options, kind=kind) as live:
        with asking(live, *[f"/wait?{gate}" for gate in gates[:2]]) as clients:
            for gate in gates[:2]:
                wait_for(Path(f"{gate}.in").exists, "the application is inside")
            with Connection(f"{tmp_path}/ctl", 5, trusts_anybody=True) as master:
                (worker,) = master.ask({"do": "workers"})["data"]
            assert worker["busy"] == 2  # by the scoreboard
            with asking(live, f"/wait?{gates[2]}") as waiting:
                refused = live.request("/")
                assert (refused.status, refused.get("Retry-After")) == (503, "1")
                gates[0].touch()
                assert clients[0].response().body == b"released"
                wait_for(Path(f"{gates[2]}.in").exists, "the third one is inside")
                gates[2].touch()
                assert waiting[0].response().body == b"released"
            assert clients[1].response().status == 504
        assert Path(f"{gates[1]}.end").read_text() == "RequestTimeout"
        log = live.wait_log(f"A request takes longer than request_timeout: GET /wait?{gates[1]}"[:90])
        assert "its greenlet is at" in log
        assert "in wait" in log
        assert "A request takes longer than slow_request_time: " in log
        with asking(live, f"/wait?{gates[3]}") as clients:
            wait_for(Path(f"{gates[3]}.in").exists, "the application is inside")
            live.terminate()
            gates[3].touch()
            assert clients[0].response().body == b"released"
        live.stop()


#: Hooks that wait until two requests are in them, or too long; and what they leave for the application.
HOOKS = """
import time
inside = {"pre": 0, "post": 0}

def meet(moment):
    inside[moment] += 1
    end = time.monotonic() + 10
    while inside[moment] < 2:
        assert time.monotonic() < end
        time.sleep(0.005)

def pre_request(worker, req):
    if req.path == "/crowd":
        meet("pre")
    if req.path == "/own":
        import greens
        greens.own.text = "hook"
        greens.variable.set("hook")
    if req.path == "/slow":
        time.sleep(20)

def post_request(worker, req, environ, resp):
    if req.path == "/crowd":
        meet("post")
        worker.log.info("Both are here")

def on_request_timeout(worker, req):
    worker.log.info("%s is late", req.path)
"""


@pytest.mark.parametrize("kind", ["gevent", pytest.param("eventlet", marks=pytest.mark.slow)])
def test_hooks_are_in_the_greenlet_of_their_request(kind: str, tmp_path: Path) -> None:
    """So they wait beside each other, and time limits reach them."""
    (tmp_path / "conf.py").write_text(HOOKS)
    options = ("-c", str(tmp_path / "conf.py"), f"--request-timeout={LIMIT * 4}")
    with Live("greens:app", *options, kind=kind) as live:
        with asking(live, "/slow") as slow, asking(live, "/crowd", "/crowd") as clients:
            assert len(set(answers(clients))) == 1
            live.wait_log("Both are here", times=2)
            assert told(live, "/own?t&1") == "t t hook hook"
            assert slow[0].response().status == 504
        assert "in pre_request" in live.wait_log("/slow is late")
        live.stop()


@pytest.mark.slow
@pytest.mark.parametrize("kind", GREEN)
def test_a_hub_that_is_blocked_is_found(kind: str) -> None:
    with Live("greens:app", "--timeout=1", kind=kind) as live:
        with asking(live, "/spin"):
            log = live.wait_log("has shown no sign of life")
            assert "its event loop is blocked" in log
            live.wait_log("in spin")
            live.wait_log("is ready", times=2)
        told(live, "/")


@pytest.mark.slow
@pytest.mark.parametrize("kind", GREEN)
def test_a_blocked_hub_that_is_aborted_calls_the_hook(kind: str, tmp_path: Path) -> None:
    """In the middle of the Python code that holds it up; whoever waits in C code is killed instead."""
    (tmp_path / "conf.py").write_text(
        "def worker_abort(worker):\n    worker.log.critical('aborted %d', worker.pid)\n"
        "def worker_exit(server, worker):\n    worker.log.critical('left %d', worker.pid)\n"
    )
    with Live("greens:app", "--timeout=1", "-c", str(tmp_path / "conf.py"), kind=kind) as live:
        (worker,) = live.workers()
        with asking(live, "/spin"):
            live.wait_log(f"left {worker}")
            log = live.wait_log("is ready", times=2)
        assert log.count(f"aborted {worker}") == 1
        assert log.index("in spin") < log.index("aborted") < log.index("left")
        told(live, "/")
        live.stop()


@pytest.mark.slow
@pytest.mark.parametrize("kind", GREEN)
@pytest.mark.parametrize("preload", [False, True])
def test_a_reload_loses_nothing(kind: str, preload: bool) -> None:
    options = ("--preload",) if preload else ()
    with Live("greens:app", *options, kind=kind, workers=2) as live:
        before = set(live.workers())
        with Load(live, "/") as load:
            load.wait_served(50)
            live.signal(signal.SIGHUP)
            wait_for(lambda: not before & set(live.workers()), "the workers have been replaced", deadline=15)
            load.wait_served(50)
        load.check()
        assert told(live, "/later") == "one two"
        live.stop()
