"""`bin/check --sample`: reads records as people have them, and says what becomes of them and which settings fit."""

import gzip
import io
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from consumer.daemon.commands.check import check_main
from consumer.daemon.sample import file as sample_file
from consumer.daemon.sample.columns import columns_of
from consumer.daemon.sample.fields import fields_of, key_fields, time_fields
from consumer.daemon.sample.file import Sample, SampleError, read_sample
from consumer.daemon.sample.report import study_sample
from consumer.daemon.sample.verdict import Study
from consumer.settings import Settings, load
from consumer.settings.schema import parse_schema
from tests.hostile.kinds import SMALL_BYTES, kinds_of
from tests.hostile.payloads import Mark

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PLACES = {"bigquery.project": "project", "bigquery.dataset": "dataset", "deadletter.bucket": "bucket"}
PLACES |= {"applicationName": "application", "streamName": "stream", "regionName": "us-east-1"}


def written(folder: Path, content: bytes, *, packed: bool = False) -> str:
    path = folder / "sample"
    path.write_bytes(gzip.compress(content) if packed else content)
    return str(path)


# The file


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_each_line_is_a_record_and_blank_lines_are_none(
    tmp_path: Path, packed: bool, end: bytes, mark: bytes
) -> None:
    content = mark + end.join([b'{"n":1}', b"", b"not JSON", b"  ", b"[2]"])
    assert read_sample(written(tmp_path, content, packed=packed)) == Sample(
        [b'{"n":1}', b"not JSON", b"[2]"], [1, 3, 5], "line", is_whole=True
    )


LINES = st.lists(st.binary(max_size=20).filter(lambda line: line.strip() and not set(line) & set(b"\r\n")))


@given(LINES)
def test_lines_come_as_the_bytes_they_are(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]
) -> None:
    content = b"{no JSON\n" + b"\n".join(lines) + b"\n"
    assert read_sample(written(tmp_path_factory.mktemp("x"), content)).records == [b"{no JSON", *lines]


@pytest.mark.parametrize("indent", [None, 2])
def test_the_elements_of_an_array_are_records(tmp_path: Path, indent: int | None) -> None:
    values = [{"n": 1, "text": "line\nend"}, [2], "three", None]
    sample = read_sample(written(tmp_path, json.dumps(values, indent=indent).encode()))
    assert [json.loads(record) for record in sample.records] == values
    assert (sample.numbers, sample.unit) == ([1, 2, 3, 4], "element")


def test_an_object_over_several_lines_is_one_record(tmp_path: Path) -> None:
    sample = read_sample(written(tmp_path, b'\n{\n "n": 1\n}\n'))
    assert (sample.records, sample.unit) == ([b'{\n "n": 1\n}'], "object")


def test_lines_of_arrays_are_lines(tmp_path: Path) -> None:
    assert read_sample(written(tmp_path, b"[1]\n[2]\n")).records == [b"[1]", b"[2]"]


def test_of_a_large_file_the_beginning_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample_file, "MOST_BYTES", 10)
    assert read_sample(written(tmp_path, b"111\n222\n333\n")) == Sample(
        [b"111", b"222"], [1, 2], "line", is_whole=False
    )
    monkeypatch.setattr(sample_file, "MOST_BYTES", 100)
    monkeypatch.setattr(sample_file, "MOST_RECORDS", 1)
    assert read_sample(written(tmp_path, b"111\n222\n")).is_whole is False
    assert read_sample(written(tmp_path, b"[1,2]")).records == [b"1"]
    assert read_sample(written(tmp_path, b"111\n")).is_whole is True


HALF = gzip.compress(b"half of it" * 99, mtime=0)[:20]


