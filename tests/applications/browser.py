"""Headless Chromium, driven over its DevTools socket, and what it tells of a page.

Knows: Chromium's command line, the DevTools protocol. Must not know: servers, applications, what is right.

Debian's package and the `websockets` of our tests are all that this needs; a driver of its own (Selenium,
Playwright) would be a second installation to keep in step with the browser's version.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from websockets.sync.client import connect

from applications.evidence import Evidence

#: Seconds until a page shows what is waited for. Two megabytes of script are compiled on a busy machine.
DEADLINE = 30.0
#: A page is at rest when no request has been open for so long.
QUIET = 0.7

#: No name but the server's is resolved: what a page wants from others fails at once, unsent.
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1280,900",
    "--remote-debugging-port=0",
]
ONLY_HERE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"

#: The middle of the first visible element that matches a selector and says a text, brought into view.
_PLACE = """(() => {
    const says = e => !text || (e.innerText || e.value || '').trim() == text;
    const shown = e => says(e) && e.getClientRects().length && !e.disabled;
    const selector = %s, text = %s, found = Array.from(document.querySelectorAll(selector)).find(shown);
    if (!found) return null;
    found.scrollIntoView({block: 'center', behavior: 'instant'});
    const place = found.getBoundingClientRect();
    return [place.x + place.width / 2, place.y + place.height / 2];
})()"""
_FOCUS = """(() => {
    const found = document.querySelector(%s);
    if (!found) return false;
    found.focus();
    found.select?.();
    return true;
})()"""

#: Open for as long as the page is: not waited for.
LASTING = {"EventSource", "WebSocket"}

#: What the protocol calls a failure of the page's own doing.
ABORTED = "net::ERR_ABORTED"


def find() -> str | None:
    """The browser's path, if there is one."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class PageError(AssertionError):
    """The page did not come to show what it should."""


