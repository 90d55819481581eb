"""tricorn.run() with an application that is only there: a closure."""

import asyncio
import os
import signal
import sys
import threading

import tricorn


def make(words):
    def app(environ, start_response):
        start_response("200 OK", [])
        return [words]

    return app


def state():
    import logging

    logger = logging.getLogger("tricorn.error")
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    wakeup = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(wakeup)
    return {
        "handlers": handlers,
        "wakeup": wakeup,
        "mask": signal.pthread_sigmask(signal.SIG_BLOCK, ()),
        "directory": os.getcwd(),
        "environ": dict(os.environ),
        "path": list(sys.path),
        "log": (type(logger), logger.handlers[:], logger.level, logger.propagate),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
    }


if __name__ == "__main__":
    import tricorn.embedding  # what is imported opens descriptors once

    tricorn.embedding.run
    signal.signal(signal.SIGHUP, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
    before = state()
    for times in range(2):
        tricorn.run(
            make(b"a closure"),
            port=0,
            workers=2,
            log_level="info",
            raw_env=["ADDED=1"],
            chdir="/",
            pythonpath="/srv",
            preload_app=bool(times),
            errorlog=os.environ.get("ERRORLOG"),
        )
        print("the program goes on")
    after = state()
    for name in before:
        if before[name] != after[name]:
            print("CHANGED", name, before[name], after[name])
    child = os.fork()
    if child == 0:
        os._exit(7)
    print("a child:", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    asyncio.run(asyncio.sleep(0))
