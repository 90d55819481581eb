preload = True
access_logfile = "-"
log_level = "debug"
keep_alive = 5
worker = 4
thread = 2
