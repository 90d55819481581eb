"""`tricorn check`: what becomes of other servers' command lines and files, and where those are found."""

from __future__ import annotations

import argparse
import json
import random
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tricorn.cli import main
from tricorn.commands.check import Answer
from tricorn.commands.foreign import granian, gunicorn, hypercorn, uvicorn, uwsgi
from tricorn.commands.foreign.places import Invocation, in_file, in_shell
from tricorn.commands.foreign.rows import Row, Translation
from tricorn.config.settings import SETTINGS
from tricorn.config.sources import load

HERE = Path()


def answer_to(command: str, directory: Path = HERE) -> Answer:
    (found,) = in_shell(command, "", directory)
    return Answer(found)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    return tmp_path


# ---- each server's command line --------------------------------------------------------------------------

COMMANDS = [
    # Gunicorn's are ours.
    ("gunicorn -w 4 -b :80 shop.wsgi", "tricorn shop.wsgi --bind :80 --workers 4"),
    (
        "gunicorn --worker-class=gthread --threads 8 'shop:make(1)'",
        "tricorn 'shop:make(1)' --worker-class gthread --threads 8",
    ),
    ("gunicorn -k uvicorn.workers.UvicornWorker a:b", "tricorn a:b --worker-class asgi"),
    (
        "gunicorn a:b --no-sendfile --preload -e A=1 -e B=2",
        "tricorn a:b --env A=1 --env B=2 --preload --no-sendfile",
    ),
    ("gunicorn --work 4 --no-such --workers 2 a:b", "tricorn a:b --workers 2"),
    (
        "gunicorn --protocol uwsgi --uwsgi-allow-from 10.0.0.0/8 a:b",
        "tricorn a:b --protocol uwsgi --uwsgi-allow-from 10.0.0.0/8",
    ),
    # Uvicorn's
    ("uvicorn a:b", "tricorn a:b --access-logfile -"),
    ("uvicorn a:b --no-access-log", "tricorn a:b"),
    ("uvicorn --host ::1 --port 80 a:b --no-access-log", "tricorn a:b --bind '[::1]:80'"),
    ("uvicorn --port 80 --uds /run/x a:b --no-access-log", "tricorn a:b --bind unix:/run/x"),
    ("uvicorn --fd 3 --uds /run/x a:b --no-access-log", "tricorn a:b --bind fd://3"),
    ("uvicorn --factory a:make --no-access-log", "tricorn 'a:make()'"),
    (
        "uvicorn a:b --no-access-log --reload --reload-dir x --reload-dir y",
        "tricorn a:b --reload --reload-dir x --reload-dir y",
    ),
    ("uvicorn a:b --no-access-log --ws-per-message-deflate false", "tricorn a:b --no-websocket-compression"),
    (
        "uvicorn a:b --no-access-log --no-proxy-headers --no-server-header",
        "tricorn a:b --forwarded-allow-ips '' --server-header ''",
    ),
    (
        "uvicorn a:b --no-access-log --log-level trace --loop uvloop",
        "tricorn a:b --asgi-loop uvloop --log-level debug",
    ),
    ("uvicorn a:b --no-access-log --log-config x.json", "tricorn a:b --log-config-json x.json"),
    (
        "uvicorn a:b --no-access-log --ssl-cert-reqs 2 --ssl-certfile c",
        "tricorn a:b --certfile c --cert-reqs required",
    ),
    ("python -m uvicorn a:b --no-access-log", "python -m tricorn a:b"),
    (
        "fastapi run main.py --workers 4",
        "tricorn main.py:app --bind 0.0.0.0:8000 --workers 4 --access-logfile -",
    ),
    ("uvicorn a:b --no-access-log --ws-per-message-deflate $X", "tricorn a:b --websocket-compression=$X"),
    # Granian's
    ("granian --interface asgi a:b", "tricorn a:b --worker-class asgi"),
    (
        "granian --interface asginl a:b --port 80",
        "tricorn a:b --bind 127.0.0.1:80 --worker-class asgi --asgi-lifespan off",
    ),
    (
        "granian --interface wsgi --blocking-threads 8 --workers 2 a:b",
        "tricorn a:b --workers 2 --worker-class gthread --threads 8",
    ),
    (
        "granian --interface wsgi a:b --workers-lifetime 1h --workers-max-rss 300",
        "tricorn a:b --worker-class gthread --max-lifetime 3600 --max-memory 300m --memory-measure rss",
    ),
    (
        'granian --interface asgi a:b --access-log --access-log-fmt "%(addr)s %(status)d %(dt_ms).3f"',
        "tricorn a:b --worker-class asgi --access-logfile - --access-logformat '%(h)s %(s)s %(M)s'",
    ),
    # Hypercorn's
    ("hypercorn a:b -b 0.0.0.0:80 -b :81", "tricorn a:b --bind 0.0.0.0:80 --bind :81"),
    ("hypercorn asgi:a:b -k uvloop -w 2", "tricorn a:b --workers 2 --worker-class asgi --asgi-loop uvloop"),
    ("hypercorn wsgi:a:b --insecure-bind :80", "tricorn a:b --bind http://:80 --worker-class gthread"),
    ("hypercorn a:b --verify-mode CERT_REQUIRED --umask 18", "tricorn a:b --cert-reqs required --umask 022"),
    # uWSGI's
    ("uwsgi --http :8000 --wsgi-file app.py --disable-logging", "tricorn app.py --bind :8000"),
    (
        "uwsgi --http-socket=/run/x -w shop.wsgi:app -p 4 --lazy-apps -L",
        "tricorn shop.wsgi:app --bind unix:/run/x --workers 4",
    ),
    ("uwsgi --socket :3031 -w a -L", "tricorn a --bind uwsgi://:3031"),
    ("uwsgi -s /run/x -w a -L", "tricorn a --bind uwsgi://unix:/run/x"),
    ("uwsgi --socket /run/x --protocol http -w a -L", "tricorn a --bind unix:/run/x"),
    (
        "uwsgi --http :80 --uwsgi-socket 10.0.0.1:3031 -w a -L",
        "tricorn a --bind :80 --bind uwsgi://10.0.0.1:3031",
    ),
    (
        "uwsgi --suwsgi-socket :3031,c.pem,k.pem -w a -L",
        "tricorn a --bind suwsgi://:3031 --certfile c.pem --keyfile k.pem",
    ),
    ("uwsgi --module shop --callable app -p 2 -L", "tricorn shop:app --preload --workers 2"),
    (
        "uwsgi --module a --workers 8 --cheaper 2 --cheaper-initial 4 -L --lazy",
        "tricorn a --workers 4 --workers-max 8 --workers-min 2",
    ),
    (
        "uwsgi --module a -L --reload-on-rss 200 --harakiri 20 --max-worker-lifetime 60",
        "tricorn a --request-timeout 20 --max-lifetime 60 --max-memory 200m --memory-measure rss",
    ),
    (
        "uwsgi --module a -L --https :443,c.pem,k.pem --uid 33",
        "tricorn a --bind https://:443 --certfile c.pem --keyfile k.pem --user 33",
    ),
    ("uwsgi --module a -L --static-map /s=./x", "tricorn a --static /s=./x --static-fallthrough"),
    # what stands around it
    ("exec newrelic-admin run-program gunicorn a:b", "exec newrelic-admin run-program tricorn a:b"),
    ("A=1 gunicorn -b 0.0.0.0:$PORT a:b", "A=1 tricorn a:b --bind 0.0.0.0:$PORT"),
    ('gunicorn -w "${WORKERS:-2}" a:b', "tricorn a:b --workers ${WORKERS:-2}"),
]


