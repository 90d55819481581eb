statsd_host = None
statsd_prefix = ""
syslog = False
reload = False
reload_extra_files = []
spew = False
