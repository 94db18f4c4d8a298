"""Hypothesis runs alike everywhere: no deadlines, since the machines that run the tests are shared."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "consumer", deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("consumer")
