"""No function reads or writes beside its buffers: sanitizers look on while random input goes through."""

import subprocess
from pathlib import Path

import pytest

from consumer.native.library import SOURCES
from tests.unit.native.compilers import compiled, compiler_with

DRIVER = Path(__file__).with_name("drive_sanitized.c")
OPTIONS = ("-std=c11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-I", str(SOURCES))
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
INCLUDED = ("columns.c", "rows.c")
"""By the driver, which has to know their structures."""

ROUNDS = 5_000
"""To look for longer, run the driver alone with more of them and another seed."""


@pytest.fixture(scope="module")
def compiler() -> list[str]:
    found = compiler_with(*SANITIZERS)
    if found is None:
        pytest.skip("no C compiler with AddressSanitizer and UBSan on this machine")
    return found


@pytest.mark.parametrize("variant", [(), ("-DPORTABLE",)], ids=["vectors", "portable"])
def test_nothing_is_touched_beside_the_buffers(
    variant: tuple[str, ...], compiler: list[str], tmp_path: Path
) -> None:
    sources = [path for path in sorted(SOURCES.glob("*.c")) if path.name not in INCLUDED]
    program = compiled([*compiler, *OPTIONS, *SANITIZERS, *variant, DRIVER, *sources], tmp_path / "drive")
    driven = subprocess.run([program, str(ROUNDS), "1"], capture_output=True, text=True, check=False)
    assert driven.returncode == 0, driven.stderr
    counts = [int(word) for word in driven.stdout.split() if word.isdecimal()]
    assert len(counts) == 7
    assert min(counts) > 0, "some function was never sure of anything"
