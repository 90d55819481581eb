from gunicorn.workers.gthread import ThreadWorker

worker_class = ThreadWorker
threads = 4
