import os

worker = int(os.environ.get("WORKER", "6"))
workers = worker
log_level = os.environ.get("LOG", "error")
loglevel = log_level.lower()
