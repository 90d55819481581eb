"""How a request head becomes a WSGI environ (PEP 3333, "environ Variables"; RFC 3875 §4.1).

Each Python object is made once, straight into the dict: names come from a table of keys beside the engine's
table of names, so the common ones are neither changed in case nor allocated.

Knows: heads, environ keys, header policy. Must not know: sockets, HTTP versions.
"""

from cpython.dict cimport PyDict_Copy, PyDict_SetItem, PyDict_Size
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from cpython.unicode cimport PyUnicode_DecodeLatin1
from libc.string cimport memchr, memcmp

import sys

from tricorn.http.chars cimport hex_value
from tricorn.http.names cimport (
    CONTENT_LENGTH, CONTENT_TYPE, COOKIE, FORWARDED, NAME_SLOTS, kind_of,
)
from tricorn.http.request cimport Field, RequestHead, Span

from tricorn.http.policy import FORWARDED_NAMES, resolve_forwarded

cdef extern from "Python.h":
    # Borrowed: the value that is under the key afterwards.
    PyObject* PyDict_SetDefault(object, object, object) except NULL

cdef PyObject* KEYS[NAME_SLOTS]     # strong references, made when a name is first seen

cdef str REQUEST_METHOD = sys.intern("REQUEST_METHOD")
cdef str PATH_INFO = sys.intern("PATH_INFO")
cdef str QUERY_STRING = sys.intern("QUERY_STRING")
cdef str RAW_URI = sys.intern("RAW_URI")
cdef str SERVER_PROTOCOL = sys.intern("SERVER_PROTOCOL")
cdef str REMOTE_ADDR = sys.intern("REMOTE_ADDR")
cdef str REMOTE_PORT = sys.intern("REMOTE_PORT")
cdef str HTTP_HOST = sys.intern("HTTP_HOST")
cdef str GET = sys.intern("GET")
cdef str POST = sys.intern("POST")
cdef str HTTP_11 = sys.intern("HTTP/1.1")
cdef str HTTP_10 = sys.intern("HTTP/1.0")


cdef class Peer:
    def __init__(self, object host, str port, bint trusted):
        self.host = host
        self.port = port
        self.trusted = trusted


cdef object _make_key(RequestHead head, Field* field):
    name = head.raw(field.name).decode("ascii").upper().replace("-", "_")
    if field.kind == CONTENT_TYPE or field.kind == CONTENT_LENGTH:
        return sys.intern(name)
    return sys.intern("HTTP_" + name)


cdef inline object _key(RequestHead head, Field* field):
    if field.slot < 0:
        return _make_key(head, field)
    if KEYS[field.slot] == NULL:
        key = _make_key(head, field)
        Py_INCREF(key)
        KEYS[field.slot] = <PyObject*>key
    return <object>KEYS[field.slot]


cdef object _method(RequestHead head):
    cdef const unsigned char* p = head.data + head.method.start
    if head.method.length == 3 and memcmp(p, b"GET", 3) == 0:
        return GET
    if head.method.length == 4 and memcmp(p, b"POST", 4) == 0:
        return POST
    return sys.intern(head.text(head.method))


cdef object _path(RequestHead head):
    """The path, percent-decoded, its bytes as latin-1 (PEP 3333, "Unicode Issues")."""
    cdef const unsigned char* p = head.data + head.path.start
    cdef Py_ssize_t n = head.path.length
    cdef Py_ssize_t i = 0
    cdef Py_ssize_t size = 0
    cdef int high
    cdef int low
    cdef unsigned char* decoded
    if n == 0:
        return "" if head.is_connect else "/"
    if memchr(p, c'%', n) == NULL:
        return head.text(head.path)
    decoded = <unsigned char*>PyMem_Malloc(n)
    if decoded == NULL:
        raise MemoryError()
    while i < n:
        decoded[size] = p[i]
        if p[i] == c'%' and n - i > 2:
            high = hex_value(p[i + 1])
            low = hex_value(p[i + 2])
            if high >= 0 and low >= 0:
                decoded[size] = <unsigned char>(high * 16 + low)
                i += 2
        size += 1
        i += 1
    try:
        return PyUnicode_DecodeLatin1(<char*>decoded, size, NULL)
    finally:
        PyMem_Free(decoded)


