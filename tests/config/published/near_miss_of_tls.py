cert_file = "/etc/ssl/site.pem"
