"""The HTTP client as a shard process has it: on sockets and TLS that wait in gevent's event loop."""

import subprocess
import sys
from pathlib import Path

from tests.unit.sinks import test_http_client


def test_it_does_under_gevent_what_it_does_without() -> None:
    module = Path(test_http_client.__file__)
    ran = subprocess.run(
        [sys.executable, "-m", "gevent.monkey", "--module", "pytest", "-q", "-p", "no:cacheprovider", module],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
