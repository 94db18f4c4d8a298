"""bin/fuzz."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from consumer.native import library
from tests.fuzz import natively
from tests.fuzz.findings import Finding, failure
from tests.fuzz.inputs import Input
from tests.fuzz.natively import C_TARGETS
from tests.fuzz.targets import TARGETS

_ABOUT = {**C_TARGETS, **{target.name: target.about for target in TARGETS.values()}}


def main(arguments: Sequence[str] | None = None) -> int:
    chosen = _parser().parse_args(arguments)
    if library.load() is None:
        print(f"bin/fuzz: {library.found()}; both ways would be the same one", file=sys.stderr)
        return 2
    unknown = sorted(set(chosen.targets) - _ABOUT.keys())
    if unknown:
        print(f"bin/fuzz: no target {unknown[0]!r}; there are {', '.join(_ABOUT)}", file=sys.stderr)
        return 2
    if chosen.repeat is not None:
        return _repeat(chosen.repeat, chosen.targets)
    found = [_run(name, chosen) for name in chosen.targets or _ABOUT]
    return 1 if any(found) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bin/fuzz",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Feeds odd records to the daemon's code, one target after the other, and looks at what has to be\n"
        "true of every record. A finding is made small and kept in var/fuzz, and the exit code is 1 then.",
        epilog="targets:\n" + "\n".join(f"  {name:12} {about}" for name, about in _ABOUT.items()),
    )
    parser.add_argument(
        "targets", metavar="TARGET", nargs="*", help="which of those below; all of them if none is named"
    )
    parser.add_argument("--seconds", type=float, metavar="S", default=60, help="for each target (60)")
    parser.add_argument(
        "--inputs", type=int, metavar="N", help="no more than so many for each target, whatever the time"
    )
    parser.add_argument(
        "--seed", type=int, metavar="N", default=1, help="other numbers make other inputs (1)"
    )
    parser.add_argument(
        "--repeat", type=Path, metavar="FILE", help="look at one input again, which TARGET has found"
    )
    return parser


def _run(name: str, chosen: argparse.Namespace) -> bool:
    """Whether something was found."""
    limits = {"seed": chosen.seed, "inputs": chosen.inputs, "seconds": chosen.seconds}
    if name in TARGETS:
        count, finding = TARGETS[name].run(**limits)
        done = f"{count} inputs"
    else:
        program = natively.fuzzer()
        if program is None:
            print(f"{name}: left out, since no C compiler of this machine has sanitizers", flush=True)
            return False
        done, finding = program.run(name, **limits)
    if finding is None:
        print(f"{name}: {done}, nothing found", flush=True)
        return False
    _tell(finding)
    return True


def _tell(finding: Finding) -> None:
    path = finding.keep()
    print(f"{finding.target}: FOUND\n{finding.told(path)}", flush=True)


def _repeat(path: Path, targets: Sequence[str]) -> int:
    if len(targets) != 1:
        print("bin/fuzz: --repeat wants the one target that has found it", file=sys.stderr)
        return 2
    said = _said(targets[0], path.read_bytes())
    print(said or f"{targets[0]}: nothing is wrong with it")
    return 1 if said else 0


def _said(name: str, data: bytes) -> str | None:
    if name in TARGETS:
        error = failure(TARGETS[name].check, Input.of(data))
        return None if error is None else Finding(name, data, repr(error)).said
    program = natively.fuzzer()
    return "no C compiler of this machine has sanitizers" if program is None else program.repeat(name, data)
