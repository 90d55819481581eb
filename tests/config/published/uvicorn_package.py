worker_class = "uvicorn_worker.UvicornWorker"
bind = ["0.0.0.0:5000"]
chdir = "/"
