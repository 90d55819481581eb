import os
from logging import getLogger

log = getLogger("shop.server")
dsn = os.environ.get("SENTRY_DSN", "")

workers = os.environ.get("WEB_WORKERS", "2")
timeout = os.environ.get("WEB_TIMEOUT", "60")
errorlog = None
loglevel = os.environ.get("LOG_LEVEL", "WARN")


def post_fork(server, worker):
    if not dsn:
        log.warning("no DSN")
        return
    import sentry_sdk

    sentry_sdk.init(dsn=dsn)


def worker_abort(worker):
    import sentry_sdk

    sentry_sdk.capture_message("worker timeout")
    sentry_sdk.flush(2)
