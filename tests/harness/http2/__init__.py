"""HTTP/2 from the client's side, frame by frame; and a face that speaks HTTP/1 for tests that know only that.

Knows: RFC 9113, RFC 7541 (coding by the `hpack` package), RFC 8441, RFC 9218; sockets that are connected
already. Must not know: a server, what a test wants.

    frames.py      the wire format: bytes of each frame, and back
    strict.py      what a server may send to whom, checked frame by frame; without I/O
    connection.py  a socket with both of it: requests in, answers out, or any bytes whatever
    messages.py    HTTP/1 messages taken apart, answers put together as HTTP/1 would have them
    face.py        the words of a socket over one connection: HTTP/1 messages in, HTTP/1 messages out
    bridge.py      a listener for clients of HTTP/1, each carried over a connection of its own
"""
