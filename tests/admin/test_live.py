"""The dashboard beside a real server: what its stream tells, and what a browser shows of it."""

from __future__ import annotations

import http.client
import json
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from admin.looks import HOSTILE, Answering, Master
from applications.browser import Browser, Page, find
from applications.evidence import Evidence
from integration.answering import serving
from integration.live import Live, message

from tricorn.admin.app import WATCHED, App
from tricorn.testing import serve

TOKEN = "0123456789abcdef0123456789abcdef"

SITE = """
def answer(path):
    if path.startswith("/hold"):
        while not os.path.exists(path[5:]):
            time.sleep(0.01)  # <b>where it is</b>
    return "one"
"""

#: A narrow one of those that people have.
PHONE = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}

KEYS = {"Escape": 27, "ArrowLeft": 37}

needs_browser = pytest.mark.skipif(
    find() is None, reason="Chromium is not installed (apt-get install chromium)"
)


@dataclass
class Site:
    live: Live
    home: Path
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("site")
    (home / "token").write_text(TOKEN)
    options = ("--admin-bind=127.0.0.1:0", f"--admin-token-file={home}/token", "--metrics", "--threads=2")
    with serving(home, SITE, *options, "--no-control-socket", kind="gthread") as live:
        port = int(re.findall(r"Control and metrics are served at http://127.0.0.1:(\d+)", live.log())[0])
        live.wait_log("serves control and metrics")
        yield Site(live, home, port)


class Stream:
    """The stream of the dashboard, read as a client does."""

    def __init__(self, port: int, token: str = TOKEN) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        headers = {"Authorization": f"Bearer {token}", "Accept": "text/event-stream"}
        self.connection.request("GET", WATCHED, headers=headers)
        self.response = self.connection.getresponse()

    def next(self) -> Any:
        """The next one; None: it has ended, as it should."""
        data = ""
        while line := self.response.readline().decode():
            if line == "\n" and data:
                return json.loads(data)
            if line.startswith("data: "):
                data += line[6:]
        return None

    def until(self, is_it: Any) -> Any:
        while (told := self.next()) is not None:
            if is_it(told):
                return told
        raise AssertionError("the stream has ended")


@contextmanager
def held(site: Site) -> Iterator[str]:
    """A request that runs meanwhile; its path."""
    gate = site.home / f"gate{threading.get_ident()}"
    target = f"/hold{gate}"
    with site.live.connect(timeout=10) as client:
        client.send(message(target))
        try:
            yield target
        finally:
            gate.touch()
            client.response()
            gate.unlink()


def test_the_stream(running: Site) -> None:
    with held(running) as target:
        stream = Stream(running.port)
        assert stream.response.headers["Content-Type"] == "text/event-stream"
        first = stream.next()
        assert first["is_whole"]
        assert first["now"]["status"]["pid"] == running.live.pid
        (worker,) = first["now"]["workers"]
        assert worker["memory"] > 1 << 20
        assert any("is ready" in event["text"] for event in first["events"])
        told = stream.until(lambda told: told["now"]["requests"])
        assert told["now"]["requests"][0]["target"] == target
        assert told["now"]["slowest"][0]["target"] == target
        assert sum(told["points"][-1]["durations"]) == 0  # it has not ended
    running.live.signal(signal.SIGUSR1)
    told = stream.until(lambda told: told["events"])
    assert "SIGUSR1" in told["events"][0]["text"]
    stream.connection.close()
    assert Stream(running.port, "wrong" * 5).response.status == 401


# -- in a browser


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with Browser(str(find()), Evidence(), tmp_path_factory.mktemp("files")) as page:
        yield page


@pytest.fixture
def fresh(page: Page) -> Iterator[Page]:
    page.evidence = Evidence()
    yield page
    page.call("Emulation.clearDeviceMetricsOverride")
    page.call("Emulation.setEmulatedMedia", features=[])
    assert page.evidence.console == []


def is_shown(text: str, selector: str = "main") -> str:
    return f"document.querySelector({json.dumps(selector)}).innerText.includes({json.dumps(text)})"


def press(page: Page, key: str) -> None:
    """Also what the browser itself does for a key, which goes by its number."""
    for kind in ("rawKeyDown", "keyUp"):
        page.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=KEYS[key])


