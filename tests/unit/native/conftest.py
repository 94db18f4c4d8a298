"""The C library for the tests of this folder."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from consumer.domain.names import NATIVE_VARIABLE
from consumer.native import library


@pytest.fixture(scope="session")
def native() -> Any:
    """The library. Only where nobody has asked bin/setup for it may it be missing."""
    found = library.load()
    if found is not None:
        return found
    if os.environ.get(NATIVE_VARIABLE) == "off":
        pytest.skip(f"{NATIVE_VARIABLE} is off")
    if not (Path(sys.prefix) / "setup.finished").exists():
        pytest.skip(f"{sys.prefix} was not made by bin/setup, which compiles the C library")
    pytest.fail("the C library of the present sources is missing: run bin/setup")


@pytest.fixture
def switched_off(native: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As with CONSUMER_NATIVE=off."""
    monkeypatch.setenv(NATIVE_VARIABLE, "off")
    library.found.cache_clear()
    yield
    library.found.cache_clear()
