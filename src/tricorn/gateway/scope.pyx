"""How a request head becomes an ASGI scope (ASGI 3, "HTTP & WebSocket ASGI Message Format", version 2.5).

The base scope of a listener is copied and filled: it has what most requests (a GET without a query) have in common, and the path
and the client of the last one, since the next is often the same. Header names come from a table beside the engine's table of
names, so the common ones are never changed in case and never allocated.

The dicts in a scope are the application's, which may change and keep them. Most leave them alone: so they are taken back when a
request is over, and given to the next one if nobody has kept them and they hold what they held. A copy of each costs a tenth of a small request.

Knows: heads, scope keys, header policy. Must not know: where bytes come from, tasks, HTTP versions beyond their number.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_Copy, PyDict_SetItem
from cpython.list cimport PyList_New, PyList_SET_ITEM
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF, Py_XDECREF
from cpython.tuple cimport PyTuple_New, PyTuple_SET_ITEM
from cpython.unicode cimport PyUnicode_DecodeLatin1
from libc.string cimport memchr, memcmp

import re
import sys

from tricorn.gateway.request_builder cimport LONGEST_KEPT, Peer, RequestBuilder, decoded_path, is_repeated
from tricorn.http.names cimport NAME_SLOTS, equals_lower
from tricorn.http.request cimport Field, RequestHead, Span

cdef extern from "Python.h":
    PyObject* PyTuple_GET_ITEM(object, Py_ssize_t)
    Py_ssize_t PyTuple_GET_SIZE(object)
    Py_ssize_t PyDict_GET_SIZE(PyObject*)
    Py_ssize_t Py_REFCNT(PyObject*)
    bint next_of_dict "PyDict_Next"(PyObject*, Py_ssize_t*, PyObject**, PyObject**)

cdef PyObject* KEYS[NAME_SLOTS]     # strong references, made when a name is first seen

cdef PyObject* PAIRS[NAME_SLOTS]    # strong references: the last pair of each name that clients repeat
cdef bint IS_REPEATED[NAME_SLOTS]

# A pattern, because to take a list of separators apart costs 150 ns for each of them.
cdef object NAMES_TRAILERS = re.compile(rb"(?:^|,)[ \t]*trailers[ \t]*(?:[,;]|\Z)", re.IGNORECASE).search

cdef str ASGI = sys.intern("asgi")
cdef str METHOD = sys.intern("method")
cdef str PATH = sys.intern("path")
cdef str RAW_PATH = sys.intern("raw_path")
cdef str QUERY_STRING = sys.intern("query_string")
cdef str HEADERS = sys.intern("headers")
cdef str CLIENT = sys.intern("client")
cdef str HTTP_VERSION = sys.intern("http_version")
cdef str EXTENSIONS = sys.intern("extensions")
cdef str STATE = sys.intern("state")
cdef str GET = sys.intern("GET")

# The place of each key, so that filling a copy only replaces values.
cdef tuple ORDER = (
    "type", "asgi", "http_version", "server", "client", "scheme", "method", "root_path", "path", "raw_path",
    "query_string", "headers", "extensions",
)


class Fixed(dict):
    """What the scopes of all requests share, so none of them may change it. A copy is a dict as any other."""

    __slots__ = ()

    def _refuse(self, *values, **more):
        raise TypeError("this dict belongs to the scopes of all requests: put another one in its place")

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self):
        return dict, (dict(self),)


cdef object OFFERED = Fixed()

# The extension with what a gateway says of a request by CGI's names.
cdef str VARIABLES = "tricorn.uwsgi"
# Versions of HTTP, as scopes have them.
cdef dict VERSIONS = {10: "1.0", 11: "1.1", 20: "2", 30: "3"}


cdef inline object _name(RequestHead head, Field* field):
    """The lower-case name of a field."""
    if field.slot < 0:
        return head.raw(field.name).lower()
    if KEYS[field.slot] == NULL:
        name = head.raw(field.name).lower()
        Py_INCREF(name)
        KEYS[field.slot] = <PyObject*>name
        IS_REPEATED[field.slot] = is_repeated(name)
    return <object>KEYS[field.slot]


cdef object _path(RequestHead head):
    """The path, percent-decoded, then UTF-8; a path that is none is taken for latin-1, so that nothing is lost."""
    if head.path.length == 0:
        return "" if head.is_connect else "/"
    if memchr(head.data + head.path.start, c'%', head.path.length) == NULL:
        return PyUnicode_DecodeLatin1(<const char*>head.data + head.path.start, head.path.length, NULL)
    return _text(decoded_path(head))


cdef str _text(bytes path):
    try:
        text = path.decode("utf-8")
    except UnicodeDecodeError:
        text = path.decode("latin-1")
    return text


cdef bint _takes_trailers(RequestHead head):
    """Whether a TE field names trailers (RFC 9110 §6.5.1): other clients would drop them."""
    cdef Field* field
    cdef int i
    for i in range(head.count):
        field = &head.fields[i]
        if field.name.length == 2 and equals_lower(head.data + field.name.start, 2, b"te"):
            if NAMES_TRAILERS(head.raw(field.value)) is not None:
                return True
    return False


cdef class ScopeBuilder(RequestBuilder):
    """Builds scopes for requests that came in through one listener.

    server: (host, port) or (path, None) of the listener. root_path: where the application is mounted, for proxies that
    cut it off. state: the lifespan's, of which every request gets a shallow copy; None: there is no lifespan. extensions: what
    is offered to clients that can make use of it. scheme: http, or https where the listener speaks TLS. drain: what `tricorn.drain` is.
    """

    def __init__(
        self, object policy, tuple server, str root_path="", dict state=None, extensions=(), str scheme="http", drain=None,
    ):
        RequestBuilder.__init__(self, policy)
        self.base = dict.fromkeys(ORDER)
        self.base.update(
            type="http", http_version="1.1", server=server, scheme=scheme, method="GET", root_path="", query_string=b"",
        )
        if state is not None:
            self.base["state"] = None
        self.state = state
        self.versions = {"version": "3.0", "spec_version": "2.5"}
        self.extensions_11 = {
            name: OFFERED for name in extensions if name.startswith("http.") and name != "http.response.trailers"
        }
        self.drain = {"tricorn.drain": drain} if drain is not None and "tricorn.drain" in extensions else {}
        self.extensions_11.update(self.drain)
        self.versions_flat = _flat(self.versions)
        self.extensions_flat = _flat(self.extensions_11)
        self.extensions_10 = dict(self.extensions_11)
        self.extensions_10.pop("http.response.early_hint", None)    # HTTP/1.0 has no interim responses
        self.offers_trailers = "http.response.trailers" in extensions
        self.offers_variables = VARIABLES in extensions
        self.offers_refusals = "websocket.http.response" in extensions
        self.root_path = root_path
        self._renew()

    cdef dict build(self, RequestHead head, Peer peer, str method, str target, bint* trailers):
        """Raises ProtocolError where the header policy refuses the request."""
        cdef dict scope
        if self.lent:
            self._renew()
        if head.path.length == 0 or self.raw_path is None or not _is_same(head, head.path, self.raw_path):
            self._place_path(head, target)
        client = peer.client()
        if client is not self.client:
            PyDict_SetItem(self.base, CLIENT, client)
            self.client = client
        scope = PyDict_Copy(self.base)
        self.lent = True
        if method is not GET:
            PyDict_SetItem(scope, METHOD, method)
        if head.has_query:
            PyDict_SetItem(scope, QUERY_STRING, head.raw(head.query))
        PyDict_SetItem(scope, HEADERS, self._headers(head, peer))
        if head.version == 10:
            PyDict_SetItem(scope, HTTP_VERSION, "1.0")
            PyDict_SetItem(scope, EXTENSIONS, PyDict_Copy(self.extensions_10))
        elif head.version == 20:
            PyDict_SetItem(scope, HTTP_VERSION, "2")
        trailers[0] = self.offers_trailers and head.version != 10 and _takes_trailers(head)
        if trailers[0]:
            PyDict_SetItem(scope, EXTENSIONS, {**self.extensions_11, "http.response.trailers": OFFERED})
        if self.state:
            PyDict_SetItem(scope, STATE, PyDict_Copy(self.state))
        if head.authority.length and not head.is_connect:
            # RFC 9112 §3.2.2: the authority of an absolute-form target replaces Host.
            _replace_host(scope, head.raw(head.authority))
        if head.spoken:
            self._variables(scope, head)
        if self.may_claim(head, peer):
            self._forwarded(scope, head, peer)
        if self.root_path and not scope["root_path"]:
            self._set_root_path(scope, self.root_path, True)
        return scope

    cdef int take_back(self) except -1:
        """What the application has kept or changed is replaced: it belongs to whoever has it, and ends with that."""
        if not self.lent:
            return 0
        if not _is_as_it_was(<PyObject*>self.own_versions, self.versions_flat):
            self._renew_versions()
        if not _is_as_it_was(<PyObject*>self.own_extensions, self.extensions_flat):
            self._renew_extensions()
        if self.own_state is not None and not _is_as_it_was(<PyObject*>self.own_state, ()):
            self._renew_state()
        self.lent = False
        return 0

    cdef int _renew(self) except -1:
        """Another request still has them."""
        self._renew_versions()
        self._renew_extensions()
        if self.state is not None:
            self._renew_state()
        self.lent = False
        return 0

    cdef int _renew_versions(self) except -1:
        self.own_versions = PyDict_Copy(self.versions)
        return PyDict_SetItem(self.base, ASGI, self.own_versions)

    cdef int _renew_extensions(self) except -1:
        self.own_extensions = PyDict_Copy(self.extensions_11)
        return PyDict_SetItem(self.base, EXTENSIONS, self.own_extensions)

    cdef int _renew_state(self) except -1:
        self.own_state = {}
        return PyDict_SetItem(self.base, STATE, self.own_state)

    cdef int _place_path(self, RequestHead head, str target) except -1:
        self.raw_path = None        # until both are there
        if head.path.length == head.target.length and head.path.start == head.target.start and memchr(
            head.data + head.path.start, c'%', head.path.length
        ) == NULL:
            PyDict_SetItem(self.base, PATH, target)
        else:
            PyDict_SetItem(self.base, PATH, _path(head))
        raw_path = head.raw(head.path) if head.path.length or head.is_connect else b"/"
        PyDict_SetItem(self.base, RAW_PATH, raw_path)
        if head.path.length:
            self.raw_path = raw_path
        return 0

    cdef list _headers(self, RequestHead head, Peer peer):
        cdef Field* field
        cdef tuple pair
        cdef list headers
        cdef bytes value
        cdef int i
        if head.has_underscore:
            return self._admitted(head, peer)
        headers = PyList_New(head.count)
        for i in range(head.count):
            field = &head.fields[i]
            pair = _pair(head, field)
            Py_INCREF(pair)
            PyList_SET_ITEM(headers, i, pair)
        return headers

    def _admitted(self, RequestHead head, Peer peer):
        """Without the fields that the policy drops."""
        cdef Field* field
        cdef int i
        headers = []
        for i in range(head.count):
            field = &head.fields[i]
            if not field.underscore or self.admits(head, field.name, peer):
                headers.append(_pair(head, field))
        return headers

    cdef int _forwarded(self, dict scope, RequestHead head, Peer peer) except -1:
        """What a trusted proxy says about its client replaces what we see of the proxy."""
        root_path = self.mount(head)
        if root_path is not None:
            self._set_root_path(scope, root_path, False)
        found = self.claims(head, peer, scope["scheme"])
        if found is None:
            return 0
        scope["client"] = (found.client_host, found.client_port or 0) if found.client_host else None
        scope["scheme"] = found.scheme
        if found.host is not None:
            _replace_host(scope, found.host.encode("latin-1"))
            name = found.host.partition(":")[0] if found.host[:1] != "[" else found.host
            scope["server"] = (name, scope["server"][1])
        if found.port is not None:
            scope["server"] = (scope["server"][0], found.port)
        if found.prefix is not None:
            self._set_root_path(scope, found.prefix, True)
        return 0

    cdef int _variables(self, dict scope, RequestHead head) except -1:
        """What a gateway says beside fields."""
        cdef Field* variable
        cdef int i
        cdef dict said = {}
        for i in range(head.count, head.count + head.params):
            variable = &head.fields[i]
            said[head.text(variable.name)] = head.text(variable.value)
        scope["http_version"] = VERSIONS[head.spoken]
        scope["scheme"] = "https" if head.is_secure else "http"
        host, port = scope["server"]
        number = said.get("SERVER_PORT", "")
        if number.isascii() and number.isdigit() and len(number) <= 5:
            port = int(number)
        scope["server"] = (said.get("SERVER_NAME") or host, port)
        if head.script.length:
            self._set_root_path(scope, _text(head.raw(head.script)), False)
        if self.offers_variables:
            scope["extensions"] = {**scope["extensions"], VARIABLES: said}
        return 0

    cdef int make_websocket(self, dict scope, list subprotocols) except -1:
        """ASGI, "Websocket Connection Scope": there is no method, and the scheme is ws or wss."""
        del scope["method"]
        scope["type"] = "websocket"
        scope["scheme"] = "wss" if scope["scheme"] == "https" else "ws"
        scope["subprotocols"] = subprotocols
        if scope["http_version"] == "2":
            # Applications look for these (python-engineio). A proxy that speaks HTTP/1.1 to them puts them there as well (RFC 8441 §5).
            scope["headers"] = [*scope["headers"], (b"connection", b"Upgrade"), (b"upgrade", b"websocket")]
        said = scope["extensions"].get(VARIABLES)
        scope["extensions"] = {"websocket.http.response": OFFERED, **self.drain} if self.offers_refusals else dict(self.drain)
        if said is not None:
            scope["extensions"][VARIABLES] = said
        return 0

    cdef int _set_root_path(self, dict scope, str root_path, bint stripped) except -1:
        """`path` includes the root path. stripped: the proxy has cut it off, so it has to be put back."""
        scope["root_path"] = root_path
        if stripped and root_path:
            scope["path"] = root_path + scope["path"]
            scope["raw_path"] = _quoted(root_path) + scope["raw_path"]
        return 0


cdef inline bint _is_same(RequestHead head, Span span, bytes value) noexcept:
    return PyBytes_GET_SIZE(value) == span.length and memcmp(
        PyBytes_AS_STRING(value), head.data + span.start, span.length
    ) == 0


cdef tuple _flat(dict model):
    return tuple([part for item in model.items() for part in item])


cdef bint _is_as_it_was(PyObject* lent, tuple model) except -1:
    """Only we have it (in the base and here), and it has the same values in the same order. model: as _flat() makes it."""
    cdef PyObject* key
    cdef PyObject* value
    cdef Py_ssize_t at = 0
    cdef Py_ssize_t i = 0
    if Py_REFCNT(lent) != 2 or 2 * PyDict_GET_SIZE(lent) != PyTuple_GET_SIZE(model):
        return False
    while next_of_dict(lent, &at, &key, &value):
        if key != PyTuple_GET_ITEM(model, i) or value != PyTuple_GET_ITEM(model, i + 1):
            return False
        i += 2
    return True


cdef inline tuple _pair(RequestHead head, Field* field):
    cdef tuple kept
    cdef PyObject* value
    if field.slot < 0 or not IS_REPEATED[field.slot] or field.value.length > LONGEST_KEPT:
        return _new_pair(head, field)
    if PAIRS[field.slot] != NULL:
        kept = <tuple>PAIRS[field.slot]
        value = PyTuple_GET_ITEM(kept, 1)
        if _is_same(head, field.value, <bytes>value):
            return kept
    kept = _new_pair(head, field)
    Py_INCREF(kept)
    Py_XDECREF(PAIRS[field.slot])
    PAIRS[field.slot] = <PyObject*>kept
    return kept


cdef inline tuple _new_pair(RequestHead head, Field* field):
    cdef tuple pair = PyTuple_New(2)
    name = _name(head, field)
    Py_INCREF(name)
    PyTuple_SET_ITEM(pair, 0, name)
    value = PyBytes_FromStringAndSize(<const char*>head.data + field.value.start, field.value.length)
    Py_INCREF(value)
    PyTuple_SET_ITEM(pair, 1, value)
    return pair


cdef bytes _quoted(str path):
    """Percent-encoded where a path could not stand in a request line as it is (RFC 3986 §3.3)."""
    return b"".join([
        b"%c" % c if 0x21 <= c < 0x7F and c not in b"%?#" else b"%%%02X" % c for c in path.encode("utf-8")
    ])


cdef int _replace_host(dict scope, bytes host) except -1:
    scope["headers"] = [(b"host", host), *[pair for pair in scope["headers"] if pair[0] != b"host"]]
    return 0


cdef bytes header_of(dict scope, bytes name):
    """All values of a field as one list; None: there is no such field."""
    values = [value for found, value in scope["headers"] if found == name]
    return b", ".join(values) if values else None
