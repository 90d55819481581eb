"""What is sent while the server is at something else comes in order."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from pathlib import Path

from asgi_held import LARGE
from harness.websocket import BINARY, TEXT, Socket
from integration.live import message
from transport.served import Pool

CERTIFICATES = Path(__file__).parent / "certificates"


def test_what_is_sent_while_others_are_sent_comes_behind_what_is_on_its_way(serve: Pool) -> None:
    """One of several clients is gone, and what hears of it sends to another of them."""
    live = serve("asgi_held:app", kind="asgi")
    with Socket(live, "/lost") as lost, Socket(live, "/other") as other, Socket(live, "/sender") as sender:
        sender.text("go")
        time.sleep(0.2)
        lost.client.abort()
        first, second = other.receive(), other.receive()
        assert (first.opcode, first.payload) == (TEXT, b"first")
        assert (second.opcode, second.payload) == (BINARY, LARGE)


def test_the_next_request_waits_for_the_application_that_answers(serve: Pool) -> None:
    """It came with the body of the one before, which nobody wants, and is decrypted already."""
    live = serve(
        "asgi_held:app",
        f"--certfile={CERTIFICATES / 'one.example.pem'}",
        "--request-buffer-size=1000",
        kind="asgi",
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    size = 100_000
    data = message("/unread", method="POST", body=b"x" * size) + message("/")

    def block() -> None:
        with secured(live.address, context) as blocking:
            blocking.sendall(message("/block"))
            blocking.recv(1000)

    with secured(live.address, context) as client:
        client.sendall(message("/"))
        assert answer(client).endswith(b"False")
        blocker = threading.Thread(target=block)
        blocker.start()
        time.sleep(0.2)
        for at in range(0, len(data), 16_000):  # so that no read ends with a record
            client.sendall(data[at : at + 16_000])
        blocker.join()
        assert answer(client).endswith(b"False")
        assert answer(client).endswith(b"False")


def secured(address: tuple[str, int], context: ssl.SSLContext) -> ssl.SSLSocket:
    return context.wrap_socket(socket.create_connection(address, 5))


def answer(client: ssl.SSLSocket) -> bytes:
    """A response whose body is "True" or "False"."""
    received = b""
    while not received.endswith((b"\r\n\r\nTrue", b"\r\n\r\nFalse")):
        data = client.recv(1)
        assert data, received
        received += data
    return received
