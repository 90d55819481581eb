wsgi_app = "site.wsgi:application"
chdir = "/"
pythonpath = "/srv/site,/srv/lib"
