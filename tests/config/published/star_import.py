from star_import_base import *

threads = 4
