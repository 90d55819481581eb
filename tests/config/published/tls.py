certfile = "/etc/letsencrypt/live/site/fullchain.pem"
keyfile = "/etc/letsencrypt/live/site/privkey.pem"
bind = "0.0.0.0:443"