@pytest.mark.parametrize(("command", "ours"), COMMANDS, ids=[command for command, _ in COMMANDS])
def test_a_command(command: str, ours: str, here: Path) -> None:
    answer = answer_to(command, here)
    assert answer.command() == ours
    words = ours[ours.index("tricorn") :].split()[1:]
    if "$" not in ours and "'" not in ours:
        made = load(words, {}, here)
        table = tomllib.loads("\n".join(answer.file()))
        (here / "tricorn.toml").write_text("\n".join(answer.file()))
        again = load([], {}, here)
        assert table.keys() == answer.settings.keys()
        for name in SETTINGS:
            assert getattr(made, name) == getattr(again, name), name


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("gunicorn --work 4 a:b", "--work: there is no such option"),
        ("gunicorn -w many a:b", "workers: 'many' is not a whole number"),
        ("uvicorn a:b --env-file .env", "--env-file: files of variables are not read"),
        ("uvicorn a:b --header X:1", "--header: there is no such option; add the header in the application"),
        ("uvicorn a:b --ws none", "--ws none: WebSockets are served all the same"),
        ("uvicorn a:b --interface asgi2", "--interface asgi2: ASGI 2 is not served; wrap"),
        ("uvicorn a:b --log-config x.yaml", "--log-config x.yaml: YAML is not read; write the same as JSON"),
        ("uvicorn a:b --no-such 1", "--no-such: this option is not known"),
        ("uvicorn a:b --host ftp://x", "bind: 'ftp://x:8000'"),
        ("uvicorn a:b --port", "--port: a value is missing"),
        ("granian a:b", "--interface: RSGI, Granian's own interface and its default, is not served"),
        ("granian --interface rsgi a:b", "--interface rsgi: RSGI, Granian's own"),
        ("granian --interface asgi --metrics a:b", "--metrics: there is no metrics endpoint"),
        ("granian --interface asgi --workers-lifetime soon a:b", "--workers-lifetime soon: is not a time"),
        ("hypercorn -k trio a:b", "--worker-class trio: there is no trio"),
        ("hypercorn --quic-bind :1 a:b", "--quic-bind: HTTP/3 is not served"),
        ("hypercorn -c no.toml a:b", "--config no.toml: cannot be read"),
        ("hypercorn -c file:no.py a:b", "--config file:no.py: Python files of Hypercorn's are not read"),
        ("uwsgi --http :1 -w a --check-static /x", "check-static: there are prefixes with their directories"),
        (
            "granian --interface asgi --static-path-mount x a:b",
            "--static-path-mount: route and directory are",
        ),
        (
            "uwsgi --http :1 -w a --chmod-socket=666",
            "chmod-socket 666: would let every user of this machine connect",
        ),
        ("uwsgi --http :1 -w a --route '^/x log:'", "route: requests are not rewritten"),
        ("uwsgi --http :1 -w a --sparkle yes", "sparkle: this setting is not known"),
        ("uwsgi no.ini", "ini no.ini: cannot be read"),
    ],
)
def test_what_there_is_not_is_said(command: str, said: str, here: Path) -> None:
    assert any(each.startswith(said) for each in answer_to(command, here).translation.lost), said


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("gunicorn a:b", "keepalive: is 5 by default, in Gunicorn 2"),
        ("gunicorn a:b -t 30", "timeout: a request that takes longer is ended alone"),
        ("gunicorn a:b --worker-tmp-dir /dev/shm", "--worker-tmp-dir has no effect: the heartbeats"),
        ("uvicorn a:b --limit-concurrency 5", "--limit-concurrency: Uvicorn answers 503 beyond it"),
        ("uvicorn a:b", "graceful_timeout: requests have 30 s to end"),
        ("granian --interface wsgi a:b --runtime-threads 2", "--runtime-threads: I/O takes no threads"),
        (
            "hypercorn a:b",
            "graceful_timeout: requests have 30 s to end when the server stops, in Hypercorn 3 s",
        ),
        (
            "uwsgi --http :1 -w a --master --virtualenv /v",
            "virtualenv: start the tricorn that is installed there: /v/bin/tricorn",
        ),
        (
            "uwsgi --socket :1 -w a",
            "socket: who may connect is said by uwsgi_allow_ips: 127.0.0.1, ::1 and Unix",
        ),
        ("uwsgi --http :1 -w a --harakiri 9", "harakiri: only the request is ended, with 504"),
    ],
)
def test_what_is_different_is_said(command: str, said: str, here: Path) -> None:
    assert any(each.startswith(said) for each in answer_to(command, here).translation.remarks), said


