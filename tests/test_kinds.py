"""The table of worker kinds: what it says fits together, and fits what is there."""

from __future__ import annotations

from importlib import import_module

import pytest
from harness import server

from tricorn.gateway.loader import Interface
from tricorn.kinds import ABSENT, ASGI, KINDS, WSGI, Runner, WorkerKind, absent, other_names, table, usual
from tricorn.records import replace

GREEN = WorkerKind("green", interface=WSGI, runner=Runner.THREADS, doc="is green", serve="green:serve")

#: What is wrong with a table → its rows.
WRONG = {
    "called 'sync'": [*KINDS.values(), replace(GREEN, name="sync")],
    "called 'auto'": [*KINDS.values(), replace(GREEN, name="auto")],
    "called 'uvicorn.workers.uvicornworker'": [
        *KINDS.values(),
        replace(GREEN, also=("uvicorn.workers.UvicornWorker",)),
    ],
    "called 'twice'": [*KINDS.values(), replace(GREEN, also=("Twice", "twice"))],
    "usual one": [*KINDS.values(), replace(GREEN, is_usual=True)],
    "the usual one for each": [*KINDS.values(), replace(GREEN, interface="CGI")],
    "too late": [replace(kind, prepare="green:patch") for kind in KINDS.values()],
    "too late to prepare": [replace(kind, patch="green:patch") for kind in KINDS.values()],
}


@pytest.mark.parametrize(("said", "rows"), WRONG.items(), ids=WRONG)
def test_rows_that_contradict_each_other(said: str, rows: list[WorkerKind]) -> None:
    with pytest.raises(ValueError, match=said):
        table(*rows)


def test_a_row_may_be_added() -> None:
    assert list(table(*KINDS.values(), GREEN)) == [*KINDS, "green"]


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_functions_of_a_kind_exist(kind: WorkerKind) -> None:
    for path in filter(None, (kind.serve, kind.prepare, kind.patch)):
        module, _, function = path.partition(":")
        assert callable(getattr(import_module(module), function))


def test_interfaces_are_those_that_applications_are_told_apart_by() -> None:
    assert {each.value for each in Interface} == {kind.interface for kind in KINDS.values()}
    assert [usual(interface).name for interface in (WSGI, ASGI)] == ["gthread", "asgi"]


def test_what_gunicorn_has_is_here_or_absent() -> None:
    here = {*KINDS, *other_names()}
    assert {"sync", "gthread"} <= here
    assert {"gevent", "gevent_wsgi", "gevent_pywsgi", "eventlet", "tornado"} <= here | set(ABSENT)
    assert set(ABSENT) - here <= set(absent())
    assert other_names()["egg:gunicorn#sync"] == "sync"
    assert other_names()["egg:gunicorn#tornado"] == "tornado"
    for name in ("gevent_wsgi", "egg:gunicorn#gevent_pywsgi", "gunicorn.workers.ggevent.geventworker"):
        assert other_names()[name] == "gevent"


def test_shared_tests_run_with_every_kind() -> None:
    """The harness adds what tests have to know; a kind that is not there would be tested by nothing."""
    assert {name: kind.interface.lower() for name, kind in KINDS.items()} == {
        name: kind.interface for name, kind in server.KINDS.items()
    }
