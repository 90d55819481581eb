keyfile = "/etc/ssl/site.key"