def test_what_is_the_same_is_not_spoken_of(here: Path) -> None:
    translation = answer_to("gunicorn -b :80 -w 4 --keep-alive 5 a:b", here).translation
    assert not [
        each for each in translation.remarks if each.startswith(("bind", "workers", "keepalive: is 5"))
    ]
    assert translation.lost == []
    assert answer_to("uwsgi --http-socket :1 -w a --protocol http", here).translation.lost == []


VALUES = (
    "1",
    "x",
    "a:b",
    "$PORT",
    "",
    "-1",
    "0.5",
    "true",
    "off",
    "[::1]",
    "a,b",
    "/x",
    "%(a)s",
    "é",
    "{}",
    "unix:",
)
FLAGS = {
    "gunicorn": (
        "-w",
        "-b",
        "-k",
        "-c",
        "-e",
        "-D",
        "--spew",
        "--protocol",
        "--umask",
        "--zz",
    ),
    "uvicorn": (*uvicorn.ROWS, "--zz"),
    "granian": (*granian.ROWS, "--zz"),
    "hypercorn": (*hypercorn.FLAGS, *hypercorn.SHORT),
    "uwsgi": (
        *(f"--{name}" for name in uwsgi.ROWS),
        *(f"-{name}" for name in uwsgi.ALIASES if len(name) == 1),
    ),
}