@pytest.mark.slow
@needs_browser
def test_from_the_token_to_a_stack(running: Site, fresh: Page) -> None:
    page = fresh
    page.open(running.url)
    assert page.see("document.activeElement.id") == "token"
    assert page.see("document.querySelector('main').hidden")
    page.type("#token", "not it")
    page.click("#login button")
    page.wait(is_shown("This is not the token", "#refused"))
    page.evidence = Evidence()  # the 401 that was asked for
    with held(running) as target:
        page.type("#token", TOKEN)
        page.click("#login button")
        page.wait(is_shown(target, "#requests"))
        assert page.text("#app") == "site_app:app"
        assert page.see("document.cookie + location.href") == running.url
        page.click("#workers button", "Show")
        page.wait(is_shown("# <b>where it is</b>", "#stack"))
        press(page, "Escape")
        page.wait("!document.querySelector('dialog').open")
        assert page.see("document.activeElement.getAttribute('aria-label')").startswith("Show the stacks of")
    page.call("Page.reload")
    page.wait(is_shown(target, "#slowest"))  # the tab has kept the token, and the server what it has seen
    page.click("#leave")
    page.wait("!document.querySelector('#login').hidden && !sessionStorage.length")
    assert set(page.evidence.resources) == {"/", WATCHED, "/v1/stacks?pid"}


@pytest.fixture(scope="module")
def hostile() -> Iterator[str]:
    """The page over a master of whose words each one that can be somebody else's is hostile."""
    master = Master(HOSTILE)
    master.events += [
        master.event(number, "warning", f"{number} {HOSTILE}", f"Traceback {HOSTILE}") for number in (2, 3)
    ]
    valid = {"not_before": "2026-01-01T00:00:00+00:00", "not_after": "2026-12-01T00:00:00+00:00"}
    certificate = {"file": f"/etc/{HOSTILE}", "names": [HOSTILE], "issuer": HOSTILE, **valid}
    master.certificates = [{**certificate, "days_left": 3.5, "is_expiring": True}]
    with serve(App(Answering(master.answer), None)) as server:
        yield server.url


@needs_browser
def test_what_strangers_say_stays_text(hostile: str, fresh: Page) -> None:
    page = fresh
    page.open(hostile)
    for place in ("#app", "#requests", "#slowest", "#slow", "#workers", "#events", "#certificates"):
        page.wait(is_shown(HOSTILE, place))
    page.click("#events summary")
    page.wait(is_shown(f"Traceback {HOSTILE}", "#events"))
    page.click("#workers button")
    page.wait(is_shown(f"Thread tricorn-1{HOSTILE}", "#stack"))
    assert page.see("document.querySelectorAll('img, body script:not(:last-of-type), iframe').length") == 0
    assert page.see("document.querySelectorAll('script').length") == 1
    assert page.see("typeof window.hacked") == "undefined"
    assert page.see("document.title").startswith(f"mysite.wsgi{HOSTILE}")
    press(page, "Escape")


@needs_browser
def test_keys_and_rest(hostile: str, fresh: Page) -> None:
    page = fresh
    page.open(hostile)
    page.wait("document.querySelector('#rate').getAttribute('aria-valuemax') > 0")
    page.see("document.querySelector('#rate').focus()")
    press(page, "ArrowLeft")
    read = page.text("#rate-read")
    assert re.match(r"\d\d:\d\d:\d\d: [\d.,]+ requests a second, 2xx 95 %, 4xx 4.0 %, 5xx 1.0 %$", read)
    assert page.see("document.querySelector('#rate').getAttribute('aria-valuetext')") == read
    page.see("document.querySelector('#heat').focus()")
    press(page, "ArrowLeft")
    said = "200 requests; half took less than 1.0 ms, 95 % less than 10 ms, all more than 100 ms"
    assert said in page.text("#heat-read")
    # Figures change under a button that has the focus.
    page.see("document.querySelector('#requests button').focus()")
    age = page.see("document.querySelector('#workers').rows[0].cells[3].innerText")
    page.wait(f"document.querySelector('#workers').rows[0].cells[3].innerText != {json.dumps(age)}")
    assert page.see("document.activeElement.closest('tbody')?.id") == "requests"
    page.click("#pause")
    page.wait("document.querySelector('#link').innerText == 'paused'")
    page.see(
        "document.querySelector('#level').value = 'bad';"
        "document.querySelector('#level').dispatchEvent(new Event('change'))"
    )
    assert page.see("document.querySelector('#events').rows.length") == 2


