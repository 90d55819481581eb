"""`tricorn dev`: what it sets, what counts more, and where it finds an application."""

from __future__ import annotations

from pathlib import Path

import pytest

from tricorn.cli import main
from tricorn.commands.dev import OWN, help_text, read
from tricorn.config.errors import ConfigError
from tricorn.config.settings import SETTINGS

APP = "app = print\n"
FACTORY = "def create_app():\n    return print\n"


def written(home: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
    return home


def test_its_own_values_are_settings_and_are_explained() -> None:
    text = help_text()
    for values in OWN.values():
        for name, value in values:
            SETTINGS[name].kind.parse(value)
            assert f"{name} = " in text


def test_what_counts_more_than_what(tmp_path: Path) -> None:
    written(
        tmp_path,
        {"tricorn.toml": "workers = 7\nthreads = 3\nkeepalive = 9\nloglevel = 'error'\ntimeout = 5\n"},
    )
    environ = {"TRICORN_THREADS": "4", "PORT": "5000", "TRICORN_LOGLEVEL": "warning", "WEB_CONCURRENCY": "9"}
    settings = read(["shop:app", "--timeout", "30"], environ, tmp_path)
    values = {
        name: getattr(settings, name) for name in ("workers", "threads", "keepalive", "loglevel", "timeout")
    }
    assert values == {"workers": 1, "threads": 4, "keepalive": 9, "loglevel": "warning", "timeout": 30}
    assert settings.bind == ("127.0.0.1:5000",)
    assert settings.reload
    assert settings.origins["workers"] == "tricorn dev"
    assert "tricorn dev does not take workers from tricorn.toml; options count as always" in settings.notes
    assert read(["-b", ":1", "-b", ":2", "x:y"], {"PORT": "5"}, tmp_path).bind == (":1", ":2")


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"app.py": APP}, "app:app"),
        ({"app.py": "application = app = print\n"}, "app:app"),
        ({"app.py": "x = 1\napplication: object = print\n"}, "app:application"),
        ({"app.py": "application: object\n", "wsgi.py": APP}, "wsgi:app"),
        ({"app.py": FACTORY}, "app:create_app()"),
        ({"app.py": "def make_app(debug=False, *, x=1): ...\n"}, "app:make_app()"),
        ({"app.py": "def create_app(settings): ...\n", "main.py": APP}, "main:app"),
        ({"app.py": "async def app(scope, receive, send): ...\n"}, "app:app"),
        ({"app.py": "class app: ...\n"}, "app:app"),
        ({"app.py": "from shop import create_app\n"}, "app:create_app()"),
        ({"app.py": "try:\n    import x\nexcept ImportError:\n    x = 1\nif x:\n    app = x\n"}, "app:app"),
        ({"app.py": "with x:\n    (app, y) = x\n"}, "app:app"),
        ({"app.py": "def f():\n    app = 1\n", "asgi.py": APP}, "asgi:app"),
        ({"app.py": "app = (\n"}, "app:app"),  # what is wrong is shown when it is loaded
        ({"app/__init__.py": FACTORY}, "app:create_app()"),
        ({"wsgi.py": APP, "asgi.py": APP}, "wsgi:app"),
        (
            {"manage.py": "", "site/__init__.py": "", "site/asgi.py": APP, "site/wsgi.py": "application = 1"},
            "site.wsgi:application",
        ),
        ({"flaskr/__init__.py": FACTORY, "tests/__init__.py": APP}, "flaskr:create_app()"),
        (
            {"shop/app.py": APP, "flaskr/__init__.py": "", "flaskr/main.py": APP},
            "flaskr.main:app",
        ),  # shop is no package
    ],
)
def test_what_is_found(files: dict[str, str], found: str, tmp_path: Path) -> None:
    settings = read([], {}, written(tmp_path, files))
    assert settings.wsgi_app == found
    assert f"The application is {found}" in settings.notes
    assert settings.origins["wsgi_app"] == "tricorn dev"


