"""Tests run alike everywhere: no deadlines of Hypothesis, since machines are shared, no proxy of the environment
between tests and their servers on the loopback interface, and signals that do what they do on a terminal. And they
run alike whichever ran before: no module leaves its variables, its directory or its handlers to the next one."""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

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
    r"/tests/unit/(bench|chaos|hostile)/"
    r"|/tests/(functional|integration)/test_(bench|chaos|demo|limits|local_stack)"
)
"""Tests of bin/bench, bin/chaos, bin/demo, and of the embedded stack as a whole, by their paths."""

SLOW = re.compile(
    r"/tests/recipes/"
    r"|/tests/functional/test_(what_shows|redrive|reconcile|compact|releases|same_bytes|missing_rows|real_prometheus)"
    r"|/tests/integration/test_storage_write"
)
"""Each file takes ten seconds of a core or of waiting, or many more, without the real KCL."""


LEFT_OUT = "not tools and not integration and not slow and not long"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--quick",
        action="store_true",
        help=f"-m '{LEFT_OUT}', and a quarter of the examples of each property",
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("quick"):
        config.option.markexpr = LEFT_OUT
        settings.load_profile("quick")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """What is left out by its path is not even imported, which would take each process some seconds."""
    left_out = config.getoption("quick") and (
        TOOLS.search(collection_path.as_posix()) or SLOW.search(collection_path.as_posix())
    )
    return True if left_out else None


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
