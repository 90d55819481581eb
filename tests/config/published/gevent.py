worker_class = "gevent"
worker_connections = 1024