@pytest.mark.parametrize("content", [b"\x1f\x8b and no gzip", HALF], ids=["no gzip", "half"])
def test_what_cannot_be_unpacked_is_named(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(SampleError, match=r"cannot read .*sample: "):
        read_sample(written(tmp_path, content))


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(SampleError, match="cannot read /none: No such file"):
        read_sample("/none")


def test_records_come_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = io.TextIOWrapper(io.BufferedReader(io.BytesIO(gzip.compress(b"1\n2\n"))))
    monkeypatch.setattr("sys.stdin", stdin)
    assert read_sample("-").records == [b"1", b"2"]


# The fields

PLAYERS = [f"{number:032x}" for number in range(7)]


def log(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "log_id": f"{number:020x}",
        "player": PLAYERS[number % 7],
        "level": number % 9,
        "at": (NOW - timedelta(seconds=number)).isoformat(),
        **fields,
    }


def test_the_key_is_a_field_that_all_records_have_and_some_share() -> None:
    fields = fields_of([log(number) for number in range(50)])
    times = time_fields(fields, 50, now=NOW)
    assert [one.name for one in key_fields(fields, 50, times)] == ["player", "log_id"]
    assert [(one.name, one.notation) for one in times] == [("at", "iso8601")]


@pytest.mark.parametrize(
    ("value", "notation"),
    [
        ("2026-02-28T10:11:12Z", "iso8601"),
        (1772273472, "epoch_s"),
        (1772273472.5, "epoch_s"),
        ("1772273472123", "epoch_ms"),
        (1772273472123, "epoch_ms"),
        ("28/Feb/2026:10:11:12 +0000", "%d/%b/%Y:%H:%M:%S %z"),
        ("Sat, 28 Feb 2026 10:11:12 +0000", "%a, %d %b %Y %H:%M:%S %z"),
        ("02/28/2026 10:11:12", "%m/%d/%Y %H:%M:%S"),
    ],
)
def test_the_notation_of_times_is_found(value: object, notation: str) -> None:
    [found] = time_fields(fields_of([{"n": 3, "at": value}] * 5), 5, now=NOW)
    assert (found.name, found.notation, found.part) == ("at", notation, 1.0)


@pytest.mark.parametrize("value", [5, "5", "text", None, "", True, [1], {"a": 1}, 99999999999999999999])
def test_what_is_no_time_of_this_age_is_none(value: object) -> None:
    assert time_fields(fields_of([{"at": value}] * 5), 5, now=NOW) == []


def test_a_field_that_few_records_have_is_neither_key_nor_time() -> None:
    fields = fields_of([*({"n": number} for number in range(10)), log(1)])
    assert time_fields(fields, 11, now=NOW) == []
    assert key_fields(fields, 11, []) == []


# The columns

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(-1e9, 1e9)
    | st.text("ab é", max_size=3)
    | st.just("2026-02-28T10:11:12Z"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "A", "no column"]), inner, max_size=3)
    ),
    max_leaves=8,
)
OBJECTS = st.lists(
    st.dictionaries(st.sampled_from(["a", "b", "c", "B", "x-y"]), VALUES), min_size=1, max_size=4
)


@given(OBJECTS)
@example([{"a": None}, {"a": []}])
def test_records_fit_the_columns_that_are_made_of_them(
    tmp_path_factory: pytest.TempPathFactory, objects: list[dict[str, Any]]
) -> None:
    records = [msgspec.json.encode({"player": "a", **one}) for one in objects]
    columns, without = columns_of(map(json.loads, records), key="player", time="time")
    assert {column.name for column in parse_schema(msgspec.json.encode(columns))} >= {"player", "time"}
    schema = tmp_path_factory.mktemp("schema") / "schema.json"
    schema.write_bytes(msgspec.json.encode(columns))
    settings = load(
        "bigquery",
        overrides=PLACES
        | {"bigquery.row": "fields", "bigquery.schema_file": str(schema), "record.key_field": "player"}
        | ({"bigquery.unknown_fields": "ignore"} if without else {}),
    )
    verdict = Study(Sample(records, [*range(len(records))], "line", True), now=NOW).verdict(settings)
    assert verdict.dead_letters == {}


