daemon = True
pidfile = "/tmp/site.pid"
