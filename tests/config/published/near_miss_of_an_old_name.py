workers = 2
logfile = "/var/log/site.log"
