"""One authority for all tests of TLS, and settings beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tls.authority import Authority, Issued, need_openssl

from tricorn.config.settings import Settings


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    need_openssl()
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def site(authority: Authority) -> Issued:
    return authority.issue("site.test", "www.site.test")


@pytest.fixture(scope="session")
def shop(authority: Authority) -> Issued:
    return authority.issue("shop.test", "*.shop.test")


MakeSettings = Callable[..., Settings]


@pytest.fixture
def settings_for(tmp_path: Path) -> MakeSettings:
    """Settings with these values. Relative paths mean the test's directory."""

    def make(certificate: Issued | None = None, **values: Any) -> Settings:
        if certificate is not None:
            values = {
                "certfile": str(certificate.certfile),
                "keyfile": str(certificate.keyfile),
                **values,
            }
        return Settings(chdir=str(tmp_path), **values)

    return make
