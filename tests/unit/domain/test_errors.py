"""Errors quote services, which may say anything, and as much of it as they like."""

import pytest

from consumer.domain.errors import (
    MESSAGE_CHARACTERS,
    DeliveryError,
    RequestRefused,
    SetupError,
    Throttled,
    TransientError,
)

LONG = "x" * 8_000_000


@pytest.mark.parametrize(
    "error",
    [TransientError(LONG), Throttled(LONG), RequestRefused(LONG), SetupError(LONG, setting="s3.bucket")],
    ids=lambda error: type(error).__name__,
)
def test_a_long_message_is_cut(error: DeliveryError) -> None:
    assert len(str(error)) == MESSAGE_CHARACTERS
    assert "…" in str(error)


def test_the_setting_is_named_however_long_the_message_is() -> None:
    assert str(SetupError(LONG, setting="s3.bucket")).endswith("x… (see s3.bucket)")
    assert str(SetupError("short", setting="s3.bucket")) == "short (see s3.bucket)"
