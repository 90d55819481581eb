import os
from pathlib import Path

env_file = Path("/nowhere/.env")
if env_file.exists():
    for line in env_file.read_text().splitlines():
        name, _, value = line.partition("=")
        os.environ.setdefault(name, value)

workers = int(os.environ.get("SITE_WORKERS", 3))
