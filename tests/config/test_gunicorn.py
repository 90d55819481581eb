"""Gunicorn's own registry of settings: each is honoured here, or answered, and none in silence."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import pytest

from tricorn.config import moving
from tricorn.config.commandline import FLAGS, NEGATIVES
from tricorn.config.errors import BadValueError, ConfigError
from tricorn.config.gunicorn import (
    CALLED,
    DIRTY_HOOKS,
    HOOKS,
    MISSING,
    MISSING_FLAGS,
    NAMES,
    SECTIONS,
    UNSET_BY_NONE,
)
from tricorn.config.settings import SETTINGS
from tricorn.config.sources import load

DOCS = Path(__file__).parents[2] / "docs"

#: Defaults that are not written down here, because they depend on the machine.
OTHER_DEFAULTS = {"control_socket", "control_socket_mode", "syslog_addr"}


@pytest.fixture(scope="module")
def registry() -> dict[str, Any]:
    """Gunicorn's settings by name."""
    from gunicorn.config import KNOWN_SETTINGS

    return {each.name: each for each in KNOWN_SETTINGS}


def test_every_setting_is_known_in_its_section(registry: dict[str, Any]) -> None:
    sections: dict[str, list[str]] = {}
    for name, setting in registry.items():
        sections.setdefault(setting.section, []).append(name)
    assert {section: tuple(names) for section, names in sections.items()} == dict(SECTIONS)


def test_every_setting_is_honoured_or_answered() -> None:
    assert sorted(NAMES - set(SETTINGS) - set(MISSING)) == []
    assert sorted(set(MISSING) - NAMES) == []


def test_every_option_means_the_same_setting(registry: dict[str, Any]) -> None:
    for name, setting in registry.items():
        for flag in setting.cli or ():
            ours = FLAGS.get(flag) or NEGATIVES.get(flag)
            assert (ours.name if ours else MISSING_FLAGS.get(flag)) == name, flag


def test_every_option_takes_what_gunicorns_does(registry: dict[str, Any]) -> None:
    """A value or none; one or many; so that the application is never taken for a value, or the reverse."""
    for name, setting in registry.items():
        if not setting.cli:
            continue
        is_switch = setting.action in ("store_true", "store_const")
        if name in MISSING:
            assert MISSING[name].switch == is_switch, name
            continue
        kind = SETTINGS[name].kind
        assert kind.is_switch == is_switch, name
        assert (kind.split is not None) == (setting.action == "append"), name
        assert (kind.bare is not None) == (setting.nargs == "?"), name


