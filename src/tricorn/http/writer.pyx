"""The response side of the engine for Python code: what an application says in, bytes out, no socket.

For tests, fuzzing, and whoever wants to see what the engine writes. Servers do not come this way.

Knows: how a connection asks for a head. Must not know: any rule of HTTP; those are in response.pyx.
"""

from typing import NamedTuple

from tricorn.http.buffer cimport Buffer
from tricorn.http.response cimport (
    Defaults, Reply, write_chunk_size, write_error, write_head, write_interim, write_trailers,
)


class ResponseHead(NamedTuple):
    """The bytes of a head, and how the body behind it has to be sent.

    bodyless: not at all. chunked: in chunks. length: its size, -1 where nobody knows.
    """

    data: bytes
    status: int
    keep_alive: bool
    bodyless: bool
    chunked: bool
    length: int


# As a server has them: the same for one response after the other.
cdef Defaults LAST = None
cdef str LAST_SERVER = None


cdef Defaults _defaults(str server, long long second):
    global LAST, LAST_SERVER
    cdef Defaults defaults = LAST if server == LAST_SERVER else Defaults(server)
    # A date has four digits for the year; a clock never gets there, a fuzzer does.
    if not 0 <= second < 253402300800:
        raise ValueError("the second must be between the years 1970 and 9999")
    defaults.refresh(second)
    LAST = defaults
    LAST_SERVER = server
    return defaults


cdef bytes _bytes(Buffer out):
    return (<const char*>out.data)[:out.size]


def response_head(
    str status not None,
    list headers not None,
    *,
    str method not None="GET",
    int version=11,
    bint keep_alive=True,
    long long length=-1,
    bint octets=False,
    str server not None="tricorn",
    long long second=0,
):
    """The head of a final response. Raises ResponseError.

    method, version, keep_alive: what the request said. length: of the body if it is known, else -1.
    octets: the headers are pairs of bytes (ASGI), not of str.
    second: since 1970, for Date.
    """
    cdef Buffer out = Buffer()
    cdef Reply reply
    reply.version = version
    reply.is_head = method == "HEAD"
    reply.is_connect = method == "CONNECT"
    reply.keep_alive = keep_alive
    reply.octets = octets
    reply.status = 0
    reply.bodyless = reply.chunked = False
    reply.length = length
    write_head(out, _defaults(server, second), status, headers, &reply)
    return ResponseHead(
        _bytes(out), reply.status, bool(reply.keep_alive), bool(reply.bodyless), bool(reply.chunked), reply.length
    )


def interim_response(list headers not None):
    """A whole 103 response (RFC 8297). Raises ResponseError."""
    cdef Buffer out = Buffer()
    write_interim(out, b"HTTP/1.1 103 Early Hints\r\n", headers, False)
    return _bytes(out)


def trailer_section(headers):
    """The end of a chunked body: the last chunk and these trailer fields, pairs of bytes. Raises ResponseError."""
    cdef Buffer out = Buffer()
    write_trailers(out, headers)
    return _bytes(out)


def error_response(int status, *, str method not None="GET", str server not None="tricorn", long long second=0):
    """A whole response of the server's own. Raises ValueError for a status that has no name."""
    cdef Buffer out = Buffer()
    write_error(out, _defaults(server, second), status, method == "HEAD")
    return _bytes(out)


def chunk_size(Py_ssize_t size):
    """The line in front of the data of a chunk."""
    cdef Buffer out = Buffer()
    write_chunk_size(out, size)
    return _bytes(out)
