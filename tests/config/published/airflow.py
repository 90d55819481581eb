import setproctitle

from tricorn_site_settings import webserver


def post_worker_init(_):
    """Have `ps` show which of the processes are ready."""
    title = setproctitle.getproctitle()
    setproctitle.setproctitle("[ready] " + title)


workers = webserver["workers"]
worker_class = webserver["worker_class"]
timeout = webserver["worker_timeout"]
accesslog = webserver["access_logfile"]
errorlog = webserver["error_logfile"]
proc_name = "airflow-webserver"
