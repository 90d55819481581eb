worker_class = "gevent"
workers = 4
worker_connections = 100


def post_fork(server, worker):
    from psycogreen.gevent import patch_psycopg

    patch_psycopg()
    worker.log.info("Made psycopg green")
