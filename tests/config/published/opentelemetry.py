bind = "127.0.0.1:8000"
worker_class = "sync"
workers = 4
threads = 1
loglevel = "info"
accesslog = "-"
errorlog = "-"


def post_fork(server, worker):
    server.log.info("Worker spawned (pid: %s)", worker.pid)

    from opentelemetry import trace
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create(attributes={"service.name": "shop", "worker": worker.pid}))
    provider.add_span_processor(BatchSpanProcessor())
    trace.set_tracer_provider(provider)
