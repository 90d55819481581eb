"""Starting the server from a program of one's own, in Gunicorn's way.

    base.py       BaseApplication and Application: subclasses say what is served, with which settings
    wsgiapp.py    WSGIApplication: the command as a class
    pasterapp.py  the server of a PasteDeploy file
    config.py     `self.cfg`

Knows: Gunicorn's names and their order of events. Must not know: processes (embedding.py starts them).
"""
