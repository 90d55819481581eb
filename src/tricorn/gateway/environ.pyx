"""How a request head becomes a WSGI environ (PEP 3333, "environ Variables"; RFC 3875 §4.1).

Each Python object is made once, straight into the dict: names come from a table of keys beside the engine's
table of names, so the common ones are neither changed in case nor allocated. What most requests have in common is in
the base already, and values that clients repeat are kept and given out again.

Knows: heads, environ keys, header policy. Must not know: sockets, HTTP versions.
"""

from cpython.dict cimport PyDict_Copy, PyDict_DelItem, PyDict_SetItem
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF, Py_XDECREF
from cpython.unicode cimport PyUnicode_DecodeLatin1
from libc.string cimport memchr

cimport cython

import sys

from tricorn.gateway.request_builder cimport LONGEST_KEPT, Peer, RequestBuilder, decoded_path, is_repeated
from tricorn.http.names cimport CONTENT_LENGTH, CONTENT_TYPE, HOST_FIELD, NAME_SLOTS, same_bytes
from tricorn.http.request cimport Field, RequestHead

cdef extern from "Python.h":
    # Borrowed: the value that is under the key afterwards.
    PyObject* PyDict_SetDefault(object, object, object) except NULL
    Py_ssize_t PyDict_GET_SIZE(object)
    unsigned char* PyUnicode_1BYTE_DATA(object)

# What is kept of a name.
cdef struct Kept:
    PyObject* key               # strong, made when the name is first seen
    bint is_repeated            # clients send the same value again and again
    PyObject* value             # strong: the last one of such a name, not empty; NULL: none yet
    const unsigned char* text   # its bytes
    Py_ssize_t size

cdef Kept KEPT[NAME_SLOTS]

cdef str REQUEST_METHOD = sys.intern("REQUEST_METHOD")
cdef str PATH_INFO = sys.intern("PATH_INFO")
cdef str QUERY_STRING = sys.intern("QUERY_STRING")
cdef str RAW_URI = sys.intern("RAW_URI")
cdef str SERVER_PROTOCOL = sys.intern("SERVER_PROTOCOL")
cdef str REMOTE_ADDR = sys.intern("REMOTE_ADDR")
cdef str REMOTE_PORT = sys.intern("REMOTE_PORT")
cdef str HTTP_HOST = sys.intern("HTTP_HOST")
cdef str GET = sys.intern("GET")
cdef str HTTP_10 = sys.intern("HTTP/1.0")
cdef str HTTP_20 = sys.intern("HTTP/2.0")
cdef str TRAILERS = sys.intern("tricorn.trailers")
cdef str GUNICORNS_TRAILERS = sys.intern("gunicorn.http2.send_trailers")
cdef str SCHEME = sys.intern("wsgi.url_scheme")

# Of what a gateway says: what is taken from the head, and what is ours to say.
cdef frozenset OURS = frozenset((
    "REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "RAW_URI", "REMOTE_ADDR", "REMOTE_PORT", "SERVER_SOFTWARE",
))
# Names of these are no variables of CGI: they are the server's, and what belongs to Python (PEP 3333).
cdef tuple OWN_NAMES = ("wsgi.", "tricorn.", "gunicorn.")
# What PEP 3333 wants not to be empty.
cdef frozenset NEVER_EMPTY = frozenset(("SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL"))
# What one that knows HTTP/1.0 only has no use for.
cdef tuple NOT_OFFERED = ("wsgi.early_hints", "tricorn.trailers")


cdef object _make_key(RequestHead head, Field* field):
    name = head.raw(field.name).decode("ascii").upper().replace("-", "_")
    if field.kind == CONTENT_TYPE or field.kind == CONTENT_LENGTH:
        return sys.intern(name)
    return sys.intern("HTTP_" + name)


cdef inline object _key(RequestHead head, Field* field):
    if field.slot < 0:
        return _make_key(head, field)
    if KEPT[field.slot].key == NULL:
        key = _make_key(head, field)
        KEPT[field.slot].is_repeated = is_repeated(head.raw(field.name).lower())
        Py_INCREF(key)
        KEPT[field.slot].key = <PyObject*>key
    return <object>KEPT[field.slot].key


