import logging


class SiteLogger(logging.Logger):
    def setup(self, cfg): ...


logger_class = SiteLogger
access_log_format = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s" %(D)sus %({x-request-id}i)s'
