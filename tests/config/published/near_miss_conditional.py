import os

if os.environ.get("DEBUG"):
    timeout = 0
else:
    timeouts = 90