cdef inline object _value(RequestHead head, Field* field):
    """The value of a field whose key is known."""
    cdef const unsigned char* text = head.data + field.value.start
    cdef Py_ssize_t size = field.value.length
    cdef Kept* kept = &KEPT[field.slot]
    if field.slot < 0 or not kept.is_repeated or size > LONGEST_KEPT or size == 0:
        return PyUnicode_DecodeLatin1(<const char*>text, size, NULL)
    if size == kept.size and same_bytes(kept.text, text, size):
        return <object>kept.value
    return _kept_value(kept, text, size)


cdef object _kept_value(Kept* kept, const unsigned char* text, Py_ssize_t size):
    cdef PyObject* before = kept.value
    value = PyUnicode_DecodeLatin1(<const char*>text, size, NULL)
    Py_INCREF(value)
    kept.value = <PyObject*>value
    kept.text = PyUnicode_1BYTE_DATA(value)
    kept.size = size
    Py_XDECREF(before)
    return value


cdef object _path(RequestHead head):
    """The path, percent-decoded, its bytes as latin-1 (PEP 3333, "Unicode Issues")."""
    if head.path.length == 0:
        return "" if head.is_connect else "/"
    if memchr(head.data + head.path.start, c'%', head.path.length) == NULL:
        return head.text(head.path)
    return decoded_path(head).decode("latin-1")


