"""The C targets: the library's functions under AddressSanitizer and UBSan, fed by libFuzzer where there is one.

libFuzzer chooses inputs by what they reach in the code, and keeps those in var/fuzz/corpus; standalone.c makes them up.
"""

import os
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from consumer.native.sources import SOURCES
from tests.fuzz.findings import FOLDER, Finding
from tests.fuzz.inputs import CHOICE_BYTES, corpus
from tests.unit.native.compilers import compiled, compiler_with

C_TARGETS: Mapping[str, str] = {
    "json": "json.c and judge.c: what is JSON on one line, what is JSON at all, and where the fields are",
    "base64": "base64.c",
    "messages": "messages.c: parse_records, at once and in pieces",
    "write_rows": "rows.c: rows of insertAll",
    "find_rows": "columns.c: rows of `row = log`, and times",
    "find_groups": "routes.c: records by the values that keys name",
    "write_typed": "typed_columns.c: rows of `row = fields`",
}
"""As c/targets.c has them."""

HERE = Path(__file__).with_name("c")
INCLUDED = ("columns.c", "fields.c", "messages.c", "routes.c", "rows.c")
"""By targets.c, which has to know their structures."""

OPTIONS = ("-std=c11", "-D_DEFAULT_SOURCE", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-I", str(SOURCES))
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
FUZZER = ("-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all")
_EMPTY_TARGET = "int LLVMFuzzerTestOneInput(void) { return 0; }\n"
LONGEST = 4096
"""Bytes of an input: all that the functions tell apart is far shorter."""


@dataclass(frozen=True)
class Program:
    """targets.c with what makes its inputs."""

    path: Path
    has_libfuzzer: bool

    def run(
        self, target: str, *, seed: int, inputs: int | None, seconds: float | None
    ) -> tuple[str, Finding | None]:
        """What was done, in words, and the first finding."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            known = _written(target, folder / "known")
            kept = folder / "finding"
            command = self._libfuzzer if self.has_libfuzzer else self._standalone
            done = subprocess.run(
                [self.path, *command(target, known, kept, seed, inputs, seconds)],
                env={**os.environ, "FUZZ_TARGET": target},
                cwd=folder,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
            )
            if done.returncode == 0:
                return _summary(done.stdout + done.stderr), None
            data = kept.read_bytes() if kept.exists() else b""
            return "", Finding(
                target, data if self.has_libfuzzer else _unframed(data), done.stdout + done.stderr
            )

    def repeat(self, target: str, data: bytes) -> str | None:
        """What the program says of an input, None where it has nothing to say."""
        with tempfile.TemporaryDirectory() as name:
            path = Path(name) / "input"
            path.write_bytes(data)
            arguments = [path] if self.has_libfuzzer else [target, "0", "0", "0", Path(name) / "kept", path]
            done = subprocess.run(
                [self.path, *arguments],
                env={**os.environ, "FUZZ_TARGET": target},
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
            )
        return None if done.returncode == 0 else done.stdout + done.stderr

    def _libfuzzer(
        self, target: str, known: Path, kept: Path, seed: int, inputs: int | None, seconds: float | None
    ) -> Sequence[str | Path]:
        grown = FOLDER / "corpus" / target
        grown.mkdir(parents=True, exist_ok=True)
        limits = [] if inputs is None else [f"-runs={inputs}"]
        limits += [] if seconds is None else [f"-max_total_time={round(seconds)}"]
        dictionary = known.with_name("dictionary")
        dictionary.write_text(_dictionary())
        options = [
            f"-seed={seed or 1}",
            f"-max_len={LONGEST}",
            f"-dict={dictionary}",
            f"-exact_artifact_path={kept}",
        ]
        return [*options, *limits, "-print_final_stats=1", grown, known]

    def _standalone(
        self, target: str, known: Path, kept: Path, seed: int, inputs: int | None, seconds: float | None
    ) -> Sequence[str | Path]:
        runs = 10**12 if inputs is None else inputs
        return [target, str(runs), str(round(seconds or 0)), str(seed), kept, *sorted(known.iterdir())]


@cache
def fuzzer() -> Program | None:
    """With libFuzzer if some compiler has it, else with standalone.c; None without a compiler that has sanitizers."""
    folder = FOLDER / "programs"
    folder.mkdir(parents=True, exist_ok=True)
    compiler = compiler_with(*FUZZER, source=_EMPTY_TARGET)
    if compiler is not None:
        return Program(compiled([*compiler, *OPTIONS, *FUZZER, *_sources()], folder / "fuzzer"), True)
    return standalone(folder)


def standalone(folder: Path, *options: str) -> Program | None:
    compiler = compiler_with(*SANITIZERS)
    if compiler is None:
        return None
    command: list[str | Path] = [
        *compiler,
        *OPTIONS,
        *SANITIZERS,
        *options,
        HERE / "standalone.c",
        *_sources(),
    ]
    return Program(compiled(command, folder / "standalone"), False)


def _sources() -> list[Path]:
    return [
        HERE / "targets.c",
        *(path for path in sorted(SOURCES.glob("*.c")) if path.name not in INCLUDED),
    ]


def _written(target: str, folder: Path) -> Path:
    """The corpus, a file for each text."""
    folder.mkdir()
    for number, content in enumerate(corpus("messages" if target == "messages" else "payloads")):
        line_end = b"\n" if target == "messages" else b""
        (folder / f"{number:04}").write_bytes(number.to_bytes(CHOICE_BYTES) + content + line_end)
    return folder


def _dictionary() -> str:
    pieces = re.findall(r'"((?:[^"\\]|\\.)*)"', _between(HERE / "standalone.c", "PIECES[] = {", "};"))
    return "".join(f'"{_as_libfuzzer_has_it(piece)}"\n' for piece in pieces if piece)


def _between(path: Path, begin: str, end: str) -> str:
    return path.read_text().partition(begin)[2].partition(end)[0]


def _as_libfuzzer_has_it(piece: str) -> str:
    """It knows fewer escapes than C."""
    short = {"\\t": "\\x09", "\\n": "\\x0a", "\\r": "\\x0d"}
    return re.sub(r"\\[tnr]", lambda found: short[found[0]], piece)


def _unframed(data: bytes) -> bytes:
    size = int.from_bytes(data[:8], "little")
    return data[8 : 8 + size]


def _summary(output: str) -> str:
    done = re.search(r"number_of_executed_units: *(\d+)", output)
    return f"{done[1]} inputs" if done else output.strip().splitlines()[-1]
