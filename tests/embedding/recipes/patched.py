"""A custom application for gevent, which patches first, as Gunicorn's users are told to."""

from gevent import monkey

monkey.patch_all()

import sys  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402

from tricorn.app.base import BaseApplication  # noqa: E402


class Standalone(BaseApplication):
    def load_config(self):
        self.cfg.set("bind", "127.0.0.1:0")
        self.cfg.set("worker_class", "gevent")

    def load(self):
        def app(environ, start_response):
            text = time.sleep.__module__.encode()
            start_response("200 OK", [("Content-Length", str(len(text)))])
            return [text]

        return app


if __name__ == "__main__":
    try:
        Standalone().run()
    finally:
        is_main = threading.current_thread() is threading.main_thread()
        print("the program goes on", time.sleep.__module__, is_main, file=sys.stderr)
