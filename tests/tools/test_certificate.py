"""tools/certificate (`make cert`): certificates that work, and one line if they cannot be made."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from architecture.source import ROOT
from tls.authority import meet, need_openssl

from tricorn.config.settings import Settings
from tricorn.tls.server import ServerTLS


def run(directory: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "tools/certificate", directory],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", **variables},
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need_openssl()
    directory = tmp_path_factory.mktemp("made") / "new" / ".cert"
    done = run(directory)
    assert done.returncode == 0, done.stderr
    assert f"In {directory}:" in done.stdout
    return directory


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1"])
def test_both_ends_accept_each_other(name: str, made: Path) -> None:
    """By the strict rules of newer Pythons."""
    settings = Settings(
        certfile=str(made / "localhost.pem"),
        keyfile=str(made / "localhost.key"),
        ca_certs=str(made / "ca.pem"),
        cert_reqs=2,
    )
    tls = ServerTLS(settings)
    assert not any(remark.is_warning for remark in tls.remarks(datetime.now(UTC)))
    client = ssl.create_default_context(cafile=str(made / "ca.pem"))
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    client.load_cert_chain(made / "client.pem", made / "client.key")
    assert meet(tls.context, client, name).name == "localhost"


def test_nobody_else_reads_the_keys(made: Path) -> None:
    keys = list(made.glob("*.key"))
    assert len(keys) == 3
    assert all(key.stat().st_mode & 0o077 == 0 for key in keys)


def test_what_is_there_stays(made: Path) -> None:
    before = {path.name: path.read_bytes() for path in made.iterdir()}
    assert run(made).returncode == 0
    assert {path.name: path.read_bytes() for path in made.iterdir()} == before


def test_what_a_new_authority_has_not_signed_is_made_anew(made: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(made, copy)
    (copy / "ca.pem").unlink()
    assert run(copy).returncode == 0
    for name in ("localhost.pem", "client.pem", "ca.pem"):
        assert (copy / name).read_bytes() != (made / name).read_bytes()


def test_without_openssl(tmp_path: Path) -> None:
    bare = tmp_path / "path"
    bare.mkdir()
    (bare / "sh").symlink_to(str(shutil.which("sh")))
    done = run(tmp_path / "cert", PATH=str(bare))
    assert done.returncode == 1
    assert done.stderr.startswith("the command openssl is missing: install your system's package for it")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "cert").exists()


def test_where_nothing_can_be_made(tmp_path: Path) -> None:
    need_openssl()
    (tmp_path / "file").write_text("")
    done = run(tmp_path / "file" / "cert")
    assert done.returncode == 1
    assert "cannot be made" in done.stderr
