"""A transform that is tried out, in a process of its own: the caller imports none of it, and outlives whatever it does.

Every record is given to the function twice, in two processes with other seeds of hashing: what differs then does not
depend on the record alone.
"""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from consumer.domain.names import SETTING_PREFIX
from consumer.settings import PROJECT_ROOT, Finding, Settings, SettingsError, Severity
from consumer.transforms.build import input_judge
from consumer.transforms.contract import TransformError, TransformFailed, load_transform

_SECONDS = 120.0
_SEEDS = ("1", "2")
_SHOWN = 300
_KEY = "transform"


class Failure(msgspec.Struct, frozen=True):
    """Why a record became a dead letter."""

    reason: str
    detail: str


type Result = list[bytes] | Failure
"""The outputs of a record, none where it was filtered."""


class Trial(msgspec.Struct):
    """`results[i]` is of record i. `impure` are the records that came out in another way the second time; the function
    took `seconds` of CPU time for all of them."""

    file: str
    results: list[Result] = []
    seconds: float = 0.0
    impure: list[int] = []
    fault: str | None = None
    """Why there are no results: what is wrong with the function as a whole."""


class _Work(msgspec.Struct):
    place: str
    folder: str
    payloads: list[bytes]


def try_out(settings: Settings, payloads: Sequence[bytes], *, seconds: float = _SECONDS) -> Trial:
    """What the transform of the settings makes of these payloads; those that delivery would not give to it are judged
    here."""
    judge = input_judge(settings)
    refused = {
        index: Failure(fault.reason, fault.detail)
        for index, payload in enumerate(payloads)
        if (fault := judge.rejection(payload, index)) is not None
    }
    given = [payload for index, payload in enumerate(payloads) if index not in refused]
    work = _Work(settings.text(_KEY), str(settings.path("transform.folder")), given)
    first, second = (_in_a_process(work, seed, seconds) for seed in _SEEDS)
    if first.fault is not None or second.fault is not None:
        return first if second.fault is None else second
    results, others = iter(first.results), iter(second.results)
    first.results = []
    for index in range(len(payloads)):
        failure = refused.get(index)
        result = next(results) if failure is None else failure
        if failure is None and result != next(others):
            first.impure.append(index)
        first.results.append(result)
    return first


def check_transform(settings: Settings, payloads: Sequence[bytes] = (b"{}",)) -> Trial:
    """`try_out`. Raises SettingsError where the transform cannot be loaded, or depends on more than its records."""
    trial = try_out(settings, payloads)
    fault = trial.fault
    if trial.impure:
        fault = f"gives something else for record {1 + trial.impure[0]} the second time: it has to be pure"
    if fault is not None:
        message = f"{settings.text(_KEY)}: {fault}"
        finding = Finding(severity=Severity.ERROR, key=_KEY, message=message)
        raise SettingsError((finding,))
    return trial


def _in_a_process(work: _Work, seed: str, seconds: float) -> Trial:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(SETTING_PREFIX)}
    environment |= {"PYTHONPATH": str(PROJECT_ROOT), "PYTHONHASHSEED": seed}
    try:
        ended = subprocess.run(
            [sys.executable, "-P", "-m", __name__],
            input=msgspec.json.encode(work),
            capture_output=True,
            timeout=seconds,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Trial("", fault=f"is not done with {len(work.payloads)} records after {seconds:.0f} s")
    try:
        return msgspec.json.decode(ended.stdout, type=Trial)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        said = ended.stderr.decode(errors="replace").strip()[-_SHOWN:]
        return Trial("", fault=f"ends the process that runs it, with exit code {ended.returncode}: {said}")


def _main() -> None:
    # what the function prints goes to stderr
    answers = os.dup(1)
    os.dup2(2, 1)
    work = msgspec.json.decode(sys.stdin.buffer.read(), type=_Work)
    answer = msgspec.json.encode(_trial(work))
    with os.fdopen(answers, "wb") as out:
        out.write(answer)


def _trial(work: _Work) -> Trial:
    try:
        transform = load_transform(work.place, folder=Path(work.folder))
    except TransformError as error:
        return Trial("", fault=str(error).removeprefix(f"{work.place} "))
    trial = Trial(transform.file)
    began = time.process_time()
    for payload in work.payloads:
        try:
            trial.results.append(transform.outputs(payload))
        except TransformFailed as error:
            trial.results.append(Failure(error.reason, str(error)))
        except MemoryError:
            trial.results.append(Failure("transform_failed", "MemoryError: in delivery it is tried again"))
    trial.seconds = time.process_time() - began
    return trial


if __name__ == "__main__":
    _main()
