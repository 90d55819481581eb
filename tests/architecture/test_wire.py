"""Every byte from or to a client passes one interface: transport/wire.pyx, and what it calls layers.

So a layer (TLS) is in force wherever bytes go, and system calls that are made to misbehave meet all of them.
"""

from __future__ import annotations

import re

import pytest
from architecture.source import MODULES, Module

#: What moves bytes on a socket, or ends one of its sides.
CALLS = ("recv", "recvfrom", "recvmsg", "send", "sendto", "sendmsg", "sendfile", "splice", "shutdown")

#: module → why it may.
MAY = {
    "tricorn.transport.wire": "it is the interface",
    "tricorn.transport.tls": "a layer of it: the ciphertext of a connection",
    "tricorn.transport.kernel_tls": "of that layer: where the kernel encrypts it",
    "tricorn.transport.tls_layer": "a layer of it: ends our side behind the goodbye",
    "tricorn.transport.system": "declares them",
}

COMPILED = [module for module in MODULES if module.is_compiled]
_CIMPORT = re.compile(r"from [\w.]*system cimport (\([^)]*\)|[^\n]*)")

_EXTERN = re.compile(r'cdef extern from "<(?:sys/socket|sys/sendfile)\.h>".*?(?=\n\S|\Z)', re.DOTALL)


def imported(text: str) -> set[str]:
    """The system calls of CALLS that the code may call, by the names that they have in system.pxd."""
    found: set[str] = set()
    for names in _CIMPORT.findall(text):
        for each in re.findall(r"(\w+)(?: as (\w+))?", names):
            found |= {each[0]} & set(CALLS)
    for header in _EXTERN.findall(text):
        found |= {name for name in CALLS if re.search(rf"\b{name}\(", header)}
    return found


@pytest.mark.parametrize("module", COMPILED, ids=lambda module: f"{module.dotted}{module.path.suffix}")
def test_bytes_pass_the_wire_only(module: Module) -> None:
    if module.dotted in MAY:
        return
    assert imported(module.text) == set()


def test_the_rule_sees_what_it_is_about() -> None:
    code = {module.dotted: module.text for module in COMPILED if module.path.suffix == ".pyx"}
    assert imported(code["tricorn.transport.wire"]) >= {"recv", "send", "sendmsg", "sendfile", "shutdown"}
    assert imported("from tricorn.transport.system cimport (\n    errno, recv as read_all,\n)\n") == {"recv"}
    assert imported('cdef extern from "<sys/socket.h>" nogil:\n    ssize_t send(int, void*)\n') == {"send"}
