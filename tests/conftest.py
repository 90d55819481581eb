"""What all tests begin with."""

from __future__ import annotations

import signal

import pytest


def pytest_configure(config: pytest.Config) -> None:  # noqa: ARG001 - the signature of a hook
    """A shell starts what runs in the background with these ignored. No server may inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGQUIT) is signal.SIG_IGN:
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)