def test_gunicorns_defaults_are_not_worth_a_word(
    registry: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that spells them all out."""
    monkeypatch.chdir(tmp_path)
    spelt = {
        name: setting.default
        for name, setting in registry.items()
        if name not in CALLED and name not in OTHER_DEFAULTS and name not in ("config", "bind", "chdir")
    }
    (tmp_path / "gunicorn.conf.py").write_text(
        "".join(f"{name} = {value!r}\n" for name, value in spelt.items() if not hasattr(value, "_value_"))
    )
    settings = load([], {}, tmp_path)
    assert settings.warnings == ()
    assert settings.notes == ()


def remarks_on(text: str, directory: Path) -> tuple[str, ...]:
    """What is said of a file, an error among it."""
    (directory / "gunicorn.conf.py").write_text(text)
    try:
        settings = load([], {}, directory)
    except ConfigError as error:
        return (str(error),)
    return (*settings.warnings, *settings.notes)


@pytest.mark.parametrize("name", MISSING)
def test_what_is_missing_is_answered_in_a_file(name: str, tmp_path: Path) -> None:
    if name in CALLED:
        text = f"def {name}(*_): ...\n"
    else:
        text = f"{name} = {'False' if name == 'suppress_ragged_eofs' else repr('something')}\n"
    (said,) = remarks_on(text, tmp_path)
    assert said.startswith(name)
    assert "(gunicorn.conf.py)" in said
    assert MISSING[name].says in said


@pytest.mark.parametrize("flag", MISSING_FLAGS)
def test_what_is_missing_is_answered_on_the_command_line(flag: str, tmp_path: Path) -> None:
    missing = MISSING[MISSING_FLAGS[flag]]
    words = [flag, "app:app"] if missing.switch else [flag, "something", "app:app"]
    settings = load(words, {}, tmp_path)
    assert settings.wsgi_app == "app:app"
    said = [*settings.warnings, *settings.notes]
    if flag == "--suppress-ragged-eofs":  # it can only say what is so anyway
        assert said == []
    else:
        assert len(said) == 1
        assert said[0].startswith(flag)
        assert missing.says in said[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("protocol = 'fastcgi'", "'fastcgi' is not one of http, uwsgi"),
        ("http2_cleartext = 'anywhere'", "'anywhere' is not one of off, prior-knowledge, anyone"),
        ("http2_cleartext = 'upgrade'", "is no longer a part of HTTP/2"),
    ],
)
def test_what_would_change_what_is_served_is_an_error(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "gunicorn.conf.py").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load([], {}, tmp_path)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("worker_tmp_dir = '/dev/shm'", "worker_tmp_dir has no effect (gunicorn.conf.py): the heartbeats of"),
        ("http_parser = 'fast'", "http_parser has no effect (gunicorn.conf.py): there is one parser"),
        ("initgroups = True", "initgroups has no effect (gunicorn.conf.py): workers always get"),
    ],
)
def test_what_has_no_consequences_is_a_note(text: str, note: str, tmp_path: Path) -> None:
    (tmp_path / "gunicorn.conf.py").write_text(text)
    settings = load([], {}, tmp_path)
    assert settings.warnings == ()
    assert len(settings.notes) == 1
    assert settings.notes[0].startswith(note)


# ---- values ----------------------------------------------------------------------------------------------

#: What people write, in files and (as texts) in the environment.
WRITTEN = (
    *(None, True, False, 4, "4", 4.0, "1_000", 0o22, "", "  ", "true", "False", "info", "127.0.0.1"),
    *(["127.0.0.1:80"], ("127.0.0.1:80",), "127.0.0.1:80", "unix:/run/x", ["A=1"], "A=1", {"X-A": "on"}),
    *("/srv", "root", "OFF", "Auto", "v2", "sync", "SCRIPT_NAME,REMOTE_USER", [], ()),
)
#: Of what Gunicorn takes, what is refused here, and why.
REFUSED: dict[str, tuple[object, ...]] = {
    "bind": (None, False, "", "  ", [], (), {"X-A": "on"}),  # it listens nowhere, and says nothing
    "access_log_format": (None, "", "  "),  # None fails at the first request
    "loglevel": (None,),  # it fails later
    "syslog_addr": ("", "  "),  # the same
    "worker_class": (None,),  # the same
    "http2_initial_window_size": (False, "false"),  # 0: nobody may send a body
    **dict.fromkeys(
        ("workers", "threads", "dirty_threads", "worker_connections", "backlog"), (False,)
    ),  # 0: nobody is served
    "umask": (True, False, "1_000"),
    "control_socket_mode": (True, False, "1_000", 4, "4", 0o22),  # it would let everybody in
    "cert_reqs": (True, False, 4, "4", "1_000", 18),  # not one of three
    "user": (True, False),
    "group": (True, False),
    **dict.fromkeys(("raw_env", "raw_paste_global_conf"), (False,)),
    "dirty_apps": (False, {"X-A": "on"}),  # nothing could be loaded
}
#: Words, whose wrong ones are errors here. Gunicorn does not look at them before it uses them, or ever.
WORDS = {
    "dirty_apps",
    "syslog_facility",
    "logger_class",
    "worker_class",
    "loglevel",
    "protocol",
    "root_path",
    "forwarder_headers",
    "raw_env",
    "raw_paste_global_conf",
}


@pytest.mark.parametrize("name", sorted(NAMES & set(SETTINGS) - {"ssl_context", "chdir", "config"}))
def test_what_gunicorn_takes_is_taken(name: str, registry: dict[str, Any]) -> None:
    for written in WRITTEN:
        gunicorns = registry[name]()
        with contextlib.redirect_stderr(io.StringIO()):
            try:
                gunicorns.set(written)
            except Exception:  # noqa: BLE001 - whatever it raises, it does not take the value
                continue
        if written is True and isinstance(gunicorns.get(), int) and not SETTINGS[name].kind.is_switch:
            continue  # 1, by accident
        if written is None and (SETTINGS[name].kind.is_switch or name in UNSET_BY_NONE):
            continue  # files.py leaves it out
        if any(
            written is each or (written == each and type(written) is type(each))
            for each in REFUSED.get(name, ())
        ):
            with pytest.raises(BadValueError):
                SETTINGS[name].kind.parse(written)
        elif name not in WORDS or not isinstance(written, str | list | tuple):
            SETTINGS[name].kind.parse(written)


EFFECTIVE: list[tuple[str, str, object]] = [
    ("bind = '127.0.0.1:8000,unix:/run/site.sock'", "bind", ("127.0.0.1:8000", "unix:/run/site.sock")),
    ("bind = '/run/site.sock'", "bind", ("/run/site.sock",)),
    ("bind = 'unix:/run/a,b.sock'", "bind", ("unix:/run/a,b.sock",)),
    ("bind = ('0.0.0.0:80', '[::]:80,:81')", "bind", ("0.0.0.0:80", "[::]:80", ":81")),
    ("bind = 'tcp://0.0.0.0:80'", "bind", ("tcp://0.0.0.0:80",)),
    ("errorlog = ''", "errorlog", "-"),
    ("errorlog = None", "errorlog", "-"),
    ("accesslog = None", "accesslog", None),
    ("accesslog = ''", "accesslog", None),
    ("loglevel = 'WARN'", "loglevel", "warning"),
    ("import logging\nloglevel = logging.DEBUG", "loglevel", "debug"),
    ("loglevel = 'Critical'", "loglevel", "critical"),
    ("loglevel = ''", "loglevel", "info"),
    ("worker_class = 'egg:gunicorn#sync'", "worker_class", "sync"),
    ("worker_class = 'egg:gunicorn#gthread'", "worker_class", "gthread"),
    ("from gunicorn.workers.sync import SyncWorker\nworker_class = SyncWorker", "worker_class", "sync"),
    ("workers = '4'", "workers", 4),
    ("workers = 8 / 2", "workers", 4),
    ("workers = '4.0'", "workers", 4),
    ("max_requests = '1_000'", "max_requests", 1000),
    ("max_requests = False", "max_requests", 0),
    ("timeout = '120'", "timeout", 120.0),
    ("timeout = False", "timeout", 0.0),
    ("timeout = 2.5", "timeout", 2.5),
    ("raw_env = ('A=1',)", "raw_env", ("A=1",)),
    ("raw_env = 'A=1'", "raw_env", ("A=1",)),
    ("forwarded_allow_ips = '10.0.0.0/8, 192.168.0.1'", "forwarded_allow_ips", ("10.0.0.0/8", "192.168.0.1")),
    ("forwarded_allow_ips = ''", "forwarded_allow_ips", ()),
    ("preload_app = 'True'", "preload_app", True),
    ("sendfile = None", "sendfile", True),
    ("header_map = None", "header_map", "drop"),
    ("root_path = None", "root_path", ""),
    ("asgi_loop = None\nasgi_lifespan = None", "asgi_lifespan", "auto"),
    ("limit_request_line = 0", "limit_request_head", 65536),
    ("limit_request_line = 1 << 20", "limit_request_head", 1 << 21),
    ("limit_request_field_size = 65536", "limit_request_head", 131072),
    ("limit_request_field_size = 16384", "limit_request_head", 65536),
    ("limit_request_line = 1 << 40", "limit_request_line", ConfigError),
    ("user = ''", "user", None),
    ("pidfile = ''", "pidfile", None),
    ("umask = 0o007", "umask", 7),
    ("umask = '0'", "umask", 0),
    ("cert_reqs = 0", "cert_reqs", 0),
]


@pytest.mark.parametrize(("text", "name", "value"), EFFECTIVE, ids=[text for text, _, _ in EFFECTIVE])
def test_value_in_a_file(text: str, name: str, value: object, tmp_path: Path) -> None:
    (tmp_path / "gunicorn.conf.py").write_text(text)
    if value is ConfigError:
        with pytest.raises(ConfigError):
            load([], {}, tmp_path)
    else:
        assert getattr(load([], {}, tmp_path), name) == value


def test_chdir_of_nothing_is_here(tmp_path: Path) -> None:
    (tmp_path / "gunicorn.conf.py").write_text("chdir = ''")
    assert load([], {}, tmp_path).chdir == str(tmp_path)


def test_what_a_head_may_be_follows_its_parts_and_says_so(tmp_path: Path) -> None:
    settings = load(["--limit-request-line", "64k"], {}, tmp_path)
    assert settings.origins["limit_request_head"] == "limit_request_line (command line)"
    assert (
        load(["--limit-request-line", "8k", "--limit-request-head", "9000"], {}, tmp_path).limit_request_head
        == 9000
    )


@pytest.mark.parametrize(
    ("text", "warned"),
    [
        ("bind = 'unix:/x'\nforwarded_allow_ips = '10.0.0.1'", ["forwarded_allow_ips: clients on Unix"]),
        (
            "bind = '/x'\nproxy_protocol = True\nproxy_allow_ips = '10.0.0.1'",
            ["proxy_allow_ips: clients on Unix"],
        ),
        ("bind = '/x'\nproxy_allow_ips = '10.0.0.1'", []),
        ("bind = 'unix:/x'\nforwarded_allow_ips = '10.0.0.1,unix'", []),
        ("bind = 'unix:/x'\nforwarded_allow_ips = '*'", []),
        ("bind = 'unix:/x'\nforwarded_allow_ips = ''", []),
        ("bind = 'unix:/x'", []),
        ("forwarded_allow_ips = '10.0.0.1'", []),
    ],
)
def test_clients_on_unix_sockets_are_not_distrusted_in_silence(
    text: str, warned: list[str], tmp_path: Path
) -> None:
    (tmp_path / "gunicorn.conf.py").write_text(text)
    warnings = load([], {}, tmp_path).warnings
    assert len(warnings) == len(warned)
    assert all(warning.startswith(said) for warning, said in zip(warnings, warned, strict=True))


# ---- the page --------------------------------------------------------------------------------------------


def test_page_is_up_to_date() -> None:
    text = (DOCS / "gunicorn.md").read_text(encoding="utf-8")
    assert text == moving.page(text), "run: python -m tricorn.config.moving docs/gunicorn.md"


def test_page_has_every_setting() -> None:
    assert all(f"\n| `{name}` | " in moving.table() for name in NAMES)


def test_what_differs_is_a_setting_of_both() -> None:
    assert sorted({*moving.DIFFERS, *moving.DEFAULTS} - (NAMES & set(SETTINGS))) == []


def test_defaults_that_differ_are_named(registry: dict[str, Any]) -> None:
    differing = {}
    for name in NAMES & set(SETTINGS) - {
        "chdir",
        "control_socket",
        "config",
        "user",
        "group",
        "ssl_context",
        "bind",
        "workers",
        *HOOKS,
        *DIRTY_HOOKS,  # its defaults are functions that do nothing
    }:
        declared, default = SETTINGS[name], registry[name].default
        if declared.kind.is_switch and default is None:
            continue
        if declared.kind.parse(default) != declared.default:
            differing[name] = str(default)
    assert differing == dict(moving.DEFAULTS)
