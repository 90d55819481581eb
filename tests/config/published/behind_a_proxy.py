bind = "unix:/run/site/web.sock"
umask = 0o007
forwarded_allow_ips = "*"
secure_scheme_headers = {"X-FORWARDED-PROTO": "https"}
proxy_protocol = True
proxy_allow_ips = "*"