def test_it_is_looked_for_in_pythonpath_too(tmp_path: Path) -> None:
    written(tmp_path, {"src/shop/__init__.py": FACTORY})
    assert read(["--pythonpath", "src"], {}, tmp_path).wsgi_app == "shop:create_app()"


@pytest.mark.parametrize(
    ("named", "files", "is_served"),
    [
        ("shop", {"shop.py": FACTORY}, "shop:create_app()"),
        ("shop", {"shop.py": "application = app = 1\n"}, "shop:app"),
        ("shop", {"shop.py": "x = 1\n"}, "shop"),
        ("shop", {}, "shop"),
        ("shop.web", {"shop/web/__init__.py": APP}, "shop.web:app"),
        ("web/shop.py", {"web/shop.py": FACTORY}, "web/shop.py:create_app()"),
        ("shop:create_app", {"shop.py": FACTORY}, "shop:create_app()"),
        ("shop:create_app", {"shop.py": "def create_app(environ, start_response): ...\n"}, "shop:create_app"),
        ("shop:app", {"shop.py": FACTORY}, "shop:app"),
        ("shop:create_app('x')", {"shop.py": FACTORY}, "shop:create_app('x')"),
    ],
)
@pytest.mark.parametrize("way", ["word", "FLASK_APP", "file"])
def test_a_name_may_be_short(
    way: str, named: str, files: dict[str, str], is_served: str, tmp_path: Path
) -> None:
    written(tmp_path, files)
    if way == "file":
        (tmp_path / "tricorn.toml").write_text(f'wsgi_app = "{named}"\n')
    environ = {"FLASK_APP": named} if way == "FLASK_APP" else {}
    assert read([named] if way == "word" else [], environ, tmp_path).wsgi_app == is_served


def test_a_name_counts_more_than_what_is_found(tmp_path: Path) -> None:
    written(tmp_path, {"app.py": APP})
    assert read(["a:b"], {"FLASK_APP": "c:d"}, tmp_path).wsgi_app == "a:b"
    assert read([], {"FLASK_APP": "c:d"}, tmp_path).wsgi_app == "c:d"
    (tmp_path / "prod.ini").touch()
    assert read(["--paste", "prod.ini"], {}, tmp_path).wsgi_app is None


def test_it_says_what_it_has_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read([], {}, written(tmp_path, {"app.py": "x = 1\n"}))
    assert str(caught.value) == (
        f"wsgi_app: no application is given, and none was found: looked in {tmp_path} and its packages for "
        "app.py, wsgi.py, asgi.py, main.py, and in these for app, application, create_app(), make_app(); "
        "write tricorn dev module:app"
    )


def test_it_does_not_guess_among_several(tmp_path: Path) -> None:
    written(tmp_path, {"a/__init__.py": "", "a/wsgi.py": APP, "b/__init__.py": FACTORY})
    with pytest.raises(
        ConfigError,
        match=r"has several: a\.wsgi:app, b:create_app\(\); write one of them, such as tricorn dev a",
    ):
        read([], {}, tmp_path)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["dev"], "wsgi_app: no application is given, and none was found"),
        (
            ["dev", "--reload-engines", "x", "a:b"],
            "--reload-engines: there is no such option (command line); did you mean",
        ),
        (["dev", "--reload-dir", "nowhere", "a:b"], "reload_dirs: there is no directory 'nowhere'; name one"),
        (
            ["dev", "--reload-engine", "magic", "a:b"],
            "reload_engine: 'magic' is not one of auto, watchfiles, inotify",
        ),
    ],
)
def test_mistakes_are_one_line(
    words: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    assert capsys.readouterr().err.startswith(f"tricorn: error: {said}")


def test_an_engine_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tricorn.arbiter.reloading.has_watchfiles", lambda: False)
    assert main(["--reload", "--reload-engine", "watchfiles", "a:b"]) == 2
    assert "pip install 'tricorn[reload]', or write auto or poll" in capsys.readouterr().err
