"""A Django project over real sockets, on every worker kind: its sessions and uploads are on the disk."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from harness.client import Client, Response
from integration.framework import MEGABYTE, FrameworkTests
from integration.live import EXAMPLES, Live, message

PROJECT = EXAMPLES / "django_project"


class TestDjango(FrameworkTests):
    app = "config.wsgi:application"
    chdir = PROJECT
    error_page = "Server Error (500)"
    refused = 403  # the form's token is missing

    def environ(self, directory: Path) -> dict[str, str]:
        environ = {**super().environ(directory), "DJANGO_DATA_DIR": str(directory)}
        command = [sys.executable, "manage.py", "migrate", "-v0"]
        subprocess.run(command, cwd=PROJECT, env={**os.environ, **environ}, check=True, timeout=60)
        return environ

    def login(self, browser: urllib.request.OpenerDirector, url: str, user: str) -> dict[str, Any]:
        with browser.open(f"{url}/form", timeout=10) as response:
            token = json.load(response)["token"]
        body = urlencode({"user": user, "csrfmiddlewaretoken": token}).encode()
        # Over TLS Django wants to know which page a form was sent from.
        sent = urllib.request.Request(f"{url}/login", body, {"Referer": f"{url}/form"})
        with browser.open(sent, timeout=10) as response:
            assert response.geturl() == f"{url}/whoami"
            return json.load(response)  # type: ignore[no-any-return]

    def redirect(self, client: Client) -> Response:
        client.send(message("/form"))
        response = client.response()
        token = json.loads(response.body)["token"]
        cookie = re.match("csrftoken=[^;]+", response.get("Set-Cookie") or "")
        assert cookie
        fields = [f"Cookie: {cookie[0]}", "Content-Type: application/x-www-form-urlencoded"]
        fields.append("Referer: https://live.example/form")
        body = urlencode({"user": "me", "csrfmiddlewaretoken": token}).encode()
        client.send(message("/login", method="POST", body=body, fields=fields))
        return client.response("POST")

    def check_upload(self, site: Live, answer: dict[str, Any]) -> None:
        assert site.request(f"/uploads/{answer['stored']}").body == MEGABYTE

    def test_a_forged_form_is_refused(self, site: Live) -> None:
        """The body of it was not read by the view."""
        form = "Content-Type: application/x-www-form-urlencoded"
        with site.connect() as client:
            client.send(message("/login", method="POST", body=b"user=me", fields=[form]))
            assert client.response("POST").status == 403
            client.send(message("/json"))
            assert client.response().status == 200

    def test_static_file(self, site: Live) -> None:
        response = site.request("/static/style.css")
        assert response.get("Content-Type") == "text/css"
        assert response.body == (PROJECT / "shop/static/style.css").read_bytes()
        assert site.request("/static/nothing.css").status == 404
