"""The forms in which Gunicorn documents dirty arbiters, written anew: each works with the import changed to
tricorn.heavy, and unchanged, where Gunicorn is installed and where it is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from integration.live import Live

#: The applications: a model with a dispatcher of its own, bytes, streams, the stash, and a single one.
HEAVY = """
import time, zlib
from PACKAGE import DirtyApp, stash
from PACKAGE.app import DirtyApp as Same

class Model(DirtyApp):
    def __init__(self):
        self.loaded = {}

    def init(self):
        self.loaded["small"] = self._load("small")

    def __call__(self, action, *args, **kwargs):
        method = getattr(self, action, None)
        if method is None:
            raise ValueError(f"Unknown action: {action}")
        return method(*args, **kwargs)

    def _load(self, name):
        return f"weights of {name}"

    def load_model(self, name):
        self.loaded.setdefault(name, self._load(name))
        return {"loaded": True, "name": name}

    def inference(self, name, input_text):
        if name not in self.loaded:
            raise ValueError(f"Model not loaded: {name}")
        return {"by": self.loaded[name], "of": input_text}

    def close(self):
        self.loaded.clear()

class Images(Same):
    def init(self):
        self.packer = zlib

    def thumbnail(self, image, size=128):
        return self.packer.compress(image)[:size]

class Writer(DirtyApp):
    def init(self):
        pass

    def generate(self, prompt):
        for word in prompt.split():
            yield word

    async def generate_async(self, prompt):
        for word in prompt.split():
            yield word.upper()

    def breaks_off(self):
        yield "begun"
        raise RuntimeError("no more")

class Sessions(DirtyApp):
    workers = 1
    stashes = ["sessions", "counters"]

    def init(self):
        self.tables = stash.tables()
        if not stash.exists("counters", "logins"):
            stash.put("counters", "logins", 0)

    def login(self, user_id, user_data):
        stash.put("sessions", f"user:{user_id}", {"data": user_data, "at": time.time()})
        stash.put("counters", "logins", stash.get("counters", "logins", 0) + 1)
        return {"status": "ok", "tables": self.tables}

    def get_session(self, user_id):
        return stash.get("sessions", f"user:{user_id}")
"""

WEB = """
import json
from PACKAGE import get_dirty_client, stash
from PACKAGE.errors import (
    DirtyAppError,
    DirtyAppNotFoundError,
    DirtyConnectionError,
    DirtyError,
    DirtyNoWorkersAvailableError,
    DirtyTimeoutError,
)
from PACKAGE.stash import StashError, StashKeyNotFoundError, StashTableNotFoundError

def calls(client):
    yield client.execute("forms:Model", "load_model", "large")
    yield client.execute("forms:Model", "inference", "large", input_text="hello")
    yield len(client.execute("forms:Images", "thumbnail", bytes(5000), size=4))
    yield client.execute("forms:Sessions", "login", user_id=7, user_data={"name": "Ada"})["tables"]
    yield client.execute("forms:Sessions", "get_session", 7)["data"]
    yield [*client.stream("forms:Writer", "generate", "a b c")]
    yield [*client.stream("forms:Writer", "generate_async", "a b c")]
    yield [*until_it_breaks(client)]

def until_it_breaks(client):
    try:
        yield from client.stream("forms:Writer", "breaks_off")
    except DirtyError as error:
        yield f"[Error: {error.message}]"

def errors(client):
    try:
        client.execute("forms:Model", "inference", "none", "x")
    except (DirtyTimeoutError, DirtyAppNotFoundError, DirtyConnectionError, DirtyNoWorkersAvailableError):
        yield "the wrong one"
    except DirtyAppError as error:
        yield [error.message, error.traceback.splitlines()[-1], error.app_path, error.action]
    try:
        client.execute("forms:Nothing", "inference")
    except DirtyAppNotFoundError as error:
        yield error.app_path
    try:
        stash.info("nonexistent")
    except StashTableNotFoundError as error:
        yield [error.table_name, isinstance(error, StashError), issubclass(StashKeyNotFoundError, StashError)]

def tables():
    stash.put("jobs", "user:1", {"name": "Ada"})
    jobs = stash.table("jobs")
    jobs["user:2"] = {"name": "Grace"}
    jobs["other"] = 1
    yield [stash.get("jobs", "user:2"), stash.get("jobs", "user:3", default="fallback")]
    yield [stash.exists("jobs", "user:1"), stash.exists("jobs"), "user:3" in jobs]
    yield stash.keys("jobs", pattern="user:*")
    del jobs["other"]
    yield [len(jobs), [*jobs], stash.delete("jobs", "user:1"), stash.delete("jobs", "user:1")]
    yield stash.info("jobs")["size"]
    stash.clear("jobs")
    stash.ensure("cache")
    yield [len(jobs), stash.tables()]
    stash.delete_table("jobs")
    yield stash.exists("jobs")

def app(environ, start_response):
    client = get_dirty_client()
    body = json.dumps([[*calls(client)], [*errors(client)], [*tables()]]).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""

CONFIG = """
dirty_apps = [
    "forms:Model",
    "forms:Images:1",
    "forms:Writer",
    "forms:Sessions",
]
dirty_workers = 1
dirty_timeout = 300
dirty_threads = 1
dirty_graceful_timeout = 30

def on_dirty_starting(arbiter):
    print("Starting", flush=True)

def dirty_post_fork(arbiter, worker):
    print(f"Forked {worker.pid}", flush=True)

def dirty_worker_init(worker):
    print(f"Initialized {worker.pid}", flush=True)

def dirty_worker_exit(arbiter, worker):
    print(f"Gone {worker.pid}", flush=True)
"""


#: What is answered.
CALLS: list[Any] = [
    {"loaded": True, "name": "large"},
    {"by": "weights of large", "of": "hello"},
    4,
    ["sessions", "counters"],
    {"name": "Ada"},
    ["a", "b", "c"],
    ["A", "B", "C"],
    ["begun", "[Error: no more]"],
]
ERRORS: list[Any] = [
    ["Model not loaded: none", "ValueError: Model not loaded: none", "forms:Model", "inference"],
    "forms:Nothing",
    ["nonexistent", True, True],
]
TABLES: list[Any] = [
    [{"name": "Grace"}, "fallback"],
    [True, True, False],
    ["user:1", "user:2"],
    [2, ["user:1", "user:2"], True, False],
    1,
    [0, ["sessions", "counters", "jobs", "cache"]],
    False,
]
#: By the hooks.
SAID = ("Starting", "Forked", "Initialized", "Gone")


@pytest.mark.parametrize("package", ["tricorn.heavy", "gunicorn.dirty"])
def test_each_form_works(package: str, tmp_path: Path) -> None:
    (tmp_path / "forms.py").write_text(HEAVY.replace("PACKAGE", package))
    (tmp_path / "forms_web.py").write_text(WEB.replace("PACKAGE", package))
    (tmp_path / "forms.conf.py").write_text(CONFIG)
    with Live("forms_web:app", f"--config={tmp_path / 'forms.conf.py'}", chdir=tmp_path) as live:
        response = live.first_answer
        assert response is not None
        assert response.status == 200, live.log()
        calls, errors, tables = json.loads(response.body)
        assert calls == CALLS
        assert errors == ERRORS
        assert tables == TABLES
        live.terminate()
        assert live.wait_exit() == 0
        said = [line.split() for line in live.log().splitlines() if line.startswith(SAID)]
        assert [words[0] for words in said] == list(SAID)
        assert len({words[1] for words in said[1:]}) == 1
