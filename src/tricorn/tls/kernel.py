"""Whether the kernel can encrypt what TLS connections send, so that files need not be copied (kernel TLS).

Knows: what Linux and Python's OpenSSL say of it. Must not know: settings, connections of clients.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import ssl
from pathlib import Path

from tricorn.net.loopback import connection_with_ourselves

#: SSL_OP_ENABLE_KTLS (OpenSSL 3.0), for which Python has a name since 3.12.
ENABLE = int(getattr(ssl, "OP_ENABLE_KTLS", 1 << 3))

#: Of Linux: linux/tcp.h, linux/tls.h.
_TCP_ULP, _SOL_TLS, _TLS_TX = 31, 282, 1
#: What TCP can be made to carry by modules that are loaded, as words.
_LOADED = Path("/proc/sys/net/ipv4/tcp_available_ulp")


def is_loaded() -> bool:
    """Whether the kernel has TLS at hand. Asking for it (`obstacle`) has root load the module."""
    try:
        return "tls" in _LOADED.read_text().split()
    except OSError:
        return False


def obstacle(context: ssl.SSLContext) -> str | None:
    """Why the kernel does not encrypt what a connection with this context sends. None: it does.

    It is tried, by a handshake with ourselves over the loopback interface: too many have a say in it (the
    kernel, the way in which OpenSSL and Python were built, the cipher)."""
    if ssl.OPENSSL_VERSION_INFO < (3, 0):
        return f"{ssl.OPENSSL_VERSION} cannot do it, OpenSSL 3.0 can"
    if not _shows_openssl():
        return "this Python keeps its OpenSSL to itself"
    try:
        with connection_with_ourselves() as (server, client):
            return _tried(context, server, client)
    except OSError as error:
        if error.errno == errno.ENOENT:
            return "the kernel has no TLS: its module `tls` is not loaded, or was not built"
        return f"it cannot be tried: {error}"


def _shows_openssl() -> bool:
    """Whether functions of OpenSSL can be found in what Python's `ssl` has loaded."""
    try:
        import _ssl
        import ctypes

        return hasattr(ctypes.CDLL(getattr(_ssl, "__file__", None)), "BIO_new_socket")
    except (ImportError, OSError):
        return False


def _tried(context: ssl.SSLContext, server: socket.socket, client: socket.socket) -> str | None:
    client.setsockopt(socket.IPPROTO_TCP, _TCP_ULP, b"tls")
    anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    server.setblocking(False)
    client.setblocking(False)
    with (
        context.wrap_socket(server, server_side=True, do_handshake_on_connect=False) as ours,
        anybody.wrap_socket(client, do_handshake_on_connect=False) as theirs,
    ):
        for end in (theirs, ours, theirs, ours):
            with contextlib.suppress(ssl.SSLError):  # it waits for the other end, or misses a certificate
                end.do_handshake()
        if _encrypts(ours):
            return None
        return f"{ssl.OPENSSL_VERSION} was built without it, or the kernel does not know {_name(ours)}"


def _encrypts(connection: socket.socket) -> bool:
    """Whether the kernel has keys for what is sent on it."""
    try:
        connection.getsockopt(_SOL_TLS, _TLS_TX, 4)
    except OSError:
        return False
    return True


def _name(connection: ssl.SSLSocket) -> str:
    cipher = connection.cipher()
    return cipher[0] if cipher else "the cipher"
