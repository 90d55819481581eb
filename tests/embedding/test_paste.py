"""Applications that PasteDeploy describes, and PasteDeploy's own way to start a server."""

from __future__ import annotations

import signal
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from embedding.program import ended, program

from tricorn.app.pasterapp import serve
from tricorn.cli import main

SITE = """
def factory(global_conf, **local_conf):
    words = f"{local_conf['words']} {global_conf.get('colour', 'grey')}"

    def app(environ, start_response):
        start_response("200 OK", [])
        return [words.encode()]

    return app
"""

INI = """
[app:main]
paste.app_factory = paste_site:factory
words = the main one

[app:other]
paste.app_factory = paste_site:factory
words = another

[server:main]
use = egg:tricorn#main
host = 127.0.0.1
port = 0
workers = 1
%s
"""

COMMAND = "import sys\nfrom tricorn.cli import main\nmain()\n"
PSERVE = """
import sys
from paste.deploy import loadapp, loadserver
loadserver("config:" + sys.argv[1])(loadapp("config:" + sys.argv[1]))
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    for name, text in {
        "paste_site.py": SITE,
        "site.ini": INI % "",
        "command.py": COMMAND,
        "pserve.py": PSERVE,
    }.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_file_names_the_application(site: Path) -> None:
    words = ("-b", "127.0.0.1:0", "--paste", "site.ini#other", "--paste-global", "colour=red")
    with program("command.py", *words, cwd=site) as running:
        running.wait_said("is ready")
        assert running.get() == (200, b"another red")
        assert running.stop() == 0


def test_a_server_section(site: Path) -> None:
    with program("pserve.py", str(site / "site.ini"), cwd=site) as running:
        running.wait_said("is ready")
        assert running.get() == (200, b"the main one grey")
        assert running.stop(signal.SIGINT) == 0


def test_what_is_wrong_in_the_section_is_said(site: Path) -> None:
    (site / "site.ini").write_text(INI % "worker = 3")
    code, output = ended("pserve.py", str(site / "site.ini"), cwd=site)
    assert (code, output) == (
        2,
        "tricorn: error: worker: there is no such setting (site.ini, server section); "
        "did you mean workers?\n",
    )


def check(*words: str) -> int:
    return main(["--check-config", *words])


def test_what_is_wrong_with_the_option_is_said(
    site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(site)
    monkeypatch.syspath_prepend(str(site))
    assert check("--paste", "missing.ini") == 2
    said = capsys.readouterr().err
    assert said == "tricorn: error: paste: there is no file 'missing.ini' (command line)\n"
    assert check("--paste", "site.ini#third") == 1
    assert "has no such application" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "paste.deploy", None)
    assert check("--paste", "site.ini") == 1
    said = capsys.readouterr().err
    assert "needs PasteDeploy, which is not installed: pip install tricorn[paste]" in said


def test_the_entry_point_leads_here() -> None:
    (found,) = entry_points(group="paste.server_runner", name="main").select(module="tricorn.app.pasterapp")
    assert found.load() is serve
