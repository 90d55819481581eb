import json

host, port = "127.0.0.1", 8010
accesslog_var = "-"
accesslog = accesslog_var or None
bind = f"{host}:{port}"
workers = 2
log_data = {"workers": workers, "bind": bind, "host": host}
print(json.dumps(log_data))
