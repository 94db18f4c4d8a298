"""Makes the JVM's AOT cache: classes as the JVM keeps them, and what its compilers want to know of hot methods.

bin/setup imports this file before any package is installed: it needs the standard library alone.
"""

import hashlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = "training/__main__.py"
INPUTS = (
    "training/*.py",
    "consumer/settings/jvm.py",
    "consumer/daemon/supervise/java.py",
    "consumer/daemon/supervise/aot_cache.py",
)
"""The cache is made anew when one of these files is another: how the JVM is started, what it is shown, what is kept."""


def mark() -> str | None:
    """The name of the file that says of an environment that the cache was made, or could not be, of the present inputs.
    None in an early stage of the image, where this file is alone."""
    if not (ROOT / PROGRAM).exists():
        return None
    files = sorted(path for pattern in INPUTS for path in ROOT.glob(pattern))
    return f"trained-{hashlib.sha256(b'\0'.join(path.read_bytes() for path in files)).hexdigest()[:16]}"
