import os


class Config:
    def __call__(self, name, default, cast):
        return cast(os.environ.get(name, default))


class Env:
    def str(self, name, default):
        return os.environ.get(name, default)


config = Config()
env = Env()


def reload(thing):
    return thing


def ssl_context(conf, default_ssl_context_factory):
    return default_ssl_context_factory()
