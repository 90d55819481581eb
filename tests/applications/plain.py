"""Pages without a browser: a page, all that its HTML names, and forms by hand.

Knows: HTTP by `urllib`, links in HTML. Must not know: servers, what is right.
"""

from __future__ import annotations

import http.cookiejar
import json
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

from applications.evidence import Evidence

TIMEOUT = 30.0

#: Elements whose address is fetched with the page.
_FETCHED = {"script": "src", "img": "src", "source": "src", "link": "href"}
#: Links that are no resources.
_OTHER_LINKS = {"canonical", "alternate", "next", "prev", "preconnect", "dns-prefetch"}


@dataclass
class Answer:
    status: int
    media_type: str
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        return json.loads(self.body)


class Web:
    """A client that keeps its cookies, follows redirects and notes each answer."""

    def __init__(self, url: str, evidence: Evidence, context: ssl.SSLContext | None = None) -> None:
        self.url = url
        self._evidence = evidence
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPSHandler(context=context),
            urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()),
        )

    def get(self, path: str, **headers: str) -> Answer:
        return self._ask(path, None, headers)

    def post(self, path: str, body: bytes | dict[str, str], **headers: str) -> Answer:
        """A form if the body is a dictionary; else the bytes, with their Content_Type."""
        form = urlencode(body).encode() if isinstance(body, dict) else body
        return self._ask(path, form, {"Origin": self.url, **headers})  # as a page of this site

    def open(self, path: str) -> Answer:
        """A page and the resources that it names."""
        page = self.get(path)
        links = _Links()
        links.feed(page.text)
        for link in dict.fromkeys(links.found):
            address = urljoin(f"{self.url}{path}", link)
            if urlsplit(address).netloc == urlsplit(self.url).netloc:
                self.get(address.removeprefix(self.url))
        return page

    def _ask(self, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(f"{self.url}{path}", data=body, headers=named)
        try:
            with self._opener.open(request, timeout=TIMEOUT) as response:
                answer = Answer(response.status, response.headers.get_content_type(), response.read())
                url = response.url
        except urllib.error.HTTPError as error:
            answer, url = Answer(error.code, error.headers.get_content_type(), error.read()), error.url
        self._evidence.resource(url, answer.status, answer.media_type)
        return answer


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        address = given.get(_FETCHED.get(tag, ""))
        if address and not (set((given.get("rel") or "").split()) & _OTHER_LINKS):
            self.found.append(address)