@needs_browser
def test_dark_light_and_narrow(hostile: str, fresh: Page, tmp_path: Path) -> None:
    page = fresh
    backs = set()
    page.open(hostile)
    page.wait(is_shown(HOSTILE, "#certificates"))
    for scheme in ("light", "dark"):
        page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        page.wait(f"matchMedia('(prefers-color-scheme: {scheme})').matches")
        backs.add(page.see("getComputedStyle(document.body).backgroundColor"))
        page.picture(tmp_path / f"{scheme}.png")
    assert len(backs) == 2
    page.call("Emulation.setDeviceMetricsOverride", **PHONE)
    page.wait(f"innerWidth == {PHONE['width']}")
    page.picture(tmp_path / "phone.png")
    assert page.see("document.documentElement.scrollWidth") <= PHONE["width"]
    # Whatever does not fit can be scrolled to, with keys as well.
    wide = "[...document.querySelectorAll('main *')].filter(e => e.scrollWidth > e.clientWidth + 1"
    assert page.see(f"{wide} && getComputedStyle(e).overflowX == 'auto').every(e => e.tabIndex == 0)")
    assert page.see(f"{wide} && getComputedStyle(e).overflowX == 'auto').length") >= 2


class Longer(Master):
    """One request is slow, and goes on: it is told anew with each look."""

    def _slow(self, _question: dict[str, Any]) -> Any:
        stacks = [
            {"after": 2.0 * look, "stack": f'  File "views.py", line {look}, in report\n'}
            for look in range(1, self.looks + 1)
        ]
        first = self.slow_one(self.looks, 1, is_over=False, seconds=2.5 * self.looks, stacks=stacks[1:])
        return [first]


@needs_browser
def test_a_slow_request_that_goes_on_stays_open(fresh: Page) -> None:
    page = fresh
    with serve(App(Answering(Longer().answer), None)) as server:
        page.open(server.url)
        page.wait(is_shown("GET /report", "#slow"))
        page.wait("!document.querySelector('#slow details').hidden")
        page.see("document.querySelector('#slow summary').focus()")
        page.see("document.querySelector('#slow details').open = true")
        lines = "document.querySelector('#slow pre').innerText.split('\\n').length"
        before = page.see(lines)
        page.wait(f"{lines} > {before}")
        assert page.see("document.querySelector('#slow').rows.length") == 1
        assert page.see("document.querySelector('#slow details').open")
        assert page.see("document.activeElement.matches('#slow summary')")
        assert "goes on" in page.text("#slow")
        page.open("about:blank")


@needs_browser
@pytest.mark.slow
def test_the_first_paint_is_soon(hostile: str, fresh: Page) -> None:
    """Of a page that has to ask nobody: the best of some, since others use the machine."""
    page = fresh
    paints = "performance.getEntriesByName('first-contentful-paint')"
    taken = []
    for _ in range(5):
        page.open(hostile)
        page.wait(f"{paints}.length == 1")
        taken.append(page.see(f"{paints}[0].startTime"))
    assert min(taken) <= 500


@needs_browser
@pytest.mark.slow
def test_a_server_that_goes_and_comes(fresh: Page) -> None:
    page = fresh
    with serve(App(Answering(Master().answer), None)) as server:
        page.open(server.url)
        page.wait(is_shown("live", "#link"))
        port = server.port
    page.wait(is_shown("not connected", "#link"))
    uncounting = Master()
    uncounting.is_counted = False
    with serve(App(Answering(uncounting.answer), None), bind=f"127.0.0.1:{port}"):
        page.wait(is_shown("live", "#link"))
        page.wait(is_shown("Statuses, bytes and durations are counted only with the setting metrics."))
        page.wait(is_shown("not told apart", "#legend"))  # rates are known from the workers' rows
    page.open("about:blank")
    page.evidence = Evidence()  # that nobody was there is told on the console


# It is last: the server is gone behind it.


def test_a_stop_ends_streams(running: Site) -> None:
    stream = Stream(running.port)
    assert stream.next()["is_whole"]
    running.live.signal(signal.SIGTERM)
    while stream.next() is not None:
        assert stream.response.chunked  # it ends as a whole: http.client raises IncompleteRead otherwise
    assert running.live.wait_exit() == 0
