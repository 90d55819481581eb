"""Tricorn: a pre-fork application server for Python."""

from tricorn.drain import draining

__all__ = ["draining"]
__version__ = "0.1.0"
