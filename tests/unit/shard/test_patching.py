"""The standard library is patched, and no package is looked at for it."""

import subprocess
import sys

PROGRAM = """
from importlib import metadata

def refuse(**_):
    raise AssertionError("installed packages are looked at")

metadata.entry_points = metadata.Distribution.discover = refuse

from consumer.shard.process.patching import patch_all
patch_all()

import os, select, signal, socket, ssl, subprocess, threading, time
from gevent import monkey
assert monkey.is_module_patched("threading")
for module, name in (
    ("os", "fork"),
    ("select", "select"),
    ("signal", "getsignal"),
    ("socket", "socket"),
    ("ssl", "SSLContext"),
    ("subprocess", "Popen"),
    ("threading", "local"),
    ("time", "sleep"),
):
    assert monkey.is_object_patched(module, name), (module, name)
"""


def test_everything_is_patched_and_no_package_is_looked_at() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
