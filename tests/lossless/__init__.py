"""The counting test: every kind of client while a server is reloaded, resized, killed: `make lossless`.

Knows: servers as command lines, sockets, signals. Must not know: a name of `tricorn`'s modules.
"""
