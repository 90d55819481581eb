"""What the black-box tests stand on: a server process, a client that speaks raw bytes, cases as data.

Knows: sockets, processes, RFC 9112 as a reader of responses. Must not know: a single name of `tricorn`'s
modules (but for nursery.py); the server is a command line and what comes out of its sockets. So the same
tests can be pointed at another server (`TRICORN_TEST_COMMAND`, see `server.py`).
"""