@pytest.mark.parametrize("server", FLAGS)
def test_any_words_have_an_answer(server: str, here: Path) -> None:
    chance = random.Random(server)
    for _ in range(100):
        words = [
            word
            for flag in chance.choices(FLAGS[server], k=chance.randint(0, 5))
            for word in (flag, *chance.choices(VALUES, k=chance.randint(0, 1)))
        ]
        answer = Answer(Invocation(server, [*words, "a:b"], "", here))
        assert answer.text()
        tomllib.loads("\n".join(answer.file()))
        json.dumps(answer.data())


# ---- the tables ------------------------------------------------------------------------------------------

#: What rows may put beside settings of ours; put together at the end.
INTERNAL = {
    "--host",
    "--port",
    "--uds",
    "--fd",
    "--config",
    "factory",
    "module",
    "callable",
    "protocol",
    "virtualenv",
}
INTERNAL |= {"cheaper", "initial", "lazy", "disable_logging"}
SAMPLES = ("1", "auto", "asgi", "uvloop", "x", "off", "true", "0660", "a=b", "tls1.2", "30s", "none")
TABLES: Mapping[str, Mapping[str, Row]] = {
    "uvicorn": uvicorn.ROWS,
    "granian": granian.ROWS,
    "hypercorn": hypercorn.FLAGS,
    "uwsgi": uwsgi.ROWS,
}


@pytest.mark.parametrize("server", TABLES)
def test_a_row_names_settings_that_there_are(server: str) -> None:
    for name, row in TABLES[server].items():
        to = Translation()
        for sample in SAMPLES:
            row.apply(name, sample, to)
        assert set(to.settings) <= set(SETTINGS) | INTERNAL, name
        assert to.settings or to.remarks or to.lost or not row.says, name


def test_every_alias_of_uwsgis_leads_to_a_row() -> None:
    assert set(uwsgi.ALIASES.values()) <= set(uwsgi.ROWS)


def test_hypercorns_own_settings_and_options_have_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    from hypercorn.__main__ import main as hypercorn_main
    from hypercorn.config import Config

    known = {
        name for name in vars(Config) if not name.startswith("_") and not callable(getattr(Config, name))
    }
    assert known - {"log", "ssl_enabled"} <= set(hypercorn.ROWS), "but for what the class says itself"

    flags: set[str] = set()
    taken = argparse.ArgumentParser.add_argument

    def note(self: argparse.ArgumentParser, *names: Any, **more: Any) -> Any:
        flags.update(name for name in names if name.startswith("--") and name != "--help")
        return taken(self, *names, **more)

    monkeypatch.setattr(argparse.ArgumentParser, "add_argument", note)
    with pytest.raises(SystemExit):
        hypercorn_main(["--help"])
    assert flags
    assert flags <= set(hypercorn.FLAGS)


# ---- files -----------------------------------------------------------------------------------------------

