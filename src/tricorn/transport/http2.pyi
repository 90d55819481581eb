from tricorn.transport.request import ProtocolMaker

class HTTP2Maker(ProtocolMaker):
    """What is offered to clients of HTTP/2: see http2.pyx."""

    def __init__(self, *, streams: int, window: int, frame: int, head_list: int) -> None: ...

def library() -> str: ...
