"""How much longer than usual tests wait before they call something hung: TRICORN_TEST_PATIENCE, by default 1.

A server under a sanitizer takes several times as long for everything; `make sanitize` says so here. What a
test waits for in vain is a fault after that time as after any other; only what is measured is not.

Knows: one variable. Must not know: who waits.
"""

from __future__ import annotations

import os

PATIENCE = float(os.environ.get("TRICORN_TEST_PATIENCE", "1"))
