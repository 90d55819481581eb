"""Whom `user` and `group` mean. That workers really become them is tested in test_arbiter.py."""

from __future__ import annotations

import os

import pytest

from tricorn.arbiter.privileges import Identity, identity_for
from tricorn.config.errors import ConfigError

ROOT = os.geteuid() == 0


def test_nobody_else() -> None:
    assert identity_for(None, None) == Identity(None, None, None)
    identity_for(None, None).assume()


@pytest.mark.skipif(not ROOT, reason="needs root")
def test_a_user_brings_its_group() -> None:
    identity = identity_for(1, None)
    assert identity.name is not None
    assert identity.gid is not None


@pytest.mark.skipif(not ROOT, reason="needs root")
def test_an_unknown_user_does_not_keep_roots_group() -> None:
    with pytest.raises(ConfigError, match="set group"):
        identity_for(54321, None)


@pytest.mark.skipif(ROOT, reason="needs not to be root")
def test_only_root_can_become_another() -> None:
    with pytest.raises(ConfigError, match="only root"):
        identity_for(0, None)


@pytest.mark.skipif(not ROOT, reason="needs root")
def test_there_is_no_way_back() -> None:
    child = os.fork()
    if child == 0:
        try:
            identity_for(12345, 23456).assume()
            os.setuid(0)
        except PermissionError:
            os._exit(0 if os.getgroups() == [23456] and os.getresuid() == (12345,) * 3 else 2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
