import os

bind = os.environ.get("SITE_BIND_THAT_NOBODY_SET")
