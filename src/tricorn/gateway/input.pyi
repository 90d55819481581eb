from typing import BinaryIO

#: `wsgi.input` of requests without a body (PEP 3333): one object for all of them.
EMPTY_INPUT: BinaryIO
