"""Control and metrics over HTTP: an application of ours, served by a worker of ours in a process of its own.

Knows: HTTP paths, what is asked of a master and how its answers look over HTTP, who may ask. Must not know:
how the master does anything, processes, sockets of HTTP.
"""
