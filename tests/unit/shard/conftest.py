"""Bounds the tests of this folder: pytest-timeout's exception would be raised in gevent's hub, which swallows it."""

from collections.abc import Iterator

import gevent
import pytest

SAFETY_SECONDS = 60


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    with gevent.Timeout(SAFETY_SECONDS):
        yield
