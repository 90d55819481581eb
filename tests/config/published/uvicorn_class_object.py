class UvicornWorker: ...


UvicornWorker.__module__ = "uvicorn.workers"
worker_class = UvicornWorker
