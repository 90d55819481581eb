bind = "unix:/run/site/gunicorn.sock"
umask = 0o007
workers = 3
forwarded_allow_ips = "10.0.0.1"
secure_scheme_headers = {"X-FORWARDED-PROTO": "https"}
