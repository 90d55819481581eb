"""What is said of a request, and which packages are asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tricorn.config.errors import ConfigError
from tricorn.config.sources import load
from tricorn.launch import CHECKS
from tricorn.tracing import packages
from tricorn.tracing.facts import METHODS, Facts, error_name, known_methods, server, without_secrets


@pytest.mark.parametrize(
    ("host", "scheme", "expected"),
    [
        ("example.org", "http", ("example.org", 80)),
        ("example.org", "https", ("example.org", 443)),
        ("example.org:8080", "https", ("example.org", 8080)),
        ("[::1]", "http", ("::1", 80)),
        ("[::1]:8000", "http", ("::1", 8000)),
        ("example.org:", "http", ("example.org", 80)),
        ("example.org:x", "http", ("example.org", None)),
        ("example.org:99999999", "http", ("example.org", None)),
    ],
)
def test_servers(host: str, scheme: str, expected: tuple[str, int | None]) -> None:
    assert server(host, scheme) == expected


def test_signatures_of_queries() -> None:
    assert without_secrets("a=1&b=%20") == "a=1&b=%20"
    assert without_secrets("a=%2F&Signature=abc&X-Goog-Signature=d") == (
        "a=/&Signature=REDACTED&X-Goog-Signature=REDACTED"
    )


def test_methods_of_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS", raising=False)
    assert known_methods() == METHODS
    monkeypatch.setenv("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS", "GET, BREW")
    assert known_methods() == {"GET", "BREW"}


def scope(**more: Any) -> dict[str, Any]:
    return {"type": "http", "scheme": "http", "headers": [], "client": None, "server": None, **more}


def test_a_client_on_a_unix_socket() -> None:
    facts = Facts("GET", "/", 11, None, 0, scope(), METHODS, ())
    assert facts.attributes == {
        "http.request.method": "GET",
        "url.path": "/",
        "url.scheme": "http",
        "network.protocol.version": "1.1",
    }


def test_of_two_parents_none_is_meant() -> None:
    """W3C Trace Context §3.2: joined, they are none."""
    headers = [(b"traceparent", b"a"), (b"traceparent", b"b"), (b"x", b"y")]
    facts = Facts("GET", "/", 11, "h", 1, scope(headers=headers), METHODS, ("traceparent", "tracestate"))
    assert facts.fields == {"traceparent": "a,b"}


class Said(type):
    @property
    def __module__(cls) -> str:  # type: ignore[override]
        raise AssertionError("its class was asked")


def test_names_of_exceptions() -> None:
    assert error_name(ValueError()) == "ValueError"
    assert error_name(ConfigError("a", "b", "c")) == "tricorn.config.errors.ConfigError"


def checked(**settings: str) -> None:
    words = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
    CHECKS["otel"](load(["--otel", *words, "app:app"], {}, Path("/")))


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    checked()
    with monkeypatch.context() as patch:
        patch.setattr(packages, "find_spec", lambda _name: None)
        with pytest.raises(ConfigError) as caught:
            checked()
    assert "pip install 'tricorn[otel]'" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "pip install opentelemetry-exporter-otlp-proto-grpc"),
        ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "xml", "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL is 'xml'"),
        ("OTEL_TRACES_EXPORTER", "zipkin", "write otlp, console or none in OTEL_TRACES_EXPORTER"),
    ],
)
def test_an_exporter_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        checked()
    assert words in str(caught.value)


def test_no_exporter_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "console")
    checked()


def test_refork_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        checked(refork_after="500")
    assert "refork_after" in str(caught.value)
