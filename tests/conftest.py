"""Tests run alike everywhere: no deadlines of Hypothesis, since machines are shared, no proxy of the environment
between tests and their servers on the loopback interface, and signals that do what they do on a terminal. And they
run alike whichever ran before: no module leaves its variables, its directory or its handlers to the next one."""

import os
import re
import signal
from collections.abc import Iterator

import pytest

from tests import examples
from tests.surroundings import Surroundings

examples.register()

for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
    del os.environ[name]

# a shell that starts this in the background, or nohup, has them ignored, and what tests start would inherit that
for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)

TOOLS = re.compile(
    r"/tests/unit/(bench|chaos|hostile)/|/tests/(functional|integration)/test_(bench|chaos|demo|limits)"
)
"""Tests of bin/bench, bin/chaos, bin/demo and the embedded services' limits, by their paths."""

SLOW = re.compile(r"/tests/recipes/|/tests/functional/test_(what_shows|redrive|reconcile|compact|releases)")
"""Each file is 15 seconds of a core or more, without the real KCL."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if TOOLS.search(item.path.as_posix()):
            item.add_marker(pytest.mark.tools)
        if SLOW.search(item.path.as_posix()):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True, scope="module")
def surroundings_are_left_as_they_were() -> Iterator[None]:
    found = Surroundings.of_this_process()
    yield
    changes = list(found.changes(Surroundings.of_this_process()))
    found.restore()
    if changes:
        pytest.fail("left by this module: " + "; ".join(changes), pytrace=False)


@pytest.fixture
def restored_surroundings() -> Iterator[None]:
    """For tests of commands that change them for good, since their process ends with them."""
    found = Surroundings.of_this_process()
    yield
    found.restore()