cdef class EnvironBuilder:
    """Builds environs for requests that came in through one listener.

    base: what is the same for all of them. policy: the HeaderPolicy. script_name: where the application is
    mounted; its paths are cut there.
    """

    def __init__(self, dict base, object policy, str script_name=""):
        # A dict grows at 22 keys from 21 places to 42, and a copy keeps the places: room for the fields of a
        # usual request, which need not make it grow while it is filled.
        self.base = dict(base)
        self.base["tricorn.room"] = None
        del self.base["tricorn.room"]
        self.policy = policy
        self.script_name = script_name
        self.names = FORWARDED_NAMES | frozenset(policy.scheme_headers)
        # The engine marks heads that hold one of the usual names; others have to be looked for.
        self.unusual_names = any(
            [kind_of(<const unsigned char*>(<bytes>name), len(name)) != FORWARDED for name in self.names]
        )

    cdef dict build(self, RequestHead head, Peer peer):
        """Raises ProtocolError where the header policy refuses the request."""
        cdef dict environ = PyDict_Copy(self.base)
        PyDict_SetItem(environ, REQUEST_METHOD, _method(head))
        target = head.text(head.target)
        PyDict_SetItem(environ, RAW_URI, target)
        if head.path.length == head.target.length and memchr(
            head.data + head.path.start, c'%', head.path.length
        ) == NULL:
            PyDict_SetItem(environ, PATH_INFO, target)
        else:
            PyDict_SetItem(environ, PATH_INFO, _path(head))
        PyDict_SetItem(environ, QUERY_STRING, head.text(head.query) if head.has_query else "")
        PyDict_SetItem(environ, SERVER_PROTOCOL, HTTP_11 if head.minor else HTTP_10)
        PyDict_SetItem(environ, REMOTE_ADDR, peer.host or "")
        PyDict_SetItem(environ, REMOTE_PORT, peer.port)
        self._fields(environ, head, peer)
        if head.authority.length and not head.is_connect:
            # RFC 9112 §3.2.2: the authority of an absolute-form target replaces Host.
            PyDict_SetItem(environ, HTTP_HOST, head.text(head.authority))
        if self.script_name:
            _mount(environ, self.script_name)
        if peer.trusted and (head.has_forwarded or head.has_underscore or self.unusual_names):
            self._forwarded(environ, head, peer)
        return environ

    cdef int _fields(self, dict environ, RequestHead head, Peer peer) except -1:
        cdef Field* field
        cdef PyObject* there
        cdef Py_ssize_t size
        cdef int i
        for i in range(head.count):
            field = &head.fields[i]
            if field.underscore and not self._admits(head, field.name, peer):
                continue
            key = _key(head, field)
            value = PyUnicode_DecodeLatin1(
                <const char*>head.data + field.value.start, field.value.length, NULL
            )
            size = PyDict_Size(environ)
            there = PyDict_SetDefault(environ, key, value)
            if PyDict_Size(environ) == size:
                # RFC 9110 §5.3; RFC 9113 §8.2.3 for cookies.
                separator = "; " if field.kind == COOKIE else ","
                environ[key] = <str><object>there + separator + <str>value
        return 0

    cdef bint _admits(self, RequestHead head, Span name, Peer peer) except -1:
        """A name with '_' would be taken for the one with '-' in the environ."""
        return self.policy.keeps_underscore(head.raw(name).decode("ascii"), peer.trusted)

    cdef int _forwarded(self, dict environ, RequestHead head, Peer peer) except -1:
        """What a trusted proxy says about its client replaces what we see of the proxy."""
        cdef int i
        mounts = self.policy.forwarder_headers & {"SCRIPT_NAME", "*"}
        fields = {}
        for i in range(head.count):
            name = head.raw(head.fields[i].name).lower()
            if name in self.names:
                fields.setdefault(name, []).append(head.raw(head.fields[i].value))
            elif name == b"script_name" and mounts:
                _mount(environ, head.text(head.fields[i].value))
        if not fields:
            return 0
        found = resolve_forwarded(fields, peer.host, peer.port, environ["wsgi.url_scheme"], self.policy)
        environ["REMOTE_ADDR"] = found.client_host or ""
        environ["REMOTE_PORT"] = str(found.client_port) if found.client_port else ""
        environ["wsgi.url_scheme"] = found.scheme
        if found.host is not None:
            environ["HTTP_HOST"] = found.host
            environ["SERVER_NAME"] = found.host.partition(":")[0] if found.host[:1] != "[" else found.host
        if found.port is not None:
            environ["SERVER_PORT"] = str(found.port)
        if found.prefix is not None:
            environ["SCRIPT_NAME"] = found.prefix
        return 0


cdef int _mount(dict environ, str script_name) except -1:
    """The application lives below `script_name`: PATH_INFO is what follows it."""
    cdef str path = environ[PATH_INFO]
    script_name = script_name.rstrip("/")
    environ["SCRIPT_NAME"] = script_name
    if path == script_name or path.startswith(script_name + "/"):
        environ[PATH_INFO] = path[len(script_name):]
    return 0
