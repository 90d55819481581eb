"""What the command `tricorn` has to be told of a project: which interface, where its modules and files are.

Knows: Django's settings, sys.path. Must not know: options of a command.
"""

from __future__ import annotations

import glob
import os
import site
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from django.apps import apps
from django.conf import settings
from django.template.autoreload import get_template_directories

#: Nobody edits what lies below one of these.
INSTALLED = {"site-packages", "dist-packages"}


def usual_interface() -> str:
    """startproject sets WSGI_APPLICATION for everybody; ASGI_APPLICATION by who wants it (Channels)."""
    return "asgi" if getattr(settings, "ASGI_APPLICATION", None) else "wsgi"


def added_paths() -> list[str]:
    """Entries of sys.path that a new interpreter would not have: the directory of manage.py, --pythonpath.
    Those of $PYTHONPATH are among them, so that what lies there is watched."""
    usual = {*site.getsitepackages(), site.getusersitepackages(), *sysconfig.get_paths().values()}
    usual |= {os.path.join(sysconfig.get_paths()["stdlib"], "lib-dynload"), os.getcwd()}
    found = [os.path.abspath(entry) for entry in sys.path if entry]
    return [entry for entry in dict.fromkeys(found) if entry not in usual and os.path.isdir(entry)]


def other_files() -> Iterator[str]:
    """Patterns of files that are no code and are kept in memory: templates, also while DEBUG is on, and
    translations."""
    directories = {Path(each).resolve() for each in get_template_directories()}
    for directory in sorted(each for each in directories if is_own(each)):
        yield f"{glob.escape(str(directory))}/**/*"
    locales = {
        *map(Path, settings.LOCALE_PATHS),
        *(Path(each.path, "locale") for each in apps.get_app_configs()),
    }
    for directory in sorted(each for each in locales if is_own(each) and each.is_dir()):
        yield f"{glob.escape(str(directory))}/**/*.mo"


def is_own(directory: Path) -> bool:
    return not INSTALLED & set(directory.parts)
