from objects_base import config, env, reload

workers = config("WORKERS", default=5, cast=int)
bind = env.str("BIND", "127.0.0.1:8000")
reload(object)