UNIT = """[Unit]
Description=shop
[Service]
Environment="GRANIAN_WORKERS=3" X=1
Environment=GRANIAN_INTERFACE=wsgi
ExecStart=
ExecStart=-/venv/bin/granian --port 80 \\
  shop:app
"""
DOCKERFILE = """FROM python:3.13 AS build
CMD ["gunicorn", "not:this"]
FROM python:3.13
ENV UVICORN_WORKERS=2 X="1 2"
ENV UVICORN_LOG_LEVEL debug
{}
"""
UWSGI_INI = """; shop
[uwsgi]
base = /srv/shop
chdir = %(base)/app
socket = :$(PORT)
module = shop.wsgi
master = true
processes = 4
lazy-apps = true
vacuum = false
disable-logging = 1
env = A=1
env = B=2
ini = more.ini
[other]
threads = 9
"""

SUPERVISORD = """
[supervisord]
nodaemon = true
[program:web]  ; the site
command = gunicorn -w 2 a:b   ; both
environment = GUNICORN_CMD_ARGS="--threads 3",B='2'
[program:ws]
command=/srv/bin/uvicorn a:b
[program:jobs]
command=celery -A a worker
"""
COMPOSE = """
services:
  flow:
    image: gunicorn
    command: ["gunicorn", '-w', 2,
              "a:b"]  # two
  text: {}
  words:
    command: gunicorn -w 3 a:b  # three
    healthcheck:
      test: [CMD, curl, localhost]
  folded:
    command: >-
      sh -c "./migrate &&

             gunicorn -w 4 a:b"
  lines:
    environment:
      - command=5
    entrypoint: ["./entry.sh"]
    # as arguments of the script
    command:
    - gunicorn
    - "-w"
    - '5'
    - a:b
  quoted:
    command: "gunicorn -w 6
              a:b"
  jobs:
    command: celery -A a worker
  more:
    command:
      - sh
      - -c
      - |
        ./migrate
        gunicorn -w 7 a:b
"""
KUBERNETES = """
spec:
  containers:
    - name: web
      args: [-w, "2", a:b]
      ports: [{containerPort: 80}]
      command:
        - gunicorn
        - --bind=:80
    - args: ["gunicorn -b :$PORT a:b"]
      command: ["sh", "-c"]
    - command: [nginx]
"""
UWSGI_MAGIC = """
[uwsgi]
for-readers = a name that is used
ini = :%n
chdir = %dsrc
if-env = DEBUG
py-autoreload = 1
for = x y
env = X=%(_)
endfor =
if-not-file = /x
workers = 1
endif =
endif =
env = HOST=%h
ini = more.ini
master = %(for-readers)
disable-logging = 1
for-times = 3
ini = none.ini

[shop]
workers = %k
wsgi-file = shop.wsgi
http-socket = /run/%n.sock
"""
FILES = [
    (
        "Procfile",
        "web: gunicorn a:b\nworker: celery -A a worker\nother: uvicorn --no-access-log c:d\n",
        ["tricorn a:b", "tricorn c:d"],
    ),
    ("shop.service", UNIT, ["tricorn shop:app --bind 127.0.0.1:80 --workers 3 --worker-class gthread"]),
    (
        "Dockerfile",
        DOCKERFILE.format('CMD ["uvicorn", "a:b", "--no-access-log"]'),
        ["tricorn a:b --workers 2 --log-level debug"],
    ),
    ("prod.Dockerfile", "CMD exec gunicorn \\\n  # a comment\n  -w 2 a:b", ["exec tricorn a:b --workers 2"]),
    ("Dockerfile.prod", 'ENTRYPOINT ["tini", "--"]\nCMD ["gunicorn", "a:b"]', ["tini -- tricorn a:b"]),
    ("Containerfile", 'ENTRYPOINT ["gunicorn", "a:b"]\nCMD ["-w", "3"]', ["tricorn a:b --workers 3"]),
    ("Dockerfile", 'CMD ["sh", "-c", "./migrate && gunicorn -b :$PORT a:b"]', ["tricorn a:b --bind :$PORT"]),
    ("Dockerfile", "FROM x\nRUN gunicorn --version\n", []),
    ("Dockerfile", 'FROM x\nCMD ["gunicorn", "a:b"]\nFROM y\n', []),
    ("Dockerfile", 'FROM x AS one\nCMD ["gunicorn", "a:b"]\nFROM --platform=z one AS two\n', ["tricorn a:b"]),
    (
        "start.sh",
        "#!/bin/sh\nset -e\nexec gunicorn -w 2 \\\n   a:b  # this one\n",
        ["exec tricorn a:b --workers 2"],
    ),
    (
        "supervisord.conf",
        SUPERVISORD,
        ["tricorn a:b --workers 2 --threads 3", "tricorn a:b --access-logfile -"],
    ),
    (
        "override.conf",
        "[Service]\nExecStart=\nExecStart=/v/bin/gunicorn -w 3 a:b\n",
        ["tricorn a:b --workers 3"],
    ),
    ("compose.yaml", COMPOSE, [f"{'./entry.sh ' * (n == 5)}tricorn a:b --workers {n}" for n in range(2, 8)]),
    ("deployment.yml", KUBERNETES, ["tricorn a:b --bind :80 --workers 2", "tricorn a:b --bind :$PORT"]),
    (
        "shop.ini",
        UWSGI_MAGIC,
        [
            "tricorn shop.wsgi --chdir {here}/src --env HOST=%h --preload --bind unix:/run/shop.sock "
            "--workers auto --threads 3"
        ],
    ),
    (
        "uwsgi.ini",
        UWSGI_INI,
        [
            "tricorn shop.wsgi --chdir /srv/shop/app --env A=1 --env B=2 --bind uwsgi://:$PORT "
            "--workers 4 --threads 3"
        ],
    ),
    (
        "hypercorn.toml",
        'bind = ["a:1", "b:2"]\nworkers = 2\nuse_reloader = true\ninclude_server_header = false\n'
        'application_path = "x:y"\n',
        ["tricorn x:y --bind a:1 --bind b:2 --workers 2 --server-header '' --reload"],
    ),
    (
        "gunicorn.conf.py",
        "import os\nbind = '0.0.0.0:' + str(80)\nworkers = 2 * 2\nkeepalive = 2\n"
        "def on_exit(server): ...\nprotocol = 'uwsgi'\n",
        ["tricorn --bind 0.0.0.0:80 --protocol uwsgi --workers 4 --keep-alive 2"],
    ),
]


