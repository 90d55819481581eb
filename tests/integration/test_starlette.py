"""Starlette over real sockets: the example, and a site that uses what an ASGI server has to offer."""

from __future__ import annotations

import gzip
import json
import os

import httpx
import pytest
from harness.server import wait_for
from integration.asgi_site import AsgiTests, websocket
from integration.framework import FrameworkTests
from integration.live import EXAMPLES, Live, message
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus

MEGABYTE = os.urandom(1_000_000)


class TestExample(FrameworkTests):
    interface = "asgi"
    options = AsgiTests.options
    app = "starlette_app:app"
    chdir = EXAMPLES
    error_page = "Internal Server Error"

    def test_parts_of_a_file(self, site: Live) -> None:
        whole = site.request("/file").body
        part = site.request("/file", fields=["Range: bytes=1000-1999"])
        assert part.status == 206
        assert part.get("Content-Range") == f"bytes 1000-1999/{len(whole)}"
        assert part.body == whole[1000:2000]
        several = site.request("/file", fields=["Range: bytes=0-9,2000000-2000099"])
        assert several.status == 206
        assert whole[:10] in several.body
        assert whole[2_000_000:2_000_100] in several.body
        assert site.request("/file", fields=["Range: bytes=9000000-"]).status == 416


class TestStarlette(AsgiTests):
    app = "asgi_starlette_site:app"
    options = (
        *AsgiTests.options,
        "--asgi-extensions=http.response.pathsend,http.response.early_hint,"
        "http.response.trailers,websocket.http.response",
    )

    # -- what the application is told

    def test_scope(self, site: Live, client: httpx.Client) -> None:
        about = client.get(
            "/scope/caf%C3%A9/a%2Fb?x=1&x=%20two&y=", headers={"X-Note": "caf\xe9".encode("latin-1")}
        ).json()
        assert about["path"] == "/scope/caf\xe9/a/b"
        assert about["raw_path"] == "/scope/caf%C3%A9/a%2Fb"
        assert about["root_path"] == ""
        assert about["query"] == "x=1&x=%20two&y="
        assert about["parameters"] == [["x", "1"], ["x", " two"], ["y", ""]]
        assert about["segment"] == "caf\xe9/a/b"
        assert about["url"].startswith(f"{site.url}/scope/")
        assert about["client"][0] == "127.0.0.1"
        assert ["x-note", "caf\xe9"] in about["fields"]

    def test_extensions_are_offered(self, client: httpx.Client) -> None:
        """Trailers to those who say that they want them (RFC 9110 §6.5.1)."""
        offered = set(client.get("/scope/x").json()["extensions"])
        assert {"http.response.pathsend", "http.response.early_hint"} <= offered
        with_trailers = client.get("/scope/x", headers={"TE": "trailers"}).json()["extensions"]
        assert set(with_trailers) - offered == {"http.response.trailers"}

    def test_state_is_copied_for_each_request(self, client: httpx.Client) -> None:
        first = client.get("/state", params={"note": "one"}).json()
        second = client.get("/state", params={"note": "two"}).json()
        assert (first["greeting"], second["greeting"]) == ("hello", "hello")
        assert [note for note in second["log"] if note in ("one", "two")] == ["one", "two"]
        assert second["clock ticks"]

    # -- bodies

    def test_a_body_is_streamed_through(self, client: httpx.Client) -> None:
        response = client.post("/echo", content=MEGABYTE)
        assert response.content == MEGABYTE
        response = client.post("/echo", content=(MEGABYTE[at : at + 9_999] for at in range(0, 99_990, 9_999)))
        assert response.content == MEGABYTE[:99_990]

    def test_the_answer_may_begin_before_the_body_ends(self, site: Live) -> None:
        with site.connect() as client:
            client.send(message("/echo", method="POST", fields=["Transfer-Encoding: chunked"]))
            client.send(b"5\r\nhello\r\n")
            assert client.read_until(b"hello")
            client.send(b"5\r\nworld\r\n0\r\n\r\n")
            assert client.read_until(b"world")
            client.read_until(b"0\r\n\r\n")
            client.send(message("/"))
            assert client.response().body == b"hello"

    def test_a_large_body_comes_in_pieces(self, client: httpx.Client) -> None:
        """Bounded ones: a body is never gathered for an application that wants to stream it."""
        pieces = client.post("/sizes", content=MEGABYTE * 4).json()
        assert sum(pieces) == 4_000_000
        assert max(pieces) <= 1_000_000

    def test_middleware_that_reads_the_body(self, client: httpx.Client) -> None:
        response = client.post("/signed/echo", content=MEGABYTE)
        assert response.content == MEGABYTE
        assert response.headers["X-Signed"] == "1000000"
        assert client.get("/signed/").headers["X-Signed"] == "0"

    def test_compression_by_middleware(self, site: Live) -> None:
        response = site.request("/zipped/pages?lines=10000", fields=["Accept-Encoding: gzip"])
        assert response.get("Content-Encoding") == "gzip"
        assert gzip.decompress(response.body) == b"a line of text\n" * 10_000

    def test_a_file_is_sent_by_its_path(self, client: httpx.Client) -> None:
        """Starlette leaves it to the server, where it is offered; not so a part of it."""
        whole = client.get("/witnessed/file").content
        assert whole == (AsgiTests.chdir / "asgi_starlette_site.py").read_bytes()
        assert client.get("/state").json()["log"][-3:-1] == ["http.response.start", "http.response.pathsend"]
        part = client.get("/witnessed/file", headers={"Range": "bytes=10-19"})
        assert (part.status_code, part.content) == (206, whole[10:20])
        assert "http.response.body" in client.get("/state").json()["log"][-3:-1]

    def test_work_in_a_thread(self, client: httpx.Client) -> None:
        assert client.get("/thread").text == "from a thread"

    # -- background tasks

    def test_a_background_task_holds_nobody_up(self, site: Live, client: httpx.Client) -> None:
        """Not even the same connection: what the task waits for comes on it."""
        with site.connect() as same:
            same.send(message("/background"))
            assert same.response().body == b"accepted"
            same.send(message("/release"))
            assert same.response().body == b"open"
        wait_for(lambda: "released" in client.get("/state").json()["log"], "the task has ended")

    # -- errors

    def test_exceptions_with_a_handler(self, client: httpx.Client) -> None:
        response = client.get("/teapot")
        assert (response.status_code, response.text) == (418, "short and stout")
        response = client.get("/gone")
        assert (response.status_code, response.text) == (410, "gone for good")
        assert response.headers["X-Since"] == "1999"

    @pytest.mark.usefixtures("fails")
    def test_a_stream_that_breaks_is_cut(self, site: Live) -> None:
        before = site.log().count("broken midway")
        with site.connect() as client:
            client.send(message("/breaks-midway"))
            response = client.response()
            assert (response.status, response.body, response.complete) == (200, b"first", False)
        site.wait_log("broken midway", times=before + 1)

    # -- WebSocket

    def test_websocket_echo(self, site: Live) -> None:
        with websocket(site, "/ws/echo", max_size=None) as socket:
            for data in ("text", "", "caf\xe9 \N{SNOWMAN}" * 10_000, b"bytes", b"", MEGABYTE):
                socket.send(data)
                assert socket.recv(timeout=10) == data

    def test_websocket_fragments(self, site: Live) -> None:
        with websocket(site, "/ws/echo") as socket:
            socket.send(iter(["a ", "caf\xe9 ", "in pieces"]))
            assert socket.recv(timeout=10) == "a caf\xe9 in pieces"

    def test_websocket_ping(self, site: Live) -> None:
        with websocket(site, "/ws/echo") as socket:
            assert socket.ping(b"there?").wait(10)

    def test_websocket_handshake(self, site: Live) -> None:
        with websocket(
            site,
            "/ws/about?x=%20one",
            subprotocols=["v1.about", "v2.about"],
            additional_headers={"Cookie": "flavour=oat"},
        ) as socket:
            assert socket.subprotocol == "v2.about"
            assert socket.response is not None
            assert socket.response.headers["x-extra"] == "from accept"
            assert json.loads(socket.recv(timeout=10)) == {
                "subprotocols": ["v1.about", "v2.about"],
                "query": {"x": " one"},
                "cookie": "oat",
                "scheme": site.url.replace("http", "ws").partition(":")[0],
                "greeting": "hello",
            }
            with pytest.raises(ConnectionClosed) as closed:
                socket.recv(timeout=10)
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4321, "all told")

    @pytest.mark.parametrize("compression", ["deflate", None])
    def test_websocket_compression(self, site: Live, compression: str | None) -> None:
        text = "the same words over and over " * 5000
        with websocket(site, "/ws/echo", compression=compression) as socket:
            for _ in range(3):
                socket.send(text)
                assert socket.recv(timeout=10) == text

    def test_websocket_refused(self, site: Live) -> None:
        for path in ("/ws/refuses", "/ws/nowhere"):
            with pytest.raises(InvalidStatus) as refused, websocket(site, path):
                pass
            assert refused.value.response.status_code == 403

    def test_websocket_denied_with_a_page(self, site: Live) -> None:
        with pytest.raises(InvalidStatus) as denied, websocket(site, "/ws/denies"):
            pass
        response = denied.value.response
        assert (response.status_code, response.body) == (451, b"not you")
        assert response.headers["X-Why"] == "a rule"

    @pytest.mark.parametrize(
        ("leave", "told"),
        [
            (lambda socket: socket.close(4000, "bye"), [4000, "bye"]),
            (lambda socket: socket.close(), [1000, ""]),
            (lambda socket: socket.socket.close(), [1006, ""]),
        ],
        ids=["code", "plain", "gone"],
    )
    def test_websocket_says_how_the_client_went(self, site: Live, client: httpx.Client, leave, told) -> None:
        with websocket(site, "/ws/waits") as socket:
            leave(socket)
            wait_for(lambda: told in client.get("/state").json()["log"], f"the application was told {told}")

    def test_websocket_sends_while_it_receives(self, site: Live) -> None:
        with websocket(site, "/ws/counts") as socket:
            for number in range(1000):
                assert socket.recv(timeout=10) == str(number)
            socket.send("stop")
            number = 1000
            while (got := socket.recv(timeout=10)) != "stopped":
                assert got == str(number)
                number += 1

    @pytest.mark.usefixtures("fails")
    def test_websocket_that_raises_is_closed_with_1011(self, site: Live) -> None:
        before = site.log().count("a websocket that always fails")
        with websocket(site, "/ws/fails") as socket, pytest.raises(ConnectionClosedError) as closed:
            socket.recv(timeout=10)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1011
        site.wait_log("a websocket that always fails", times=before + 1)

    def test_http_on_a_websocket_route_is_not_found(self, client: httpx.Client) -> None:
        assert client.get("/ws/echo").status_code == 404


def test_lifespan_opens_before_the_first_request_and_closes_after_the_last() -> None:
    with Live(
        "asgi_starlette_site:app", "--worker-class", "auto", kind="asgi", chdir=AsgiTests.chdir
    ) as live:
        assert live.log().count("the site opens") == 1
        assert live.request("/").status == 200
        assert "the site closes" not in live.log()
        live.terminate()
        assert live.wait_exit() == 0
        assert live.log().count("the site closes") == 1
