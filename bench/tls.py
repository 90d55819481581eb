"""The certificate of the servers (ECDSA P-256, by an authority made here) and a client that asks for TLS 1.3.

For the check before a measurement, and for idle connections. Load comes from wrk and `tlsload.c`."""

import ssl
import subprocess

from bench import paths


def make_certificate() -> str:
    """One that is still valid for a week stays. Returns the reason of a failure."""
    command = [str(paths.ROOT / "tools" / "certificate"), str(paths.TLS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.stderr.strip()[-300:] if done.returncode else ""


def client() -> ssl.SSLContext:
    """It trusts that authority alone."""
    context = ssl.create_default_context(cafile=str(paths.AUTHORITY))
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context
