"""What a worker serves under `manage.py runtricorn`: the project's application, with what runserver does at
each start: system checks, a word about migrations, static files.

Knows: Django. Must not know: the server, how it was started.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import django
from django.apps import apps
from django.conf import settings
from django.core.management.base import BaseCommand
from django.utils.module_loading import import_string


def application(
    *, interface: str, static: bool, insecure: bool, checks: bool, color: bool
) -> Callable[..., Any]:
    """Raises SystemCheckError, and whatever the project raises.

    static: serve static files while DEBUG is on. insecure: also while it is off. checks: all that Django has;
    migrations are looked at anyway. color: although this is no terminal.
    """
    django.setup()
    check(Checks(force_color=color), everything=checks)
    make, handler = {"asgi": (asgi, "ASGIStaticFilesHandler"), "wsgi": (wsgi, "StaticFilesHandler")}[
        interface
    ]
    served = make()
    if static and (settings.DEBUG or insecure) and apps.is_installed("django.contrib.staticfiles"):
        return import_string(f"django.contrib.staticfiles.handlers.{handler}")(served)  # type: ignore[no-any-return]
    return served


def check(command: BaseCommand, *, everything: bool) -> None:
    """As runserver: everything that Django can check, then the migrations."""
    from django.db import connections

    if everything:
        command.stdout.write("Performing system checks...\n\n")
        command.check(display_num_errors=True)
    command.check_migrations()
    command.stdout.write(
        f"Django version {django.get_version()}, using settings {settings.SETTINGS_MODULE!r}\n"
    )
    command.stdout.flush()
    # Requests open their own, in their own threads.
    for connection in connections.all(initialized_only=True):
        connection.close()


class Checks(BaseCommand):
    """Has the methods, and knows how their words are coloured."""


def wsgi() -> Callable[..., Any]:
    from django.core.servers.basehttp import get_internal_wsgi_application

    return get_internal_wsgi_application()  # type: ignore[no-any-return]


def asgi() -> Callable[..., Any]:
    """Where ASGI_APPLICATION is not set, what startproject writes into asgi.py."""
    from django.core.asgi import get_asgi_application

    named = getattr(settings, "ASGI_APPLICATION", None)
    return import_string(named) if named else get_asgi_application()  # type: ignore[no-any-return]
