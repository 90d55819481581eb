import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

bind = "0.0.0.0:8000"
workers = int(os.environ.get("WEB_WORKERS", 3))
preload_app = True
max_requests = 1000
max_requests_jitter = 100


def on_starting(server):
    server.log.info("warming up")


def post_fork(server, worker):
    from django.db import connections

    for connection in connections.all():
        connection.close()


def post_worker_init(worker):
    from config.celery_app import app as celery_app

    celery_app.finalize()
    celery_app.pool.force_close_all()
