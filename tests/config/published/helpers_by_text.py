address = "127.0.0.1"
base_port = 8020
bind = "{address}:{base_port}".format(**locals())
