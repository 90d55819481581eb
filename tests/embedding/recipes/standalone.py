"""The custom application of Gunicorn's documentation, with another import."""

import os

import tricorn.app.base


def handler_app(environ, start_response):
    body = f"{os.getpid()} {environ['wsgi.multithread']}".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


class StandaloneApplication(tricorn.app.base.BaseApplication):
    def __init__(self, app, options=None):
        self.options = options or {}
        self.application = app
        super().__init__()

    def load_config(self):
        config = {
            key: value
            for key, value in self.options.items()
            if key in self.cfg.settings and value is not None
        }
        for key, value in config.items():
            self.cfg.set(key.lower(), value)

    def load(self):
        print("loaded in", os.getpid(), flush=True)
        return self.application


if __name__ == "__main__":
    options = {
        "bind": "127.0.0.1:0",
        "workers": "2",
        "threads": 2,
        "accesslog": "-",
        "preload_app": "PRELOAD" in os.environ,
        "reuse-port": True,
    }
    StandaloneApplication(handler_app, options).run()
    print("not reached: run() ends the program, as in Gunicorn")
