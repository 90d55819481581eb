reload = True
reload_engine = "poll"
reload_extra_files = ["templates/base.html"]
workers = 1
