"""`static` and what belongs to it: what one may write, and what is said of what one may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tricorn.config.errors import BadValueError, ConfigError
from tricorn.config.mounts import cache_rules, directories, media_types
from tricorn.config.settings import SETTINGS, Settings
from tricorn.config.sources import load
from tricorn.launch import checked

DIRECTORIES = directories("/assets=./build/assets")
RULES = cache_rules("/a=b")


def test_directories_are_written_as_texts_or_as_a_table() -> None:
    expected = {"/assets": "./build", "/": "public"}
    assert DIRECTORIES.parse(["/assets=./build", "/ = public"]) == expected
    assert DIRECTORIES.parse(expected) == expected
    assert DIRECTORIES.parse("/a=b=c") == {"/a": "b=c"}
    assert DIRECTORIES.parse(None) == {}
    assert SETTINGS["static"].kind.split is not None
    assert SETTINGS["static"].kind.split("/a=b,/c=d") == ["/a=b", "/c=d"]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (["assets=./build"], "'assets' is not a path prefix"),
        (["/assets"], "'/assets' is not PREFIX=DIRECTORY"),
        (["/assets="], "'/assets' has no directory"),
        (["/a=x", "/a/=y"], "'/a/' is the same prefix as '/a'"),
        (["/a*=x"], "contains '*'"),
        (["/a//b=x"], "contains '//'"),
        (["/a%20b=x"], "contains '%'"),
        (["/a=x\0"], "is not the path of a directory"),
        ({"/a": 1}, "is not PREFIX=DIRECTORY"),
        (1, "1 is not PREFIX=DIRECTORY"),
    ],
)
def test_what_is_no_directory_is_said(written: object, said: str) -> None:
    with pytest.raises(BadValueError) as caught:
        DIRECTORIES.parse(written)
    assert said in caught.value.message
    assert caught.value.hint


def test_rules_for_caches() -> None:
    assert RULES.parse(["/a/*.js=public, max-age=1", "*="]) == ("/a/*.js=public, max-age=1", "*=")
    assert RULES.split is not None
    assert RULES.split("/a=max-age=1, public; /b=") == ["/a=max-age=1, public", "/b="]
    assert RULES.show(("/a=b", "/c=")) == "/a=b; /c="
    for wrong in (["a=b"], ["/a"], ["/a=\x00"], ["/a=b\r\nX: y"], ["/a=\u00e9"], 3):
        with pytest.raises(BadValueError):
            RULES.parse(wrong)


def test_types() -> None:
    kind = media_types()
    assert kind.parse(["GLSL=text/plain", ".x=a/b; c=d"]) == {"glsl": "text/plain", "x": "a/b; c=d"}
    for wrong in (["a.b=text/plain"], ["=text/plain"], ["a=text"], ["a=text/\rplain"], ["a/b=text/plain"]):
        with pytest.raises(BadValueError):
            kind.parse(wrong)


@pytest.mark.parametrize("name", ["index.html", "", "a b"])
def test_an_index(name: str) -> None:
    assert SETTINGS["static_index"].kind.parse(name) == name


@pytest.mark.parametrize("name", ["a/b", "..", ".", "a\0", 3])
def test_no_index(name: object) -> None:
    with pytest.raises(BadValueError):
        SETTINGS["static_index"].kind.parse(name)


@pytest.mark.parametrize("name", ["static", "x_sendfile"])
def test_a_directory_has_to_be_there(tmp_path: Path, name: str) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "file").touch()
    flag = f"--{name.replace('_', '-')}"
    assert checked(settings(tmp_path, flag, "/a=there"))
    for missing in ("nothing", "file"):
        with pytest.raises(ConfigError) as caught:
            checked(settings(tmp_path, flag, f"/a={missing}"))
        assert str(caught.value) == (
            f"{name}: /a has no directory: there is none at {missing!r}; make it, or name another, from "
            f"{tmp_path} (command line)"
        )


def settings(place: Path, *arguments: str) -> Settings:
    return load([*arguments, "--chdir", str(place), "module:app"], {}, place)
