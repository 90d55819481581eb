import os

host = os.getenv("HOST", "127.0.0.1")
port = os.getenv("SITE_PORT", "8099")
cores = os.cpu_count() or 1
workers_per_core = float(os.getenv("WORKERS_PER_CORE", "1"))
web_concurrency = max(int(workers_per_core * cores), 2)
use_loglevel = os.getenv("LOG_LEVEL", "warning")

bind = f"{host}:{port}"
workers = web_concurrency
loglevel = use_loglevel
