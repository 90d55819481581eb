cores = 3
workers = cores * 2
timeouts = 60


def post_fork(server, worker): ...
