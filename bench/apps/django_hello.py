"""The JSON view of the example project, at / because that is what every scenario asks for."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples" / "django_project"))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

from config.wsgi import application


def app(environ, start_response):
    environ["PATH_INFO"] = "/json"
    return application(environ, start_response)
