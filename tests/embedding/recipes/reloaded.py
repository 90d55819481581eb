"""A program whose settings are others at each reload."""

from tricorn.app.base import BaseApplication

THREADS = iter([1, 2, "three"])


class Reloaded(BaseApplication):
    def load_config(self):
        self.cfg.set("bind", "127.0.0.1:0")
        self.cfg.set("threads", next(THREADS))
        self.threads = self.cfg.threads

    def load(self):
        threads = self.threads

        def app(environ, start_response):
            start_response("200 OK", [])
            return [str(threads).encode()]

        return app


if __name__ == "__main__":
    Reloaded().run()
