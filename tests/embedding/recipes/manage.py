"""Commands of a program: an Application whose init() gives the settings; WSGIApplication with app_uri set."""

import sys

from tricorn.app.base import Application
from tricorn.app.wsgiapp import WSGIApplication


def application(environ, start_response):
    start_response("200 OK", [("X-Name", "manage")])
    return [(environ["wsgi.multithread"] and b"several") or b"one"]


def serve_with_options(**options):
    class ManagedApplication(Application):
        def init(self, parser, opts, args):
            assert args == ["options"], args
            return options

        def load(self):
            return application

    ManagedApplication("%(prog)s options [options]").run()


def serve_by_name():
    served = WSGIApplication()
    served.app_uri = "manage:application"
    return served.run()


class ProjectApplication(WSGIApplication):
    def init(self, parser, opts, args):
        args = ["manage:application"] + args[1:]
        super().init(parser, opts, args)


if __name__ == "__main__":
    match sys.argv[1]:
        case "options":
            serve_with_options(bind="127.0.0.1:0", timeout=60, workers=1, threads=1)
        case "name":
            serve_by_name()
        case "project":
            ProjectApplication("%(prog)s [OPTIONS]").run()
