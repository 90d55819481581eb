import os

_agent = os.environ.get("DD_AGENT_HOST", "localhost")

bind = ["0.0.0.0:8080"]
statsd_host = _agent + ":8125"
statsd_prefix = "shop"
dogstatsd_tags = "service:shop,env:prod"
worker_class = "gthread"
threads = 8


def post_fork(server, worker):
    import ddtrace

    ddtrace.patch_all()
    worker.log.info("tracing in %s", worker.pid)
