"""The command: what it prints, how it exits, and what it does to the process before it serves."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tricorn import __version__
from tricorn.cli import main
from tricorn.config.errors import ConfigError
from tricorn.launch import Launch
from tricorn.workers import protocols

HELLO = "def app(environ, start_response): return []\n"


@pytest.fixture(autouse=True)
def process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The command changes its process; afterwards ours is as it was."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    shared = ("PORT", "WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS", "SENDFILE", "GUNICORN_CMD_ARGS")
    for name in [name for name in os.environ if name.startswith("TRICORN_") or name in shared]:
        monkeypatch.delenv(name)
    environ, modules = dict(os.environ), set(sys.modules)
    yield
    os.environ.clear()
    os.environ.update(environ)
    for name in set(sys.modules) - modules:
        del sys.modules[name]


Output = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("word", "first"), [("--help", "Usage: tricorn [options] APP"), ("-v", f"tricorn {__version__}")]
)
def test_help_and_version(word: str, first: str, capsys: Output) -> None:
    assert main([word]) == 0
    assert capsys.readouterr().out.splitlines()[0] == first


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "wsgi_app: no application is given; write tricorn module:app, or set wsgi_app"),
        (["--check-config"], "wsgi_app: no application is given; write tricorn module:app, or set wsgi_app"),
        (["--worker", "2"], "--worker: there is no such option (command line); did you mean --workers?"),
        (
            ["-w", "0"],
            "workers: 0 is not a whole number from 1 to 4096 (command line); write a whole number from 1 to",
        ),
        (["-b", "[::1"], "bind: '[::1'"),
        (["-b", "localhost:http"], "bind: 'localhost:http': 'http' is not a port"),
        (["-b", "ftp://x"], "bind: 'ftp://x'"),
        (["--workers-min", "2"], "workers_min: has no effect without workers_max"),
        (["-w", "5", "--workers-max", "4"], "workers_max: 4 is fewer than workers, 5"),
        (["--workers-min", "5", "--workers-max", "4"], "workers_max: 4 is fewer than workers_min, 5"),
        (["--dirty-workers-min", "2"], "dirty_workers_min: has no effect without dirty_workers_max"),
        (
            ["--dirty-workers", "5", "--dirty-workers-max", "4"],
            "dirty_workers_max: 4 is fewer than dirty_workers, 5",
        ),
        (
            ["--reload-on-exception", "InterfaceError"],
            "reload_on_exception: 'InterfaceError' is no exception",
        ),
        (["--reload-on-exception", "a.b-c"], "reload_on_exception: 'a.b-c' is not the name of a class"),
        (["--health-bind", "https://:81"], "health_bind: https://:81: health checks are asked by"),
        (["--health-bind", "uwsgi://:81"], "health_bind: uwsgi://:81: health checks are asked by plain HTTP"),
        (["--protocol", "fastcgi"], "protocol: 'fastcgi' is not one of http, uwsgi"),
        (["--uwsgi-allow-from", "10.0.0.0/33"], "uwsgi_allow_ips: "),
        (["--health-bind", "ftp://x"], "health_bind: 'ftp://x'"),
        (["-b", "127.0.0.1:80", "--health-bind", ":80"], "health_bind: :80 and 127.0.0.1:80, which is"),
        (["-b", "unix:a", "--health-bind", "unix:a"], "health_bind: unix:a and unix:a, which is in bind,"),
        (["--warmup", "page"], "warmup: 'page' is not /path"),
        (["--warmup", "http://user@host/"], "warmup: 'http://user@host/' is not /path"),
        (["--warmup", "/a b"], "warmup: '/a b' is not /path"),
    ],
)
def test_wrong_settings_are_one_line_and_exit_2(words: list[str], line: str, capsys: Output) -> None:
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"tricorn: error: {line}")
    assert error.count("\n") == 1


def test_http_2_that_was_not_built_is_an_error_for_who_asks(
    monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.setattr(protocols, "maybe_library", lambda: None)
    assert main(["--http-protocols", "h2,h1", "--check-config", "none:app"]) == 2
    said = capsys.readouterr().err
    assert "http_protocols: this build of Tricorn has no HTTP/2 (command line)" in said
    assert "libnghttp2-dev" in said
    assert main(["--version"]) == 0
    assert "HTTP/2: not built" in capsys.readouterr().out


def test_print_config_needs_no_application(capsys: Output) -> None:
    assert main(["--print-config", "-w", "4"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("workers ")]
    assert line.split() == ["workers", "4", "command", "line"]


def test_check_config_of_a_good_application(tmp_path: Path, capsys: Output) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "checked_app.py").write_text("import os\nassert os.environ['SEEN'] == '1'\n" + HELLO)
    assert main(["--check-config", "--chdir", "site", "-e", "SEEN=1", "checked_app:app"]) == 0
    assert (
        capsys.readouterr().out
        == "tricorn: the settings and the application 'checked_app:app' are in order\n"
    )


def test_check_config_of_an_application_that_is_not_there(capsys: Output) -> None:
    assert main(["--check-config", "not_there_app:app"]) == 1
    assert capsys.readouterr().err.startswith("tricorn: error: there is no module 'not_there_app'")


@pytest.mark.parametrize(
    ("kind", "app", "said"),
    [
        ("sync", "live", "'kinds_app:live' is an application for ASGI, and worker_class 'sync' serves WSGI"),
        ("asgi", "web", "'kinds_app:web' is an application for WSGI, and worker_class 'asgi' serves ASGI"),
        ("asgi", "live", ""),
        ("auto", "live", ""),
        ("auto", "web", ""),
    ],
)
def test_check_config_compares_the_application_with_the_worker(
    kind: str, app: str, said: str, tmp_path: Path, capsys: Output
) -> None:
    text = "async def live(scope, receive, send): ...\ndef web(environ, start_response): ...\n"
    (tmp_path / "kinds_app.py").write_text(text)
    assert main(["--check-config", "-k", kind, f"kinds_app:{app}"]) == (1 if said else 0)
    assert capsys.readouterr().err.startswith(f"tricorn: error: {said}" if said else "")


def test_check_config_of_an_application_that_raises_shows_its_traceback(
    tmp_path: Path, capsys: Output
) -> None:
    (tmp_path / "raising_app.py").write_text("def early():\n    return 1 / 0\nearly()\n")
    assert main(["--check-config", "raising_app:app"]) == 1
    error = capsys.readouterr().err
    assert "return 1 / 0" in error
    assert error.endswith(
        "tricorn: error: 'raising_app:app' cannot be loaded: it raised the exception above\n"
    )


def test_warnings_of_the_configuration_are_shown(tmp_path: Path, capsys: Output) -> None:
    (tmp_path / "gunicorn.conf.py").write_text("ssl_version = 5\n")
    assert main(["--print-config"]) == 0
    assert capsys.readouterr().err.startswith("tricorn: warning: ssl_version is ignored (gunicorn.conf.py)")


def test_launch_applies_a_configuration_and_undoes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEPT", "original")
    monkeypatch.delenv("SERVER_SOFTWARE", raising=False)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    config, search_path = tmp_path / "tricorn.toml", list(sys.path)
    launch = Launch([])

    config.write_text(
        "chdir = 'one'\npythonpath = 'lib,/opt/vendor'\nraw_env = ['KEPT=changed', 'ADDED=1']\n"
    )
    launch.enter(launch.settings(), logs=False)
    assert Path.cwd() == tmp_path / "one"
    assert sys.path == [str(tmp_path / "one" / "lib"), "/opt/vendor", str(tmp_path / "one"), *search_path]
    assert (os.environ["KEPT"], os.environ["ADDED"]) == ("changed", "1")
    # As in Gunicorn: applications that ask whether a server runs them look for it.
    assert os.environ["SERVER_SOFTWARE"] == f"tricorn/{__version__}"

    config.write_text("chdir = 'two'\nraw_env = ['OTHER=2']\n")
    launch.enter(launch.settings(), logs=False)
    assert Path.cwd() == tmp_path / "two"
    assert sys.path == [str(tmp_path / "two"), *search_path]
    assert (os.environ["KEPT"], os.environ["OTHER"]) == ("original", "2")
    assert "ADDED" not in os.environ
    launch.leave()
    assert "SERVER_SOFTWARE" not in os.environ


def test_a_reload_that_is_wrong_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "tricorn.toml").write_text("chdir = 'one'\nwsgi_app = 'x:y'\n")
    launch = Launch([])
    launch.enter(launch.settings(), logs=False)
    (tmp_path / "tricorn.toml").write_text("chdir = 'missing'\n")
    with pytest.raises(ConfigError, match="there is no directory"):
        launch.reload()
    assert Path.cwd() == tmp_path / "one"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            "",
            "daemon: in the background there is no terminal, and errorlog is '-': name a file",
        ),
        ("--log-file /dev/stderr", "errorlog is '/dev/stderr'"),
        ("--log-file log --access-logfile -", "accesslog is '-': name a file with --access-logfile"),
        ("--log-file log --access-logfile log", None),
        ("-R", None),
    ],
)
def test_a_daemon_has_its_logs_in_files(
    words: str, said: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or in streams that lead somewhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.isatty", lambda _: False)
    launch = Launch(["-D", *words.split(), "app:app"])
    if said is None:
        assert launch.settings().daemon
        return
    with pytest.raises(ConfigError) as caught:
        launch.settings()
    assert said in str(caught.value)


def test_a_daemon_may_not_log_to_its_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.isatty", lambda fd: fd == 2)
    with pytest.raises(ConfigError, match="errorlog is '-'"):
        Launch(["-D", "-R", "app:app"]).settings()


def test_python_m_tricorn(tmp_path: Path) -> None:
    """The one test that pays for a process: the entry point, its streams and its exit code."""
    (tmp_path / "real_app.py").write_text(HELLO)
    command = [sys.executable, "-m", "tricorn", "--check-config"]
    good = subprocess.run([*command, "real_app:app"], capture_output=True, text=True, timeout=30, check=False)
    assert (good.returncode, good.stderr) == (0, "")
    bad = subprocess.run([*command, "--prelod", "x"], capture_output=True, text=True, timeout=30, check=False)
    assert (bad.returncode, bad.stdout) == (2, "")
    assert bad.stderr == (
        "tricorn: error: --prelod: there is no such option (command line); did you mean --preload?\n"
    )


@pytest.mark.parametrize("arguments", [["--help"], ["--print-config"]])
def test_a_reader_who_has_seen_enough(arguments: list[str]) -> None:
    """`tricorn --help | head -1` ends quietly."""
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(
        [sys.executable, "-m", "tricorn", *arguments], stdout=writer, stderr=subprocess.PIPE, timeout=30
    )
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (0, b"")


# --------------------------------------------------------------------------------------------------- TLS


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A certificate and its key in one file, and an application beside it."""
    if shutil.which("openssl") is None:
        pytest.skip("the command openssl is not installed")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "5", "-subj", "/CN=x"]
    words += ["-addext", "subjectAltName=DNS:site.test", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(words, check=True, capture_output=True)
    (tmp_path / "tls_app.py").write_text(HELLO)
    (tmp_path / "site.pem").write_text(key.read_text() + certificate.read_text())
    return tmp_path / "site.pem"


def test_check_config_reads_the_certificate(site: Path, capsys: Output) -> None:
    assert main(["--check-config", "--certfile", site.name, "tls_app:app"]) == 0
    shown = capsys.readouterr().err
    assert shown.startswith(f"tricorn: warning: Certificate {site} for site.test expires on ")
    assert "in 4 days" in shown


@pytest.mark.parametrize("words", [["--check-config"], []])
def test_a_mistake_in_a_certificate_ends_the_start(words: list[str], site: Path) -> None:
    site.write_text("hello")
    command = [sys.executable, "-m", "tricorn", *words, "--certfile", "site.pem", "tls_app:app"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1].startswith(
        f"tricorn: error: certfile: {site} is not a PEM file (command line); a PEM file has lines such as"
    )


def test_the_password_of_a_key_stays_with_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reload needs it, the application does not."""
    monkeypatch.setenv("TRICORN_KEYFILE_PASSWORD", "sesame")
    launch = Launch([])
    assert "TRICORN_KEYFILE_PASSWORD" not in os.environ
    for _ in range(2):
        settings = launch.settings()
        assert settings.keyfile_password == "sesame"
        assert "sesame" not in repr(settings)


def test_print_config_does_not_show_a_password(monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    monkeypatch.setenv("TRICORN_KEYFILE_PASSWORD", "sesame")
    assert main(["--print-config"]) == 0
    shown = capsys.readouterr().out
    assert "sesame" not in shown
    assert "(set, not shown)" in shown


# -- how it was started, for an upgrade


def test_the_directory_by_the_name_with_which_it_was_entered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link to the current release is followed anew by whoever starts there again."""
    release, link = tmp_path / "release", tmp_path / "current"
    release.mkdir()
    link.symlink_to(release)
    monkeypatch.chdir(link)
    for name, expected in {
        str(link): link,
        str(release): release,
        str(tmp_path): release,  # left from before a chdir
        "/nowhere": release,
        ".": release,
        "": release,
    }.items():
        monkeypatch.setenv("PWD", name)
        assert Launch([]).directory == str(expected), name


PYTHON = "/opt/python3"

#: First line of the script, words of the process → the command that starts another one.
COMMANDS = {
    "a script": (f"#!{PYTHON}", [PYTHON, "SCRIPT", "app"], ["SCRIPT", "app"]),
    "a script with an option": (f"#!{PYTHON} -sP", [PYTHON, "-sP", "SCRIPT", "app"], ["SCRIPT", "app"]),
    "a script of another Python": ("#!/usr/bin/python3", [PYTHON, "SCRIPT", "app"], ["EXE", "SCRIPT", "app"]),
    "a script by env": ("#!/usr/bin/env python3", ["python3", "SCRIPT", "app"], ["EXE", "SCRIPT", "app"]),
    "no script": ("\x7fELF", [PYTHON, "SCRIPT", "app"], ["EXE", "SCRIPT", "app"]),
    "a module": ("", ["python3", "-X", "dev", "-m", "tricorn"], ["EXE", "-X", "dev", "-m", "tricorn"]),
    "an interpreter alone": ("", ["python3"], ["EXE"]),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_command_line(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line, words, expected = COMMANDS[name]
    script = tmp_path / "tricorn"
    script.write_text(line + "\nimport tricorn\n")
    script.chmod(0o755)
    known = {"SCRIPT": str(script), "EXE": sys.executable}
    monkeypatch.setattr(sys, "orig_argv", [known.get(word, word) for word in words])
    assert list(Launch([]).command) == [known.get(word, word) for word in expected]