@pytest.mark.parametrize(
    ("values", "column"),
    [
        ([1, None], {"type": "INTEGER"}),
        ([1, 2.5], {"type": "FLOAT"}),
        ([2**63], {"type": "FLOAT"}),
        ([True], {"type": "BOOLEAN"}),
        ([True, 1], {"type": "JSON"}),
        (["2026-02-28T10:11:12Z"], {"type": "TIMESTAMP"}),
        (["2026-02-28T10:11:12Z", ""], {"type": "STRING"}),
        (["20260228", "2026-02-28"], {"type": "STRING"}),
        ([None], {"type": "STRING"}),
        ([[1], []], {"type": "INTEGER", "mode": "REPEATED"}),
        ([[1, None]], {"type": "JSON"}),
        ([[[1]]], {"type": "JSON"}),
        ([{"a": 1}], {"type": "RECORD", "fields": [{"name": "a", "type": "INTEGER"}]}),
        ([{"a-b": 1}], {"type": "JSON"}),
        ([{"a": 1}, {"A": 2.5}], {"type": "RECORD", "fields": [{"name": "a", "type": "FLOAT"}]}),
        ([{}], {"type": "JSON"}),
    ],
)
def test_the_type_of_a_column_takes_all_values(values: list[Any], column: dict[str, Any]) -> None:
    columns, without = columns_of([{"v": value} for value in values], key="k", time="t")
    assert columns[0] == {"name": "v", **column}
    assert [one["name"] for one in columns] == ["v", "k", "t"]
    assert without == []


def test_objects_deeper_than_tables_may_be_are_json() -> None:
    deep: Any = 1
    for _ in range(400):
        deep = {"a": deep}
    [column, *_], _ = columns_of([{"v": deep}], key="k", time="t")
    levels = 1
    while column["type"] == "RECORD":
        [column] = column["fields"]
        levels += 1
    assert (column["type"], levels) == ("JSON", 15)


# The command


def check(folder: Path, backend: str, records: list[Any], *options: str) -> tuple[int, Path]:
    path = folder / "records.ndjson"
    path.write_text("\n".join(one if isinstance(one, str) else json.dumps(one) for one in records))
    return check_main([backend, "--sample", str(path), *options]), path


def test_records_that_fit_end_with_code_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = [log(number, player_id="ab", time="2026-02-28T10:11:12Z") for number in range(20)]
    code, path = check(tmp_path, "bigquery", records)
    out = capsys.readouterr().out
    assert code == 0
    assert f"sample {path}: 20 records, a line each" in out
    assert "       20 would be rows" in out
    assert "        0 would be dead letters" in out
    assert "settings that fit" not in out
    assert out.splitlines()[-1] == "ok     sample"


def test_records_of_another_shape_end_with_code_1_and_the_settings_that_fit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records: list[Any] = [
        {"user": f"user-{number % 5}", "ts": 1772273472123 + number} for number in range(30)
    ]
    records[4] = "not JSON"
    code, _ = check(tmp_path, "bigquery", records)
    out = capsys.readouterr().out
    assert code == 1
    assert "           29 no_key: no value in player_id" in out
    assert """the first is line 1: '{"user": "user-0", "ts": 1772273472123}'""" in out
    assert "            1 not_json: not JSON at byte" in out
    assert "the first is line 5: 'not JSON'" in out
    proposed = [line.strip() for line in out.splitlines() if " = " in line and line.startswith("  ")]
    assert proposed == [
        "record.key_field = user",
        "bigquery.key_digits = 0",
        "record.time_field = ts",
        "record.time_format = epoch_ms",
    ]
    assert (
        "with them 29 of 30 would be delivered, 29 with a time of their own; dead letters: 1 not_json" in out
    )
    assert "such records hold a shard" in out.splitlines()[-1]
    options = [f"--set={line.replace(' = ', '=')}" for line in proposed]
    code, _ = check(tmp_path, "bigquery", records, *options)
    out = capsys.readouterr().out
    assert code == 0
    assert "       29 would be rows" in out
    assert "settings that fit" not in out


def test_the_columns_are_written_and_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    schema = tmp_path / "schema.json"
    records = [log(number, player_id="ab", tags=["a"], inner={"x": 1.5}) for number in range(20)]
    assert check(tmp_path, "bigquery", records, "--write-schema", str(schema))[0] == 0
    assert "bigquery.row = fields would take 20 of them with 8 columns" in capsys.readouterr().out
    fields = ("--set=bigquery.row=fields", f"--set=bigquery.schema_file={schema}")
    assert check(tmp_path, "bigquery", records, *fields)[0] == 0
    records[3]["level"] = "high"
    assert check(tmp_path, "bigquery", records, *fields, "--json")[0] == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])["sample"]
    assert (found["records"], found["delivered"]) == (20, 19)
    assert found["dead_letters"]["rejected"]["records"] == 1
    assert found["dead_letters"]["rejected"]["first"]["line"] == 4


