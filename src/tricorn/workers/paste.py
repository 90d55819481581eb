"""The application that a PasteDeploy file describes.

Knows: PasteDeploy's way to name an application. Must not know: settings, what its files say.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from tricorn.gateway.loader import AppLoadError


def load_paste(place: str, variables: Sequence[str]) -> Any:
    """place: path/to/file.ini, or with the application's name: path/to/file.ini#name. variables: KEY=VALUE,
    which the file may use as defaults. Raises AppLoadError, or what the application raises."""
    try:
        from paste.deploy import loadapp  # type: ignore[import-untyped, unused-ignore]
    except ModuleNotFoundError as error:
        if error.name not in ("paste", "paste.deploy"):
            raise
        raise AppLoadError(
            f"{place!r} needs PasteDeploy, which is not installed: pip install tricorn[paste]"
        ) from None
    defaults = dict(each.partition("=")[::2] for each in variables)
    try:
        return loadapp(f"config:{place}", relative_to=os.getcwd(), global_conf=defaults)
    except LookupError as error:
        raise AppLoadError(f"{place!r} has no such application: {error}") from error
