import os
import shutil
from pathlib import Path

from multiprocessing import cpu_count

metrics_dir = Path(os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", "/tmp/shop-metrics"))

bind = "0.0.0.0:8000"
workers = min(2 * cpu_count() + 1, 4)
worker_tmp_dir = "/dev/shm"


def on_starting(server):
    shutil.rmtree(metrics_dir, ignore_errors=True)
    metrics_dir.mkdir()


def when_ready(server):
    from prometheus_client import start_http_server

    start_http_server(9090)


def child_exit(server, worker):
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(worker.pid)
