webserver = {
    "workers": "4",
    "worker_class": "sync",
    "worker_timeout": 120,
    "access_logfile": "-",
    "error_logfile": "-",
}
