"""Where certificates and keys are found."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tricorn.config.errors import ConfigError
from tricorn.tls.files import find_pairs, signature_of


def lay(directory: Path, *names: str) -> None:
    for name in names:
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            "-----BEGIN PRIVATE KEY-----" if "both" in name or "key" in name else "-----BEGIN C-----"
        )


def found(path: Path, root: Path) -> list[tuple[str, str]]:
    return [
        (os.path.relpath(pair.certfile, root), os.path.relpath(pair.keyfile, root))
        for pair in find_pairs("certificates", str(path))
    ]


@pytest.mark.parametrize(
    ("files", "named", "key"),
    [
        (["a.pem", "a.key"], "a.pem", "a.key"),
        (["a.crt", "a.key"], "a.crt", "a.key"),
        (["a.both.pem", "b.key"], "a.both.pem", "a.both.pem"),
        (["fullchain.pem", "privkey.pem"], "fullchain.pem", "privkey.pem"),
        (["a.pem", "privkey.pem"], "a.pem", "a.pem"),
    ],
)
def test_a_file_has_its_key_beside_it(files: list[str], named: str, key: str, tmp_path: Path) -> None:
    lay(tmp_path, *files)
    assert found(tmp_path / named, tmp_path) == [(named, key)]


def test_a_directory(tmp_path: Path) -> None:
    """In the order of names; what has no key is somebody else's."""
    lay(tmp_path, "b.pem", "b.key", "a.both.pem", "chain.pem", "README", "c.crt", "d.key")
    assert found(tmp_path, tmp_path) == [("a.both.pem", "a.both.pem"), ("b.pem", "b.key")]


def test_the_directory_of_certbot(tmp_path: Path) -> None:
    parts = ("cert.pem", "chain.pem", "fullchain.pem", "privkey.pem")
    lay(tmp_path, *(f"live/{name}/{part}" for name in ("b.test", "a.test") for part in parts), "live/README")
    pairs = [(f"live/{name}/fullchain.pem", f"live/{name}/privkey.pem") for name in ("a.test", "b.test")]
    assert found(tmp_path / "live", tmp_path) == pairs
    assert found(tmp_path / "live/a.test", tmp_path) == pairs[:1]


def test_a_directory_without_certificates(tmp_path: Path) -> None:
    lay(tmp_path, "chain.pem")
    with pytest.raises(
        ConfigError, match=r"is a directory without certificates.*; put NAME.pem and NAME.key"
    ):
        find_pairs("certificates", str(tmp_path))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"certificates: there is no file .*none"):
        find_pairs("certificates", str(tmp_path / "none"))


def test_another_target_is_another_signature(tmp_path: Path) -> None:
    """certbot writes new files and turns its links to them."""
    lay(tmp_path, "archive/one.pem", "archive/two.pem")
    link = tmp_path / "live.pem"
    link.symlink_to("archive/one.pem")
    before = signature_of(str(link))
    assert before == signature_of(str(link)) != None  # noqa: E711 - in one comparison
    link.unlink()
    assert signature_of(str(link)) is None
    link.symlink_to("archive/two.pem")
    assert signature_of(str(link)) != before
