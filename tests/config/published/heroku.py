import os

# The platform says how much memory there is by WEB_CONCURRENCY, and which port by PORT.
worker_class = "gthread"
threads = 5
# Its router gives up after 30 s.
timeout = 20
graceful_timeout = 25
keepalive = 90

worker_tmp_dir = "/dev/shm"
accesslog = "-"
access_log_format = 'method=%(m)s path="%(U)s" status=%(s)s duration=%(M)sms request_id=%({X-Request-ID}i)s'
loglevel = "info"
forwarded_allow_ips = "*"

# On a development machine there is no router.
if os.environ.get("ENVIRONMENT") == "development":
    reload = True
