"""`manage.py runtricorn` in a project as `django-admin startproject` makes it; that project without it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from deploy.programs import Running, environ, free_port, running

BIN = Path(sys.executable).parent

VIEWS = """
from django.shortcuts import render

def home(request):
    return render(request, "home.html", {"word": "first"})
"""
URLS = """
from django.contrib import admin
from django.urls import path
from mysite import views

urlpatterns = [path("admin/", admin.site.urls), path("", views.home)]
"""
MORE = """
INSTALLED_APPS += ["tricorn.contrib.django"]
TEMPLATES[0]["DIRS"] = [BASE_DIR / "templates"]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Its own directory, in which manage.py is."""
    subprocess.run([BIN / "django-admin", "startproject", "mysite", tmp_path], check=True, timeout=60)
    (tmp_path / "mysite" / "views.py").write_text(VIEWS)
    (tmp_path / "mysite" / "urls.py").write_text(URLS)
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "home.html").write_text("<p>{{ word }}</p>")
    change(tmp_path / "mysite" / "settings.py", "$", MORE)
    return tmp_path


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    path.write_text(text + new if old == "$" else text.replace(old, new))


@contextlib.contextmanager
def runtricorn(project: Path, port: int, *words: str, cwd: Path | None = None) -> Iterator[Running]:
    """Not by the environment that this test runs in: what is compiled within one second is not read again."""
    env = environ(PYTHONPATH="", PYTHONDONTWRITEBYTECODE="1", WEB_CONCURRENCY="3", PORT="1")
    command = [sys.executable, project / "manage.py", "runtricorn", str(port), *words]
    with running(command, cwd or project, env=env) as started:
        yield started


def fetched(port: int, path: str = "/") -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{port}{path}", timeout=10) as response:
        text: str = response.read().decode()
        return text


def shown(port: int) -> str:
    """What a browser shows, an error's page too."""
    try:
        return fetched(port)
    except urllib.error.HTTPError as error:
        text: str = error.read().decode()
        return text


@pytest.mark.slow
def test_development(project: Path, tmp_path: Path) -> None:
    """Checks, migrations, static files, a reload for code and one for a template; from another directory."""
    port = free_port()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "gunicorn.conf.py").write_text("workers = 7\nbind = 'unix:/nonexistent/socket'\n")
    with runtricorn(project, port, cwd=elsewhere) as started:
        started.wait_log("is ready")
        log = started.log()
        assert "System check identified no issues (0 silenced)." in log
        assert re.search(r"You have \d+ unapplied migration\(s\)", log)
        assert "using settings 'mysite.settings'" in log
        assert f"http://127.0.0.1:{port}" in log
        assert "WARNING" not in log
        assert log.count("is ready") == 1

        assert fetched(port) == "<p>first</p>"
        assert "body" in fetched(port, "/static/admin/css/base.css")
        started.wait_log('"GET / HTTP/1.1" 200')

        change(project / "mysite" / "views.py", "first", "second")
        started.wait(lambda: fetched(port) == "<p>second</p>", "the new code serves")
        change(project / "templates" / "home.html", "<p>", "<b>")
        started.wait(lambda: fetched(port) == "<b>second</p>", "the new template is used")

        # Django finds a mistake: that is the page, until it is mended.
        settings = project / "mysite" / "settings.py"
        change(settings, "$", '\nSTATICFILES_DIRS = "wrong"\n')
        started.wait_log("staticfiles.E001")
        started.wait(lambda: "staticfiles.E001" in shown(port), "the page says why")
        change(settings, 'STATICFILES_DIRS = "wrong"', "")
        started.wait(lambda: shown(port) == "<b>second</p>", "it is mended")
        started.process.send_signal(signal.SIGINT)
        assert started.process.wait(20) == 0


@pytest.mark.slow
def test_without_debug(project: Path) -> None:
    """ASGI, no reload, static files only on request; what stands behind -- is for the command tricorn."""
    change(project / "mysite" / "settings.py", "DEBUG = True", "DEBUG = False")
    change(project / "mysite" / "settings.py", "ALLOWED_HOSTS = []", "ALLOWED_HOSTS = ['*']")
    port = free_port()
    words = ("--asgi", "--noreload", "--skip-checks", "--insecure", "--", "--workers", "2")
    with runtricorn(project, port, *words) as started:
        started.wait_log("is ready", times=2)
        assert "Performing system checks" not in started.log()
        assert "Watching files" not in started.log()
        assert "serves ASGI" in started.log()
        assert fetched(port) == "<p>first</p>"
        assert "body" in fetched(port, "/static/admin/css/base.css")
        with pytest.raises(urllib.error.HTTPError, match="404"):
            fetched(port, "/static/nothing.css")
        assert started.stop() == 0


