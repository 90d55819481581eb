import os

from gevent import monkey

bind = f"{os.environ.get('SUPERSET_BIND_ADDRESS', '0.0.0.0')}:{os.environ.get('SUPERSET_PORT', '8088')}"
workers = int(os.environ.get("SERVER_WORKER_AMOUNT", 1))
worker_class = os.environ.get("SERVER_WORKER_CLASS", "gevent")
threads = int(os.environ.get("SERVER_THREADS_AMOUNT", 20))
worker_connections = int(os.environ.get("SERVER_WORKER_CONNECTIONS", 1000))
timeout = int(os.environ.get("GUNICORN_TIMEOUT", 60))
keepalive = int(os.environ.get("GUNICORN_KEEPALIVE", 2))
max_requests = int(os.environ.get("WORKER_MAX_REQUESTS", 0))
max_requests_jitter = int(os.environ.get("WORKER_MAX_REQUESTS_JITTER", 0))
limit_request_line = int(os.environ.get("SERVER_LIMIT_REQUEST_LINE", 0))
limit_request_field_size = int(os.environ.get("SERVER_LIMIT_REQUEST_FIELD_SIZE", 0))
accesslog = os.environ.get("ACCESS_LOG_FILE", "-")
errorlog = os.environ.get("ERROR_LOG_FILE", "-")
loglevel = os.environ.get("GUNICORN_LOGLEVEL", "info")
wsgi_app = os.environ.get("FLASK_APP", "superset.app:create_app()")


def post_fork(server, worker):
    assert monkey is not None
    try:
        from psycogreen.gevent import patch_psycopg

        patch_psycopg()
        worker.log.info("Made psycopg green")
    except ImportError:
        worker.log.info("psycogreen is not installed")
