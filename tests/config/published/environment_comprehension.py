import os

globals().update({k[9:].lower(): v for k, v in os.environ.items() if k.startswith("GUNICORN_")})
