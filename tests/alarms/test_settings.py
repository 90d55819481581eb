"""What the settings of alarms take, and what goes together."""

from __future__ import annotations

import pytest

from tricorn.config.errors import BadValueError, ConfigError
from tricorn.config.parsers import share, web_address
from tricorn.config.settings import SETTINGS, Settings
from tricorn.launch import checked
from tricorn.records import replace


@pytest.mark.parametrize(
    ("written", "value"),
    [("5%", 0.05), ("0.05", 0.05), (0.5, 0.5), (1, 1.0), ("100 %", 1.0), (".2", 0.2), (0, 0.0)],
)
def test_shares(written: object, value: float) -> None:
    assert share().parse(written) == value


@pytest.mark.parametrize(
    "written", ["101%", "2", 1.5, -0.1, "-5%", True, "nan", "5%%", "", None, float("nan")]
)
def test_what_is_no_share(written: object) -> None:
    with pytest.raises(BadValueError):
        share().parse(written)


@pytest.mark.parametrize("url", ["https://a.example/x?y=z", "HTTP://user:pw@[::1]:8080", "http://localhost"])
def test_urls(url: str) -> None:
    assert web_address().parse(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a/b",
        "file:///etc/passwd",
        "a.example/x",
        "https://",
        "https:///x",
        "https://a/b c",
        "https://a:x/",
    ],
)
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(BadValueError) as raised:
        web_address().parse(url)
    assert url not in str(raised.value)  # it may have a secret in it


def settings(**given: object) -> Settings:
    origins = dict.fromkeys(SETTINGS, "default")
    return replace(Settings(), origins=origins, **given)  # type: ignore[arg-type]  # of any setting


def test_what_is_counted_needs_metrics() -> None:
    wanted = settings(alarm_error_share=0.1)
    with pytest.raises(ConfigError, match="set metrics"):
        checked(wanted)
    checked(replace(wanted, metrics=True))


def test_a_window_is_no_moment() -> None:
    with pytest.raises(ConfigError, match="less than a second"):
        checked(settings(alarm_window=0.5))
