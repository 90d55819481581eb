"""Server hooks: functions of the configuration that are called at certain moments, and what they are given.

    found.py     Hooks: the functions that the settings name, imported and ready to be called
    objects.py   what stands for the server and for a worker: names and meanings are Gunicorn's
    requests.py  what stands for a request and its response, and the moments around them
    worker.py    WorkerHooks: the moments in the life of one worker

Knows: settings, the row of a worker. Must not know: processes, signals, sockets, how requests are served. Who
calls when is said where it is called: for the master in arbiter/hooking.py.
"""
