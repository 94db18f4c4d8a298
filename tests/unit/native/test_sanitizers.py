"""No function reads or writes beside its buffers: sanitizers look on while random input goes through."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from consumer.native.library import SOURCES

DRIVER = Path(__file__).with_name("drive_sanitized.c")
OPTIONS = ("-std=c11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-I", str(SOURCES))
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
INCLUDED = ("columns.c", "rows.c")
"""By the driver, which has to know their structures."""

ROUNDS = 5_000
"""To look for longer, run the driver alone with more of them and another seed."""


@pytest.fixture(scope="module")
def compiler(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One that has the sanitizers; what bin/setup fetches has not."""
    folder = tmp_path_factory.mktemp("sanitizers")
    (folder / "empty.c").write_text("int main(void) { return 0; }\n")
    for name in (os.environ.get("CC"), "cc", "clang", "gcc"):
        if name and shutil.which(name):
            command = [name, *SANITIZERS, "empty.c", "-o", "empty"]
            if not subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode:
                return name
    pytest.skip("no C compiler with AddressSanitizer and UBSan on this machine")


@pytest.mark.parametrize("variant", [(), ("-DPORTABLE",)], ids=["vectors", "portable"])
def test_nothing_is_touched_beside_the_buffers(
    variant: tuple[str, ...], compiler: str, tmp_path: Path
) -> None:
    program = tmp_path / "drive"
    sources = [path for path in sorted(SOURCES.glob("*.c")) if path.name not in INCLUDED]
    compiled = subprocess.run(
        [compiler, *OPTIONS, *SANITIZERS, *variant, DRIVER, *sources, "-o", program],
        capture_output=True,
        text=True,
        check=False,
    )
    assert compiled.returncode == 0, compiled.stderr
    driven = subprocess.run([program, str(ROUNDS), "1"], capture_output=True, text=True, check=False)
    assert driven.returncode == 0, driven.stderr
    counts = [int(word) for word in driven.stdout.split() if word.isdecimal()]
    assert len(counts) == 7
    assert min(counts) > 0, "some function was never sure of anything"