#: Arguments (a word with @: see RECORD) → what the command becomes has these words, or how it is refused.
WORDS: list[tuple[str, list[str] | str]] = [
    ("", ["--bind", "127.0.0.1:8000"]),
    ("9000", ["--bind", "127.0.0.1:9000"]),
    ("0:9000", ["--bind", "0.0.0.0:9000"]),
    ("127.0.0.3:9000", ["--bind", "127.0.0.3:9000"]),
    ("localhost:9000", ["--bind", "127.0.0.1:9000"]),
    ("--ipv6", ["--bind", "[::1]:8000"]),
    ("-6 9000", ["--bind", "[::1]:9000"]),
    ("[::1]:9000", ["--bind", "[::1]:9000"]),
    ("9000", ["--worker-class", "gthread", "--threads", "16"]),
    ("--nothreading", ["--threads", "1"]),
    ("--asgi", ["--worker-class", "asgi"]),
    ("", ["--reload"]),
    ("9000 -- --workers 2 --log-level debug", ["--workers", "2", "--log-level", "debug"]),
    ("-- --threads 3", ["--threads", "3"]),
    (
        "--nostatic",
        [
            "tricorn.contrib.django.development:application(interface='wsgi', static=False, "
            "insecure=False, checks=True, color=False)"
        ],
    ),
    ("@asgi", ["--worker-class", "asgi"]),
    ("@asgi --wsgi", ["--worker-class", "gthread"]),
    ("@locale", ["--reload-extra-file", "{project}/locale/**/*.mo"]),
    ("", ["--reload-extra-file", "{project}/templates/**/*"]),
    ("@unset", "set DJANGO_SETTINGS_MODULE"),
    ("port", '"port" is not a valid port number'),
    ("--ipv6 127.0.0.1:9000", "is not a valid IPv6 address"),
    ("nowhere.invalid:9000", "is no address of this machine"),
    ("--asgi --wsgi", "not allowed with argument"),
]

#: The command as manage.py runs it, and what it would have become.
RECORD = """
import contextlib, io, json, os, sys
from django.core.management import ManagementUtility
os.environ["DJANGO_SETTINGS_MODULE"] = "mysite.settings"

class Became(BaseException):
    pass

def become(path, words):
    raise Became(words)

def given(word):
    from django.conf import settings
    if word == "@asgi":
        settings.ASGI_APPLICATION = "mysite.asgi.application"
    elif word == "@locale":
        os.makedirs("locale", exist_ok=True)
        settings.LOCALE_PATHS = [os.path.abspath("locale")]
    elif word == "@unset":
        del os.environ["DJANGO_SETTINGS_MODULE"]
    return settings

def taken_back(settings):
    os.environ["DJANGO_SETTINGS_MODULE"] = "mysite.settings"
    settings.ASGI_APPLICATION = None

os.execv = become
found = []
for words in json.loads(sys.argv[1]):
    said = io.StringIO()
    settings = given(words.split(" ")[0])
    words = words.removeprefix(words.split(" ")[0]) if words.startswith("@") else words
    try:
        with contextlib.redirect_stderr(said):
            ManagementUtility(["manage.py", "runtricorn", *words.split()]).execute()
    except Became as error:
        found.append(error.args[0])
    except SystemExit:
        found.append(said.getvalue())
    taken_back(settings)
print(json.dumps(found))
"""


def test_words(project: Path) -> None:
    """runserver's forms of an address, and its options."""
    cases = json.dumps([words for words, _ in WORDS])
    done = subprocess.run(
        [sys.executable, "-Wdefault", "-Xutf8", "-c", RECORD, cases],
        cwd=project,
        env=environ(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    for (words, wanted), found in zip(WORDS, json.loads(done.stdout), strict=True):
        if isinstance(wanted, str):
            assert isinstance(found, str), (words, found)
            assert wanted in found, words
            continue
        wanted = [word.replace("{project}", str(project)) for word in wanted]
        assert any(found[at : at + len(wanted)] == wanted for at in range(len(found))), (words, found)
        assert found[:5] == [sys.executable, "-Wdefault", "-Xutf8", "-m", "tricorn"], words


@pytest.mark.slow
def test_the_project_is_found_without_a_path(project: Path) -> None:
    """`tricorn mysite.wsgi` where manage.py is, and from elsewhere by --chdir, as Gunicorn has it."""
    env = {
        name: value
        for name, value in environ().items()
        if name not in {"PYTHONPATH", "DJANGO_SETTINGS_MODULE"}
    }
    for place, words in ((project, []), (Path(os.sep), ["--chdir", str(project)])):
        port = free_port()
        command = [BIN / "tricorn", *words, "--bind", f"127.0.0.1:{port}", "mysite.wsgi"]
        done = subprocess.run(
            [*command, "--check-config"], cwd=place, env=env, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
