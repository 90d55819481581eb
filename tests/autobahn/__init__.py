"""The Autobahn test-suite's fuzzing client against the server: `make conformance`.

Knows: how the suite is installed, started and read. Must not know: a name of `tricorn`'s modules; the server
is a command line (`harness.server`) and a WebSocket address.
"""