@pytest.mark.parametrize(
    ("name", "text", "ours"), FILES, ids=[f"{name}-{place}" for place, (name, _, _) in enumerate(FILES)]
)
def test_a_file(name: str, text: str, ours: list[str], here: Path) -> None:
    (here / name).write_text(text)
    (here / "more.ini").write_text("[uwsgi]\nthreads = 3\n")
    wanted = [each.format(here=here) if "{here}" in each else each for each in ours]
    assert [Answer(found).command() for found in in_file(here / name)] == wanted


def test_what_is_left_out_of_a_file_of_uwsgis_is_said(here: Path) -> None:
    (here / "shop.ini").write_text(UWSGI_MAGIC)
    (here / "more.ini").write_text("[uwsgi]\nini = shop.ini\n")
    assert Answer(next(in_file(here / "shop.ini"))).translation.lost == [
        "if-env = DEBUG: a configuration of ours decides nothing; left out: py-autoreload = 1, "
        "for = x y, env = X=%(_), endfor, if-not-file = /x, workers = 1, endif",
        "env HOST=%h: uWSGI fills in %h; write what it stands for",
        "for-times = 3: a configuration of ours decides nothing; left out: ini = none.ini",
    ]


def test_what_a_place_sets_in_the_environment(here: Path) -> None:
    (here / "Dockerfile").write_text(
        "ENV GRANIAN_LOG_ACCESS_ENABLED=true GRANIAN_INTERFACE=asgi\n"
        "ENV GRANIAN_WEBSOCKETS=false GRANIAN_LOG_ENABLED=0\n"
        'CMD ["granian", "a:b"]\n'
    )
    answer = Answer(next(in_file(here / "Dockerfile")))
    assert answer.command() == "tricorn a:b --worker-class asgi --access-logfile - --log-level critical"
    assert any(each.startswith("--no-ws: WebSockets are served") for each in answer.translation.lost)


