"""`python manage.py runtricorn`: the words of Django's runserver, and Tricorn behind them.

The process becomes the command `tricorn` (exec). So the master has nothing of the project in it, although
manage.py has imported that, and each reload loads all of it anew, the settings included.

Knows: what runserver understands, the options of the command `tricorn`. Must not know: the server's modules.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.core.management.commands.runserver import Command as Runserver

from tricorn.contrib.django import places

#: runserver has a thread for each request. A thread that nobody uses costs little.
THREADS = 16

#: As runserver shows a request.
ACCESS = '%(t)s "%(r)s" %(s)s %(b)s'


class Command(Runserver):
    help = "Starts Tricorn for development, with automatic reload; serves static files too while DEBUG is on."

    #: What stood behind `--`.
    more: Sequence[str] = ()

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--nostatic",
            action="store_false",
            dest="use_static_handler",
            help="Do not serve static files at STATIC_URL.",
        )
        parser.add_argument(
            "--insecure",
            action="store_true",
            dest="insecure_serving",
            help="Serve static files even if DEBUG is off.",
        )
        interface = parser.add_mutually_exclusive_group()
        for name in ("asgi", "wsgi"):
            interface.add_argument(
                f"--{name}",
                action="store_const",
                const=name,
                dest="interface",
                help=f"Serve the project's {name.upper()} application. If neither is said: ASGI if "
                "ASGI_APPLICATION is set, else WSGI.",
            )
        parser.epilog = "What stands behind -- is for the command tricorn: runtricorn 8000 -- --workers 2"

    def run_from_argv(self, argv: list[str]) -> None:
        if "--" in argv:
            place = argv.index("--")
            argv, self.more = argv[:place], argv[place + 1 :]
        super().run_from_argv(argv)

    def run(self, **options: Any) -> None:
        """Called by runserver's `handle`, which has understood the address."""
        if "DJANGO_SETTINGS_MODULE" not in os.environ:
            raise CommandError(
                "runtricorn needs a module of settings for its workers: set DJANGO_SETTINGS_MODULE, or "
                "name the application yourself, as in: tricorn --reload module:application"
            )
        command = [*interpreter(), "-m", "tricorn", *self.words(options)]
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os.execv(command[0], command)

    def words(self, options: dict[str, Any]) -> list[str]:
        """The options of the command `tricorn`. Nothing that the project may have for production counts: no
        configuration file, and no time limit where somebody may sit in a debugger."""
        is_asgi = (options["interface"] or places.usual_interface()) == "asgi"
        project = os.environ["DJANGO_SETTINGS_MODULE"].partition(".")[0]
        words = ["--config", os.devnull, "--bind", self.address(), "--name", project, "--workers", "1"]
        words += ["--timeout", "0", "--request-timeout", "0"]
        words += ["--access-logfile", "-", "--access-logformat", ACCESS]
        words += ["--worker-class", "asgi"] if is_asgi else ["--worker-class", "gthread"]
        if not is_asgi:
            words += ["--threads", str(THREADS if options["use_threading"] else 1)]
        if paths := places.added_paths():
            words += ["--pythonpath", ",".join(paths)]
        if options["use_reloader"]:
            words += ["--reload"]
            for pattern in places.other_files():
                words += ["--reload-extra-file", pattern]
        return [*words, *self.more, self.application(options, "asgi" if is_asgi else "wsgi")]

    def application(self, options: dict[str, Any], interface: str) -> str:
        given = {
            "interface": interface,
            "static": options["use_static_handler"],
            "insecure": options["insecure_serving"],
            "checks": not options["skip_checks"],
            "color": options["force_color"],
        }
        arguments = ", ".join(f"{name}={value!r}" for name, value in given.items())
        return f"tricorn.contrib.django.development:application({arguments})"

    def address(self) -> str:
        """By number: a name may mean several, and runserver takes one of the family that was asked for."""
        # "0" is short for all addresses, as runserver has it.
        host = "0.0.0.0" if self.addr == "0" else self.addr
        family = socket.AF_INET6 if self.use_ipv6 else socket.AF_INET
        try:
            found = socket.getaddrinfo(host, int(self.port), family, socket.SOCK_STREAM)
        except OSError as error:
            raise CommandError(f"{host!r} is no address of this machine: {error.strerror}") from error
        number = str(found[0][4][0])
        return f"[{number}]:{self.port}" if self.use_ipv6 else f"{number}:{self.port}"


def interpreter() -> list[str]:
    """This one, with the options that change how it behaves."""
    flags = [f"-W{each}" for each in sys.warnoptions]
    flags += [f"-X{name}" if value is True else f"-X{name}={value}" for name, value in sys._xoptions.items()]
    return [sys.executable, *flags]
