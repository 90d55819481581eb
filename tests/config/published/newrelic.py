import os

bind = ":" + os.getenv("APP_PORT", "8000")
workers = 4
threads = 2
capture_output = False
accesslog = "-"


def post_fork(server, worker):
    import newrelic.agent

    newrelic.agent.initialize(os.environ["NEW_RELIC_CONFIG_FILE"], os.environ.get("NEW_RELIC_ENVIRONMENT"))
    newrelic.agent.register_application(timeout=10.0)