class Browser:
    """One browser with an empty profile and one page. Use it in a `with`."""

    def __init__(self, path: str, evidence: Evidence, files: Path, flags: Sequence[str] = ()) -> None:
        self._profile = tempfile.TemporaryDirectory(
            prefix="tricorn-apps-browser-", ignore_cleanup_errors=True
        )
        self._process = subprocess.Popen(
            [path, *FLAGS, *flags, ONLY_HERE, f"--user-data-dir={self._profile.name}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            self.page = Page(self._page_socket(), evidence, files)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Page:
        return self.page

    def __exit__(self, *_: object) -> None:
        self.page.close()
        self.close()

    def close(self) -> None:
        """End the whole family of processes: it is one group, which this process has started."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)
        self._profile.cleanup()

    def _page_socket(self) -> str:
        told = Path(self._profile.name) / "DevToolsActivePort"
        end = time.monotonic() + DEADLINE
        while not (told.exists() and told.read_text().count("\n")):
            if time.monotonic() > end or self._process.poll() is not None:
                raise PageError("the browser does not start")
            time.sleep(0.02)
        port = told.read_text().split("\n", 1)[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=10) as answer:
            targets = json.load(answer)
        return next(target["webSocketDebuggerUrl"] for target in targets if target["type"] == "page")


class Page:
    """The one page, as a person uses it: open, read, click, type. All of it waits, up to `DEADLINE`."""

    def __init__(self, address: str, evidence: Evidence, files: Path) -> None:
        self.evidence = evidence
        self._files = files
        self._socket = connect(address, max_size=None, open_timeout=10)
        self._number = 0
        self._open: dict[str, str] = {}  # a request, and the document that it is for
        self._urls: dict[str, str] = {}
        self._busy = time.monotonic()
        for domain in ("Page", "Network", "Runtime", "Log", "DOM"):
            self.call(f"{domain}.enable")

    def close(self) -> None:
        self._socket.close()

    # What a person does.

    def open(self, url: str) -> None:
        """Go there, and wait until the page is at rest."""
        told = self.call("Page.navigate", url=url)
        if error := told.get("errorText"):
            raise PageError(f"{url}: {error}")
        self.rest()

    def rest(self) -> None:
        """Until the document is complete and no request has been open for a moment, or the deadline."""
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            self._listen(0.05)
            if self._open or time.monotonic() - self._busy < QUIET:
                continue
            if self.see("document.readyState == 'complete'"):
                return
        waiting = ", ".join(sorted(self._urls.get(number, number) for number in self._open))
        raise PageError(f"the page does not come to rest; open: {waiting or 'nothing'}")

    def rest_a_moment(self) -> None:
        """Note what is told meanwhile."""
        self._listen(0.1)

    def see(self, expression: str) -> Any:
        """The value of an expression of JavaScript; None if it fails, as it does while a page is left."""
        told = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        return None if "exceptionDetails" in told else told["result"].get("value")

    def wait(self, expression: str, *, deadline: float = DEADLINE) -> Any:
        """The first true value of an expression."""
        end = time.monotonic() + deadline
        while not (value := self.see(expression)):
            if time.monotonic() > end:
                shown = self.see("document.body.innerText") or ""
                raise PageError(
                    f"waited {deadline:.0f} s in vain for {expression}; the page: {shown[:400]!r}"
                )
            self._listen(0.05)
        return value

    def text(self, selector: str) -> str:
        """What an element shows; it is waited for."""
        return str(self.wait(f"document.querySelector({json.dumps(selector)})?.innerText?.trim()"))

    def click(self, selector: str, text: str = "") -> None:
        """Press the first visible element that matches and whose text is `text`, with a mouse."""
        x, y = self.wait(_PLACE % (json.dumps(selector), json.dumps(text)))
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def type(self, selector: str, text: str) -> None:
        """Replace what a field holds, key by key as far as the page can tell."""
        self.wait(_FOCUS % json.dumps(selector))
        self.call("Input.insertText", text=text)

    def upload(self, selector: str, name: str) -> None:
        """Choose one of the files that there are for it, in a file field."""
        self.wait(f"!!document.querySelector({json.dumps(selector)})")
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(self._files / name)])

    def picture(self, file: Path) -> None:
        """A screenshot."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    # The protocol.

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command and its answer; what is told meanwhile is noted."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            message = self._next(1.0)
            if message is None or message.get("id") != self._number:
                continue
            if error := message.get("error"):
                raise PageError(f"{method}: {error['message']}")
            result: dict[str, Any] = message["result"]
            return result
        raise PageError(f"{method}: the browser does not answer")

    def _listen(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._next(left)

    def _next(self, seconds: float) -> dict[str, Any] | None:
        try:
            message: dict[str, Any] = json.loads(self._socket.recv(timeout=seconds))
        except TimeoutError:
            return None
        if note := _NOTES.get(message.get("method", "")):
            note(self, message["params"])
        return message

    # What is told of requests.

    def _request(self, told: dict[str, Any]) -> None:
        number = told["requestId"]
        if moved := told.get("redirectResponse"):
            self._note(moved["url"], moved["status"], moved.get("mimeType", ""))
        self._urls[number] = told["request"]["url"]
        if told.get("type") not in LASTING:
            self._open[number] = told["loaderId"]
            self._busy = time.monotonic()

    def _moved(self, told: dict[str, Any]) -> None:
        """Nothing tells of requests that are dropped because their document is left."""
        frame = told["frame"]
        if "parentId" not in frame:
            self._open = {
                number: loader for number, loader in self._open.items() if loader == frame["loaderId"]
            }

    def _response(self, told: dict[str, Any]) -> None:
        response = told["response"]
        self._note(response["url"], response["status"], response.get("mimeType", ""))
        if response.get("mimeType") == "text/event-stream":
            self._open.pop(told["requestId"], None)

    def _finished(self, told: dict[str, Any]) -> None:
        self._busy = time.monotonic()
        self._open.pop(told["requestId"], None)

    def _failed(self, told: dict[str, Any]) -> None:
        self._finished(told)
        if not told.get("canceled") and told["errorText"] != ABORTED:
            self._note(self._urls.get(told["requestId"], "?"), told["errorText"], "")

    def _socket_made(self, told: dict[str, Any]) -> None:
        self._urls[told["requestId"]] = told["url"]

    def _socket_open(self, told: dict[str, Any]) -> None:
        status = told["response"]["status"]
        # Over HTTP/2 that is how one opens (RFC 8441 §5).
        self._note(self._urls[told["requestId"]], 101 if status == 200 else status, "")

    def _socket_error(self, told: dict[str, Any]) -> None:
        self._note(self._urls[told["requestId"]], told["errorMessage"], "")

    def _note(self, url: str, outcome: int | str, media_type: str) -> None:
        if urlsplit(url).hostname == "127.0.0.1":
            self.evidence.resource(url, outcome, media_type)

    # What is told of the console.

    def _console(self, told: dict[str, Any]) -> None:
        if told["type"] in {"error", "assert"}:
            words = (str(word.get("value", word.get("description", ""))) for word in told["args"])
            self.evidence.say(" ".join(words))

    def _thrown(self, told: dict[str, Any]) -> None:
        details = told["exceptionDetails"]
        self.evidence.say(details.get("exception", {}).get("description", details["text"]))

    def _logged(self, told: dict[str, Any]) -> None:
        entry = told["entry"]
        if entry["level"] == "error" and urlsplit(entry.get("url", "")).hostname in {None, "127.0.0.1"}:
            self.evidence.say(f"{entry['text']} {entry.get('url', '')}")


_NOTES: dict[str, Callable[[Page, dict[str, Any]], None]] = {
    "Page.frameNavigated": Page._moved,
    "Network.requestWillBeSent": Page._request,
    "Network.responseReceived": Page._response,
    "Network.loadingFinished": Page._finished,
    "Network.loadingFailed": Page._failed,
    "Network.webSocketCreated": Page._socket_made,
    "Network.webSocketHandshakeResponseReceived": Page._socket_open,
    "Network.webSocketFrameError": Page._socket_error,
    "Runtime.consoleAPICalled": Page._console,
    "Runtime.exceptionThrown": Page._thrown,
    "Log.entryAdded": Page._logged,
}