def test_a_python_file_stays_what_it_is(here: Path) -> None:
    (here / "gunicorn.conf.py").write_text("workers = 2\nconfig = 'x.py'\ndef on_exit(server): ...\n")
    translation = Answer(next(in_file(here / "gunicorn.conf.py"))).translation
    assert (
        "on_exit: is a function or a class; it stays in the Python file, which Tricorn reads"
        in translation.remarks
    )
    assert any("tricorn -c gunicorn.conf.py starts with it as it is" in each for each in translation.remarks)
    assert [each for each in translation.lost if each.startswith("config: cannot be set in a file")]


def test_gunicorns_file_counts_less_than_its_options(here: Path) -> None:
    (here / "gunicorn.conf.py").write_text("workers = 2\nthreads = 3\n")
    assert answer_to("gunicorn -w 4 a:b", here).command() == "tricorn a:b --workers 4 --threads 3"
    assert answer_to("GUNICORN_CMD_ARGS='--threads 5' gunicorn a:b", here).settings["threads"] == "5"


# ---- the command -----------------------------------------------------------------------------------------

Output = pytest.CaptureFixture[str]


@pytest.mark.usefixtures("here")
def test_what_is_printed(capsys: Output) -> None:
    assert main(["check", "uvicorn a:b --port 80 --header X:1"]) == 1
    text = capsys.readouterr().out
    assert text.startswith(
        "uvicorn a:b --port 80 --header X:1\n\n  As a command line:\n\n    tricorn a:b --bind 127.0.0.1:80"
    )
    assert '\n    bind = ["127.0.0.1:80"]\n' in text
    assert "  What is different:\n" in text
    assert text.rstrip().endswith(
        "- --header: there is no such option; add the header in the application, or in a proxy"
    )
    assert main(["check", "gunicorn", "-w", "2", "a:b"]) == 0
    assert "What there is not" not in capsys.readouterr().out


def test_as_json(here: Path, capsys: Output) -> None:
    (here / "Procfile").write_text("web: gunicorn -w 2 -b :$PORT a:b\n")
    assert main(["check", "--json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)
    assert answer["where"] == "Procfile, line 1: web"
    assert answer["settings"] == {"wsgi_app": "a:b", "bind": [":$PORT"], "workers": 2}
    assert answer["missing"] == []


@pytest.mark.usefixtures("here")
def test_a_file_knows_no_variables(capsys: Output) -> None:
    main(["check", "gunicorn -b :$PORT a:b"])
    assert (
        "# bind: a file knows no variables; leave --bind :$PORT on the command line"
        in capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "there is nothing here to read; name a command or a file. Looked for Procfile"),
        (["no.such"], "there is no file 'no.such', and no server is called so"),
        (
            ["waitress-serve --port=80 a:b"],
            "'waitress-serve --port=80 a:b' starts no server that is known; these are: gunicorn",
        ),
        (["--jason"], "there is no option --jason; see tricorn check --help"),
        (["there.sh", "no.such"], "'no.such' is not a file"),
        (["bad.toml"], ""),
    ],
)
def test_what_cannot_be_read_is_said(words: list[str], said: str, here: Path, capsys: Output) -> None:
    (here / "there.sh").write_text("gunicorn a:b\n")
    (here / "bad.toml").write_text("= 1")
    if words == []:
        (here / "there.sh").unlink()
    status = main(["check", *words])
    out, err = capsys.readouterr()
    if said:
        assert status == 2
        assert err.startswith(f"tricorn check: {said}")
    else:
        assert status == 1
        assert "cannot be read" in out


def test_every_word_of_gunicorn_goes_through(here: Path) -> None:
    to = gunicorn.translate(["--spew", "--statsd-host", "x:1", "--no-such", "a:b", "-R"], {}, here)
    assert to.settings == {
        "spew": "true",
        "statsd_host": "x:1",
        "wsgi_app": "a:b",
        "enable_stdio_inheritance": "true",
    }
    assert len(to.lost) == 1
