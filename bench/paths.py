"""Where things lie. Everything that is made goes to `.bench/`, except the pages in `docs/`."""

import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent
APPS = BENCH / "apps"
WORK = ROOT / ".bench"
LOGS = WORK / "logs"
DOCS = ROOT / "docs"
FLOOR = WORK / "floor"
WSLOAD = WORK / "wsload"
OPENLOAD = WORK / "openload"
TLSLOAD = WORK / "tlsload"
TLS = WORK / "tls"
AUTHORITY = TLS / "ca.pem"
CERTIFICATE = TLS / "localhost.pem"
KEY = TLS / "localhost.key"
FACTS = WORK / "facts.json"
SLOWCLOCK = WORK / "slowclock.so"
INSTRUCTIONS = BENCH / "instructions.json"
FILE_1MB = WORK / "1mb.bin"
FILES = WORK / "files"  # what servers answer from a directory
FILE_10K = FILES / "10k.bin"
PYTHON_VERSION = ".".join(map(str, sys.version_info[:3]))
PEERS_VENV = WORK / f"venv-{PYTHON_VERSION}"
OWN_BIN = Path(sys.executable).parent
