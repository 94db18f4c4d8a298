import os

import pytest

from tests.container.engine import ROOT, Engine, missing

ASKED = "CONSUMER_CONTAINER"


@pytest.fixture(scope="session")
def engine() -> Engine:
    """An engine that has built the image. Asked for, what is missing is a failure."""
    lacking = ", ".join(missing())
    if ASKED not in os.environ:
        has = f"missing here: {lacking}" if lacking else "all that it needs is here"
        pytest.skip(f"builds an image for minutes: bin/test --container; {has}")
    if lacking:
        pytest.fail(f"missing: {lacking}")
    engine = Engine(ROOT / "var" / "container")
    engine.build()
    return engine
