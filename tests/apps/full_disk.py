"""uploads.py on a machine whose disk has room for files of 200,000 bytes."""

import resource

from uploads import app

__all__ = ["app"]

resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
