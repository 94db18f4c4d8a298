"""How many examples of a property are tried: all of them, or with the profile "quick" of plain bin/test a quarter."""

from hypothesis import HealthCheck, settings

USUAL = 40
"""Examples of a test that asks for no number of its own."""

SHARE = 4


def register() -> None:
    """No deadlines, since machines are shared."""
    for name, number in (("consumer", USUAL), ("quick", USUAL // SHARE)):
        settings.register_profile(
            name, deadline=None, max_examples=number, suppress_health_check=[HealthCheck.too_slow]
        )
    settings.load_profile("consumer")


def examples(number: int) -> settings:
    """`number` of them, or the profile's share of that: for a test whose cases are rare, or dear."""
    return settings(max_examples=share_of(number))


def share_of(number: int) -> int:
    return max(1, number * settings().max_examples // USUAL)
