user = "root"
group = 0
umask = 0
pidfile = "/run/site.pid"
proc_name = "site"
raw_env = ["DJANGO_SETTINGS_MODULE=site.settings.production", "DEBUG=0"]
worker_tmp_dir = "/dev/shm"
tmp_upload_dir = None
initgroups = True
