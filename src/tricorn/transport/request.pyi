class ProtocolMaker:
    """Makes the protocol of a connection: see request.pxd."""
