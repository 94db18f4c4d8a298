"""Tests run alike everywhere: no deadlines of Hypothesis, since machines are shared, and no proxy of the environment
between tests and their servers on the loopback interface."""

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "consumer", deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("consumer")

for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
    del os.environ[name]
