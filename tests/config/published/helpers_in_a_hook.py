banner = "the shop is open"
workers = 2


def when_ready(server):
    server.log.info("%s, with %d workers", banner, workers)
