STATES: tuple[str, ...]
EVENTS: tuple[str, ...]
TRANSITIONS: tuple[tuple[str, str, str, str], ...]

class ServerMachine:
    """The server's side of one HTTP/1 connection, without a socket: see machine.pyx."""
