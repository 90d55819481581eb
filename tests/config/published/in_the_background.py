from os.path import abspath, dirname, join

root = dirname(abspath(__file__))

bind = "unix:" + join(root, "site.sock")
workers = 3
daemon = True
umask = 0o007
pidfile = join(root, "site.pid")
errorlog = join(root, "error.log")
accesslog = join(root, "access.log")
capture_output = True
