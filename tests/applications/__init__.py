"""Published applications behind the server, in a browser, beside the server they usually run on: `make apps`.

Knows: packages from PyPI, command lines of servers, what a browser tells. Must not know: a name of
`tricorn`'s modules. What is wrong with an application itself is wrong under both servers, so only differences
are faults.
"""
