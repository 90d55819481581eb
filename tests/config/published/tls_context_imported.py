from objects_base import ssl_context

certfile = "/etc/ssl/site.pem"
