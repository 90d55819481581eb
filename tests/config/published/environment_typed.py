from os import environ

bind = environ.get("BIND", "0.0.0.0:" + environ.get("SITE_PORT", "8000"))
workers = int(environ.get("GUNICORN_WORKERS", "4"))
threads = int(environ.get("GUNICORN_THREADS", "4"))
graceful_timeout: int = int(environ.get("GUNICORN_GRACEFUL_TIMEOUT", "30"))
max_requests: int = 1_000
daemon: bool = False
tmp_upload_dir: str = "/tmp"
