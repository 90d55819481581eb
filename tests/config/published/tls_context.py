def ssl_context(conf, default_ssl_context_factory):
    return default_ssl_context_factory()
