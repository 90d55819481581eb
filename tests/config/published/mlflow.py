import os
import shutil
import tempfile

from prometheus_client import multiprocess

host = os.environ.get("MLFLOW_HOST", "127.0.0.1")
port = os.environ.get("MLFLOW_PORT", "5000")

bind = f"{host}:{port}"
workers = int(os.environ.get("MLFLOW_WORKERS", "4"))
timeout = 180
keepalive = 60
worker_tmp_dir = "/dev/shm"
wsgi_app = "mlflow.server:app"
raw_env = [f"{name}={value}" for name, value in os.environ.items() if name.startswith("_MLFLOW_SERVER_")]

METRICS = os.environ.setdefault(
    "PROMETHEUS_MULTIPROC_DIR", os.path.join(tempfile.gettempdir(), "mlflow-metrics")
)


def on_starting(server):
    shutil.rmtree(METRICS, ignore_errors=True)
    os.makedirs(METRICS)


def child_exit(server, worker):
    multiprocess.mark_process_dead(worker.pid)
