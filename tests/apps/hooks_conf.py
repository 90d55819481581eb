"""A configuration whose hooks note every call: where, in which thread, and what they were given.

Each note is a line of JSON in the file that HOOK_NOTES names. In the file beside it, with `.raises` behind
its name, stands which hook raises, as NAME or NAME:EXCEPTION.
"""

import json
import os
import threading

NOTES = os.environ["HOOK_NOTES"]
#: What `pre_fork` changes beside its arguments.
FORKS = []


def note(moment, **given):
    said = {
        "moment": moment,
        "pid": os.getpid(),
        "main": threading.current_thread() is threading.main_thread(),
    }
    line = json.dumps({**said, **given}, default=str) + "\n"
    fd = os.open(NOTES, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.write(fd, line.encode())
    os.close(fd)
    raises(moment)


def raises(moment):
    try:
        with open(f"{NOTES}.raises") as file:
            name, _, exception = file.read().partition(":")
    except FileNotFoundError:
        return
    if moment == name:
        raise {"": ValueError, "SystemExit": SystemExit}[exception]("on purpose")


def of_server(server):
    assert server.log.error_log.name == "tricorn.error"
    assert server.cfg.workers == server.cfg.settings["workers"].get()
    assert server.cfg.reload is False
    return {
        "master": server.pid,
        "workers": sorted(server.WORKERS),
        "number": server.num_workers,
        "address": server.address,
        "listening": [str(each) for each in server.LISTENERS],
    }


def of_worker(worker):
    return {
        "worker": worker.pid,
        "age": worker.age,
        "ppid": worker.ppid,
        "nr": worker.nr,
        "alive": worker.alive,
        "mark": getattr(worker, "mark", None),
        "app": None if worker.wsgi is None else getattr(worker.wsgi, "__name__", "?"),
        "beat": worker.tmp.last_update() > 0,
        "sockets": len(worker.sockets),
        "threads": worker.cfg.threads,
    }


def nworkers_changed(_server, new, old):
    note("nworkers_changed", new=new, old=old)


def on_starting(server):
    server.since = "the start"
    note("on_starting", **of_server(server))


def when_ready(server):
    note("when_ready", **of_server(server))


def on_reload(server):
    note("on_reload", since=server.since, **of_server(server))


def on_drain(server):
    note("on_drain", **of_server(server))


def on_exit(server):
    note("on_exit", **of_server(server))


def pre_exec(server):
    note("pre_exec", master=server.pid)


def pre_fork(_server, worker):
    worker.mark = f"number {worker.age}"
    FORKS.append(worker.age)
    note("pre_fork", forker=os.getpid(), **of_worker(worker))


def post_fork(server, worker):
    note("post_fork", forks=FORKS[-1], since=server.since, **of_worker(worker))


def post_worker_init(worker):
    note("post_worker_init", **of_worker(worker))


def when_worker_ready(_server, worker):
    note("when_worker_ready", **of_worker(worker))


def worker_int(worker):
    note("worker_int", **of_worker(worker))


def worker_abort(worker):
    note("worker_abort", **of_worker(worker))


def worker_exit(_server, worker):
    note("worker_exit", **of_worker(worker))


def child_exit(server, worker):
    note("child_exit", living=sorted(server.WORKERS), **of_worker(worker))


def on_memory_limit(_server, worker, size):
    note("on_memory_limit", size=size, **of_worker(worker))


def on_request_timeout(worker, req):
    note("on_request_timeout", path=req.path, worker=worker.pid)


def of_request(req):
    return {
        "method": req.method,
        "path": req.path,
        "query": req.query,
        "uri": req.uri,
        "version": req.version,
        "scheme": req.scheme,
        "peer": req.peer_addr,
        "headers": dict(req.headers),
    }


def pre_request(worker, req):
    req.seen = True
    if req.path == "/changed":
        req.headers.append(("X-HOOK", "here"))
    if req.path == "/last":
        worker.alive = False
    if req.path == "/raises":
        raise ValueError("on purpose")
    note("pre_request", worker=worker.pid, **of_request(req))


def post_request(worker, req, environ, resp):
    given = {
        "status": resp.status,
        "code": resp.status_code,
        "sent": resp.sent,
        "length": resp.response_length,
        "response": dict(resp.headers),
        "seen": getattr(req, "seen", False),
        "path_info": environ["PATH_INFO"],
        "host": environ.get("HTTP_HOST"),
        "scope": "asgi.scope" in environ,
    }
    note("post_request", worker=worker.pid, **given, **of_request(req))


def after_response(worker, req, environ):
    note("after_response", worker=worker.pid, path=req.path, path_info=environ["PATH_INFO"])
