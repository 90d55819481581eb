import ssl

certfile = "/etc/ssl/site.pem"
ssl_version = ssl.PROTOCOL_TLSv1_2
cert_reqs = ssl.CERT_REQUIRED
ca_certs = "/etc/ssl/clients.pem"
ciphers = "ECDHE+AESGCM"
do_handshake_on_connect = True
suppress_ragged_eofs = True
