from os import environ as env

workers = env.get("SITE_WORKERS", "2")
threads = env.get("SITE_THREADS", "4")
timeout = env.get("SITE_TIMEOUT", "90")
keepalive = env.get("SITE_KEEPALIVE", "65")
max_requests = env.get("SITE_MAX_REQUESTS", "1_000")
preload_app = env.get("SITE_PRELOAD", "false")
limit_request_line = env.get("SITE_LINE", 0)
chdir = env.get("SITE_DIR", "")
accesslog = env.get("SITE_ACCESS_LOG", "")
errorlog = env.get("SITE_ERROR_LOG", "")
bind = env.get("SITE_BIND", "127.0.0.1:8000,unix:/tmp/site.sock")
