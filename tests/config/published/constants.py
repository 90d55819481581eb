from pathlib import Path

BASE_DIR = Path("/srv/site")
LOG_DIR = BASE_DIR / "logs"
WORKERS_MAX = 8
x = 1
for i in range(3):
    x += i
workers = min(x, WORKERS_MAX)
pidfile = str(BASE_DIR / "site.pid")
