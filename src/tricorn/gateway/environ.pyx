"""How a request head becomes a WSGI environ (PEP 3333, "environ Variables"; RFC 3875 §4.1).

Each Python object is made once, straight into the dict: names come from a table of keys beside the engine's
table of names, so the common ones are neither changed in case nor allocated.

Knows: heads, environ keys, header policy. Must not know: sockets, HTTP versions.
"""

from cpython.dict cimport PyDict_Copy, PyDict_SetItem, PyDict_Size
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from cpython.unicode cimport PyUnicode_DecodeLatin1
from libc.string cimport memchr

import sys

from tricorn.gateway.translator cimport Peer, Translator, decoded_path, method_of
from tricorn.http.names cimport CONTENT_LENGTH, CONTENT_TYPE, COOKIE, NAME_SLOTS
from tricorn.http.request cimport Field, RequestHead

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
cdef str HTTP_11 = sys.intern("HTTP/1.1")
cdef str HTTP_10 = sys.intern("HTTP/1.0")


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


cdef object _path(RequestHead head):
    """The path, percent-decoded, its bytes as latin-1 (PEP 3333, "Unicode Issues")."""
    if head.path.length == 0:
        return "" if head.is_connect else "/"
    if memchr(head.data + head.path.start, c'%', head.path.length) == NULL:
        return head.text(head.path)
    return decoded_path(head).decode("latin-1")


cdef class EnvironBuilder(Translator):
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
        Translator.__init__(self, policy)
        self.script_name = script_name

    cdef dict build(self, RequestHead head, Peer peer):
        """Raises ProtocolError where the header policy refuses the request."""
        cdef dict environ = PyDict_Copy(self.base)
        PyDict_SetItem(environ, REQUEST_METHOD, method_of(head))
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
        if self.may_claim(head, peer):
            self._forwarded(environ, head, peer)
        return environ

    cdef int _fields(self, dict environ, RequestHead head, Peer peer) except -1:
        cdef Field* field
        cdef PyObject* there
        cdef Py_ssize_t size
        cdef int i
        for i in range(head.count):
            field = &head.fields[i]
            if field.underscore and not self.admits(head, field.name, peer):
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


cdef int _mount(dict environ, str script_name) except -1:
    """The application lives below `script_name`: PATH_INFO is what follows it."""
    cdef str path = environ[PATH_INFO]
    script_name = script_name.rstrip("/")
    environ["SCRIPT_NAME"] = script_name
    if path == script_name or path.startswith(script_name + "/"):
        environ[PATH_INFO] = path[len(script_name):]
    return 0
