"""FastAPI over real sockets."""

from __future__ import annotations

import hashlib
import json
import os

import httpx
import pytest
from harness.server import wait_for
from integration.asgi_site import AsgiTests, websocket
from integration.live import Live

TEA = {"name": "tea", "price": 2.5, "tags": ["green", "caf\xe9"]}
MEGABYTE = os.urandom(1_000_000)


class TestFastAPI(AsgiTests):
    app = "asgi_fastapi_site:app"

    @pytest.fixture(autouse=True)
    def fresh_steps(self, client: httpx.Client) -> None:
        client.get("/steps")

    def test_models_in_and_out(self, client: httpx.Client) -> None:
        created = client.put("/items/1", json=TEA)
        assert (created.status_code, created.json()) == (201, TEA)
        assert client.get("/items/1").json() == TEA
        deleted = client.delete("/items/1")
        assert (deleted.status_code, deleted.content) == (204, b"")
        assert client.get("/items/1").status_code == 404

    @pytest.mark.parametrize(
        ("path", "body", "where"),
        [
            ("/items/1", {"name": "tea", "price": -1}, ["body", "price"]),
            ("/items/1", {"price": 1}, ["body", "name"]),
            ("/items/one", TEA, ["path", "number"]),
        ],
    )
    def test_what_is_not_valid_is_422(
        self, client: httpx.Client, path: str, body: object, where: list[str]
    ) -> None:
        response = client.put(path, json=body)
        assert response.status_code == 422
        assert [error["loc"] for error in response.json()["detail"]] == [where]

    def test_what_is_no_json_is_422(self, client: httpx.Client) -> None:
        response = client.put("/items/1", content=b"{", headers={"Content-Type": "application/json"})
        assert response.status_code == 422

    def test_a_dependency_ends_with_its_request(self, client: httpx.Client) -> None:
        client.put("/items/7", json=TEA)
        assert client.get("/steps").json() == ["open", "put 7", "committed"]
        assert client.get("/items/99").status_code == 404
        assert client.get("/steps").json() == ["open", "get 99", "rolled back"]

    @pytest.mark.parametrize("framing", ["length", "chunked"])
    def test_upload(self, client: httpx.Client, framing: str) -> None:
        request = client.build_request(
            "POST", "/upload", files={"file": ("caf\xe9.bin", MEGABYTE)}, data={"note": "\N{SNOWMAN}"}
        )
        if framing == "chunked":
            fields = {"Content-Type": request.headers["Content-Type"]}
            request = client.build_request("POST", "/upload", content=iter(request.stream), headers=fields)
            assert request.headers["Transfer-Encoding"] == "chunked"
        assert client.send(request).json() == {
            "name": "caf\xe9.bin",
            "size": len(MEGABYTE),
            "sha256": hashlib.sha256(MEGABYTE).hexdigest(),
            "note": "\N{SNOWMAN}",
        }

    def test_stream(self, client: httpx.Client) -> None:
        with client.stream("GET", "/stream", params={"lines": 2000}) as response:
            assert list(response.iter_lines()) == [f"line {number}" for number in range(2000)]

    def test_background_tasks_run_in_order(self, client: httpx.Client) -> None:
        assert client.post("/later", json=["one", "two"]).json() == {"planned": 2}
        seen: list[str] = []

        def both() -> bool:
            seen.extend(client.get("/steps").json())
            return len(seen) >= 2

        wait_for(both, "both tasks have run")
        assert seen == ["later: one", "later: two"]

    @pytest.mark.usefixtures("fails")
    def test_an_error(self, site: Live, client: httpx.Client) -> None:
        response = client.get("/fails")
        assert (response.status_code, response.text) == (500, "Internal Server Error")
        site.wait_log("this handler always fails after")
        assert client.get("/").status_code == 200

    def test_the_schema_is_served(self, client: httpx.Client) -> None:
        schema = client.get("/openapi.json").json()
        assert set(schema["paths"]["/items/{number}"]) == {"get", "put", "delete"}
        assert "<title>FastAPI - Swagger UI</title>" in client.get("/docs").text

    def test_websocket(self, site: Live, client: httpx.Client) -> None:
        with websocket(site, "/ws/lobby") as socket:
            for _ in range(3):
                socket.send(json.dumps(TEA))
                assert json.loads(socket.recv(timeout=10)) == {"room": "lobby", "total": 2.5, "tags": 2}
        seen: list[str] = []

        def ended() -> bool:
            seen.extend(client.get("/steps").json())
            return "committed" in seen

        wait_for(ended, "the dependency of the WebSocket has ended")
        assert seen == ["open", "left with 1000", "committed"]