@pytest.mark.parametrize(("bad", "code"), [(10, 0), (11, 1)])
def test_the_share_of_dead_letters_decides(
    tmp_path: Path, bad: int, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    records = [*["no JSON"] * bad, *[{"n": 1}] * (20 - bad)]
    assert check(tmp_path, "s3", records)[0] == code
    assert f"{20 - bad:>9} would be lines of objects" in capsys.readouterr().out
    assert check(tmp_path, "s3", records, "--set=deadletter.max_ratio=1")[0] == 0
    assert check(tmp_path, "s3", records, "--set=deadletter.max_ratio=0.1")[0] == 1


def test_lines_that_are_not_json_fit_s3_without_validation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [f"127.0.0.1 - - GET /{number}" for number in range(9)]
    assert check(tmp_path, "s3", lines)[0] == 1
    assert "  s3.validate_json = false\nwith them 9 of 9 would be delivered" in capsys.readouterr().out
    assert check(tmp_path, "s3", lines, "--set=s3.validate_json=false")[0] == 0
    capsys.readouterr()
    assert check(tmp_path, "bigquery", lines)[0] == 1
    assert "rows are made of JSON objects, and none is one" in capsys.readouterr().out


@pytest.mark.parametrize("method", ["insert_all", "load", "storage_write"])
def test_hostile_records_are_judged_one_and_all(method: str) -> None:
    records = [b'{"player_id":"a","\\u001b[31m\x7f":1}', b"\x1b[31m"]
    records += [kind.build(Mark.number(1), SMALL_BYTES) for kind in kinds_of(SMALL_BYTES)]

    def with_settings(chosen: Mapping[str, str]) -> Settings:
        method_settings = {"bigquery.method": method, "chunk.window": "60s"}
        return load("bigquery", overrides={**PLACES, **method_settings, **chosen})

    numbers = list(range(len(records)))
    report = study_sample("name", Study(Sample(records, numbers, "line", True), now=NOW), with_settings)
    lines = list(report.lines())
    assert all(line.isprintable() for line in lines)
    assert max(map(len, lines)) < 2000
    assert report.verdict.records == report.verdict.delivered + report.verdict.dead == len(records)
    assert report.verdict.dead_letters.keys() > {"not_json", "too_deep", "no_key", "bad_key", "long_name"}
    json.dumps(report.summary())


def test_a_file_without_records_is_a_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(tmp_path, "s3", [])[0] == 1
    assert capsys.readouterr().out.splitlines()[-1] == "FAULT  sample: there is no record in it"


def test_wrong_settings_and_wrong_files_end_with_their_codes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(tmp_path, "s3", [{}], "--set=chunk.windw=1s")[0] == 2
    assert check_main(["s3", "--sample", "/none"]) == 1
    assert capsys.readouterr().err == "--sample: cannot read /none: No such file or directory\n"
    assert check(tmp_path, "bigquery", [{}], "--write-schema", "/none/schema.json")[0] == 1
    assert "cannot write /none/schema.json" in capsys.readouterr().err


def test_places_that_are_not_set_yet_do_not_matter(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = tmp_path / "empty.properties"
    empty.touch()
    monkeypatch.setenv("CONSUMER_SET_STREAMNAME", "own")
    for backend in ("s3", "bigquery"):
        code, _ = check(tmp_path, backend, [{"player_id": "a"}], "--properties", str(empty))
        assert code == 0, capsys.readouterr()


def test_proposals_that_cannot_be_used_are_not_made() -> None:
    """The key's column would be the one of the whole record."""

    def with_settings(chosen: Mapping[str, str]) -> Settings:
        return load("bigquery", overrides={**PLACES, **chosen})

    records = [json.dumps({"log": f"{number % 3:x}", "log_id": number}).encode() for number in range(9)]
    sample = Sample(records, [*range(9)], "line", True)
    report = study_sample("name", Study(sample, now=NOW), with_settings)
    assert "log" not in report.proposed.values()
    assert not report.ok
