statsd_host = "localhost:8125"
statsd_prefix = "site"
dogstatsd_tags = "env:prod"
syslog = True
syslog_addr = "udp://localhost:514"
