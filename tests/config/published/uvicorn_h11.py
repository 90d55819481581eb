import os

worker_class = os.environ.get("WORKER_CLASS", "uvicorn.workers.UvicornH11Worker")
