from star_import_base import cores as _cores
from star_import_base import post_fork, workers

threads = _cores
