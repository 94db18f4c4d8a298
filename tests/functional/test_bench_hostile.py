"""The bench under hostile records: what its backend takes is what Google takes, and what a shard process does wrong is
told."""

import gzip
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bench import hostile_level
from tests.bench.backend import Backend, serving
from tests.bench.hostile_cases import HostileCase, hostile_cases, usual_hostile_cases
from tests.bench.hostile_input import HostileInput
from tests.bench.hostile_run import run, running, small_load
from tests.bench.kept import Kept
from tests.hostile.kinds import KINDS, Kind

INSERT = "/bigquery/v2/projects/p/datasets/d/tables/t/insertAll"
UPLOAD = "/upload/bigquery/v2/projects/p/jobs?uploadType="
GOOD = {"number": 100_000_000_001}
BAD = {"number": 100_000_000_002, "time": "no time at all"}
S3 = usual_hostile_cases()["s3"]


@pytest.fixture(scope="module")
def keeping(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    with serving("tests.bench.keep", tmp_path_factory.mktemp("keep")) as backend:
        yield backend


@pytest.fixture
def backend(keeping: Backend) -> Backend:
    keeping.forget()
    return keeping


def ask(url: str, body: bytes, *, method: str = "POST", content_type: str = "application/json") -> Any:
    """Status, headers and content of an answer."""
    request = urllib.request.Request(url, body, {"Content-Type": content_type}, method=method)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.headers, json.loads(answer.read() or b"{}")
    except urllib.error.HTTPError as error:
        return error.code, error.headers, json.loads(error.read())


def insert(backend: Backend, *rows: dict[str, Any], skips: bool = False) -> Any:
    body = {"rows": [{"insertId": str(place), "json": row} for place, row in enumerate(rows)]}
    return ask(f"{backend.url}{INSERT}", json.dumps({**body, "skipInvalidRows": skips}).encode())


def numbers(kept: Kept) -> list[int]:
    return [one.number for one in kept.delivered]


def test_a_bad_row_keeps_the_others_out_unless_it_is_skipped(backend: Backend) -> None:
    status, _, answer = insert(backend, GOOD, BAD)
    assert status == 200
    assert [entry["errors"][0]["reason"] for entry in answer["insertErrors"]] == ["stopped", "invalid"]
    assert numbers(backend.kept()) == []
    status, _, answer = insert(backend, GOOD, BAD, skips=True)
    assert [entry["index"] for entry in answer["insertErrors"]] == [1]
    assert numbers(backend.kept()) == [100_000_000_001]


def test_a_body_that_is_no_json_is_refused_whole_and_one_above_the_limit_is_told(backend: Backend) -> None:
    broken = b'{"rows":[{"insertId":"1","json":{"x":NaN}}]}'
    assert ask(f"{backend.url}{INSERT}", broken)[0] == 400
    assert insert(backend, {"note": "x" * 10_000_000})[0] == 413
    assert backend.kept().delivered == []
    assert len(backend.kept().oversized) == 1


def job(number: int) -> bytes:
    return json.dumps({"jobReference": {"jobId": f"job-{number}"}}).encode()


def multipart(backend: Backend, number: int, *rows: dict[str, Any]) -> Any:
    content = gzip.compress(b"".join(json.dumps(row).encode() + b"\n" for row in rows))
    parts = (b"--b\r\nContent-Type: x/y\r\n\r\n%b\r\n" % part for part in (job(number), content))
    url, kind = f"{backend.url}{UPLOAD}multipart", "multipart/related; boundary=b"
    return ask(url, b"".join(parts) + b"--b--\r\n", content_type=kind)


def test_a_load_job_takes_all_of_its_rows_or_none_and_is_there_once(backend: Backend) -> None:
    assert multipart(backend, 1, GOOD)[2]["status"] == {"state": "DONE"}
    assert multipart(backend, 1, GOOD)[0] == 409
    assert multipart(backend, 2, GOOD, BAD)[2]["status"]["errorResult"]["reason"] == "invalid"
    assert numbers(backend.kept()) == [100_000_000_001]


def test_a_load_job_s_file_may_come_after_it(backend: Backend) -> None:
    status, headers, _ = ask(f"{backend.url}{UPLOAD}resumable", job(3))
    assert status == 200
    content = gzip.compress(json.dumps(GOOD).encode() + b"\n")
    answer = ask(headers["Location"], content, method="PUT", content_type="application/octet-stream")
    assert answer[2]["status"] == {"state": "DONE"}
    assert numbers(backend.kept()) == [100_000_000_001]


@pytest.mark.parametrize(
    "case",
    [
        *usual_hostile_cases().values(),
        *(case for case in hostile_cases() if case.name == "insert_all, log and metadata, 1 digit, native"),
    ],
    ids=lambda case: case.name,
)
def test_records_that_are_not_very_hostile_pass(case: HostileCase, tmp_path: Path) -> None:
    load = small_load([KINDS["json-array"], KINDS["cut-short"], KINDS["members-many"]])
    with running(case, tmp_path) as place:
        done = run(case, load, place)
    assert done.faults == []
    assert done.verdict.outcomes.total() == 6
    assert 0 < done.measured.peak_rss_bytes < done.allowed_mib * 2**20
    assert done.measured.cpu_seconds > 0


class _Unfinished(HostileInput):
    """Its second message is no message."""

    def messages(self, kinds: Any, size_bytes: int, each: int) -> Iterator[bytes]:
        yield next(iter(super().messages(kinds, size_bytes, each)))
        yield b"no message\n"


def test_a_shard_process_that_ends_is_a_fault_and_its_kinds_are_tried_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.bench.hostile_run.HostileInput", _Unfinished)
    rows = hostile_level.measure(
        [S3], pattern="^number-(hex|nan)$", sizes=("small",), folder=tmp_path, say=lambda line: None
    )
    assert [row["kind"] for row in rows] == ["all", "number-nan", "number-hex"]
    for row in rows:
        assert [fault.partition(":")[0] for fault in row["faults"]] == ["ended"]
        assert row["peak_rss_mib"] is None


def test_an_outcome_that_is_wrong_for_the_kind_is_a_fault(tmp_path: Path) -> None:
    kind = Kind("not-so-hostile", KINDS["json-array"].build, s3=frozenset({"not_json"}))
    with running(S3, tmp_path) as place:
        done = run(S3, small_load([kind]), place)
    assert done.faults == ["not-so-hostile: delivered, not not_json (2 times)"]
