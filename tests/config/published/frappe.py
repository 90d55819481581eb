import multiprocessing
import os

bench = os.path.abspath(os.environ.get("BENCH_PATH", "."))

chdir = bench
bind = ["127.0.0.1:8000"]
workers = int(os.environ.get("GUNICORN_WORKERS", min(multiprocessing.cpu_count() * 2 + 1, 9)))
worker_class = "gthread"
threads = 4
timeout = 120
graceful_timeout = 30
max_requests = 5000
max_requests_jitter = 500
preload_app = True
statsd_host = os.environ.get("FRAPPE_STATSD") or None
accesslog = "-"
access_log_format = '%({x-forwarded-for}i)s %(t)s "%(r)s" %(s)s %(b)s %(D)s "%({x-frappe-site-name}i)s"'
forwarded_allow_ips = "*"
wsgi_app = "frappe.app:application"


def when_ready(server):
    import gc

    gc.freeze()


def post_fork(server, worker):
    # What the preloaded application has opened is the master's.
    frappe = worker.app.callable if hasattr(worker.app, "callable") else None
    worker.log.debug("forked with %r", frappe)


def worker_abort(worker):
    import faulthandler

    faulthandler.dump_traceback()