@cython.final
cdef class EnvironBuilder(RequestBuilder):
    """Builds environs for requests that came in through one listener.

    base: what most of them have in common (for a GET over HTTP/1.1 without a query). policy: the HeaderPolicy. script_name: where the application is
    mounted; its paths are cut there.
    """

    def __init__(self, dict base, object policy, str script_name=""):
        # A dict grows at 22 keys from 21 places to 42, and a copy keeps the places: room for the fields of a
        # usual request, which need not make it grow while it is filled.
        self.base = dict(base)
        self.base["tricorn.room"] = None
        del self.base["tricorn.room"]
        RequestBuilder.__init__(self, policy)
        self.script_name = script_name
        self.usual_host = self.base["REMOTE_ADDR"]

    def provide(self, str key, value):
        """Have every environ offer what a transport has under a key of the base."""
        self.base[key] = value

    cdef dict build(self, RequestHead head, Peer peer, str method, str target):
        """Raises ProtocolError where the header policy refuses the request."""
        cdef dict environ = PyDict_Copy(self.base)
        if method is not GET:
            PyDict_SetItem(environ, REQUEST_METHOD, method)
        PyDict_SetItem(environ, RAW_URI, target)
        if head.path.length == head.target.length and memchr(
            head.data + head.path.start, c'%', head.path.length
        ) == NULL:
            PyDict_SetItem(environ, PATH_INFO, target)
        else:
            PyDict_SetItem(environ, PATH_INFO, _path(head))
        if head.has_query:
            PyDict_SetItem(environ, QUERY_STRING, head.text(head.query))
        if head.version != 11:
            self._version(environ, head.version)
        if peer.host is not self.usual_host:
            self._address(environ, peer)
        PyDict_SetItem(environ, REMOTE_PORT, peer.port())
        if peer.destination is not None:
            _proxied(environ, <tuple>peer.destination)
        self._fields(environ, head, peer)
        if head.authority.length and not head.is_connect:
            # RFC 9112 §3.2.2: the authority of an absolute-form target replaces Host.
            PyDict_SetItem(environ, HTTP_HOST, head.text(head.authority))
        if head.spoken:
            self._variables(environ, head)
        elif self.script_name:
            _mount(environ, self.script_name)
        if self.may_claim(head, peer):
            self._forwarded(environ, head, peer)
        return environ

    cdef int _version(self, dict environ, int version) except -1:
        PyDict_SetItem(environ, SERVER_PROTOCOL, HTTP_10 if version == 10 else HTTP_20)
        if version == 20 and TRAILERS in self.base:
            PyDict_SetItem(environ, GUNICORNS_TRAILERS, self.base[TRAILERS])    # Gunicorn's name, where Gunicorn has it
        return 0

    cdef int _address(self, dict environ, Peer peer) except -1:
        """The address of a peer that is not the usual one. Who comes twice in a row (a proxy does) becomes that."""
        PyDict_SetItem(environ, REMOTE_ADDR, peer.host or "")
        if peer.host is not None and peer.host is self.last_host:
            PyDict_SetItem(self.base, REMOTE_ADDR, peer.host)
            self.usual_host = peer.host
        self.last_host = peer.host
        return 0

    cdef int _variables(self, dict environ, RequestHead head) except -1:
        """What a gateway says beside fields. It may not put anything in the place of what is the server's."""
        cdef Field* variable
        cdef int i
        PyDict_SetItem(environ, SERVER_PROTOCOL, "HTTP/1.1")
        for i in range(head.count, head.count + head.params):
            variable = &head.fields[i]
            name = head.text(variable.name)
            if name in OURS or (variable.value.length == 0 and name in NEVER_EMPTY):
                continue
            if "." in name and (name in environ or name.startswith(OWN_NAMES)):
                continue
            PyDict_SetItem(environ, name, head.text(variable.value))
        for name in NOT_OFFERED:
            environ.pop(name, None)
        PyDict_SetItem(environ, SCHEME, "https" if head.is_secure else "http")
        PyDict_SetItem(environ, PATH_INFO, _path(head))
        if head.script.length:
            return _mount(environ, head.text(head.script))
        return _mount(environ, self.script_name) if self.script_name else 0

    cdef int _host(self, dict environ, value) except -1:
        """A Host that is not the usual one. What comes twice in a row becomes that: it is the same object then."""
        PyDict_SetItem(environ, HTTP_HOST, value)
        if value is self.last_name:
            PyDict_SetItem(self.base, HTTP_HOST, value)
            self.usual_name = value
        self.last_name = value
        return 0

    cdef int _fields(self, dict environ, RequestHead head, Peer peer) except -1:
        cdef Field* field
        cdef PyObject* there
        cdef Py_ssize_t size
        cdef dict repeated = None
        cdef bint has_host = False
        cdef int i
        for i in range(head.count):
            field = &head.fields[i]
            if field.underscore and not self.admits(head, field.name, peer):
                continue
            key = _key(head, field)
            value = _value(head, field)
            if field.kind == HOST_FIELD:        # there is one at most
                has_host = True
                if value is not self.usual_name:
                    self._host(environ, value)
                continue
            size = PyDict_GET_SIZE(environ)
            there = PyDict_SetDefault(environ, key, value)
            if PyDict_GET_SIZE(environ) == size:
                repeated = {} if repeated is None else repeated
                repeated.setdefault(key, [<object>there]).append(value)
        if not has_host and self.usual_name is not None:
            PyDict_DelItem(environ, HTTP_HOST)
        if repeated is not None:
            _join(environ, repeated)
        return 0

    cdef int _forwarded(self, dict environ, RequestHead head, Peer peer) except -1:
        """What a trusted proxy says about its client replaces what we see of the proxy."""
        script_name = self.mount(head)
        if script_name is not None:
            _mount(environ, script_name)
        found = self.claims(head, peer, environ["wsgi.url_scheme"])
        if found is None:
            return 0
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


cdef int _join(dict environ, dict repeated) except -1:
    """Fields of one name are one list (RFC 9110 §5.3; RFC 9113 §8.2.3 for cookies).

    Joined once: to add each to those before it would be quadratic in their number.
    """
    for key, values in repeated.items():
        environ[key] = ("; " if key == "HTTP_COOKIE" else ",").join(values)
    return 0


cdef int _proxied(dict environ, tuple destination) except -1:
    """Where a client had connected that came through the PROXY protocol, by Gunicorn's names."""
    host, port = destination
    environ["PROXY_PROTOCOL"] = "TCP6" if ":" in host else "TCP4"
    environ["PROXY_ADDR"] = host
    environ["PROXY_PORT"] = str(port)
    return 0


cdef int _mount(dict environ, str script_name) except -1:
    """The application lives below `script_name`: PATH_INFO is what follows it."""
    cdef str path = environ[PATH_INFO]
    script_name = script_name.rstrip("/")
    environ["SCRIPT_NAME"] = script_name
    if path == script_name or path.startswith(script_name + "/"):
        environ[PATH_INFO] = path[len(script_name):]
    return 0
