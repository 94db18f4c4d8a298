"""Lines to records: what counts as a line, which key it gets, how it is cut into calls."""

import gzip
import hashlib
import io
from pathlib import Path
from types import SimpleNamespace

import pytest

from consumer.local.records import MAX_CALL_BYTES, Outgoing, calls, keyed, read_lines

LINES = [b'{"a": 1}', b"not json", b"\xff\xfe", '{"b":"é"}'.encode(), b"  {} "]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_lines_come_as_the_bytes_they_are_without_their_ends(
    tmp_path: Path, end: bytes, pack: object
) -> None:
    assert callable(pack)
    (tmp_path / "in").write_bytes(pack(end.join([*LINES, b""])))
    assert list(read_lines(str(tmp_path / "in"))) == LINES


def test_the_last_line_needs_no_end_and_blank_lines_are_skipped(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"\n{}\n\n  \t\n[]")
    assert list(read_lines(str(tmp_path / "in"))) == [b"{}", b"[]"]


def test_an_empty_file_has_no_lines(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"")
    assert list(read_lines(str(tmp_path / "in"))) == []


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_dash_reads_stdin(monkeypatch: pytest.MonkeyPatch, pack: object) -> None:
    assert callable(pack)
    stdin = SimpleNamespace(buffer=io.BufferedReader(io.BytesIO(pack(b"{}\n[]\n"))))
    monkeypatch.setattr("sys.stdin", stdin)
    assert list(read_lines("-")) == [b"{}", b"[]"]


def test_the_partition_key_is_the_key_field() -> None:
    assert keyed(b'{"player_id":"ab12"}', "player_id").partition_key == "ab12"
    assert keyed(b'{"player_id":"ab12","id":"z"}', "id").partition_key == "z"


@pytest.mark.parametrize(
    "line",
    [
        *(b"{}", b"nope", b"[1]", b"\xff"),
        *(b'{"player_id":""}', b'{"player_id":7}', b'{"player_id":null}'),
        b'{"player_id":"' + b"x" * 257 + b'"}',
    ],
)
def test_a_line_without_a_usable_key_gets_its_md5(line: bytes) -> None:
    assert keyed(line, "player_id").partition_key == hashlib.md5(line, usedforsecurity=False).hexdigest()


def test_a_hash_key_is_the_md5_of_the_partition_key_unless_it_is_explicit() -> None:
    expected = int(hashlib.md5(b"a", usedforsecurity=False).hexdigest(), 16)
    assert Outgoing(data=b"", partition_key="a").hash_key() == expected
    assert Outgoing(data=b"", partition_key="a", explicit_hash_key="17").hash_key() == 17


def sized(size: int) -> Outgoing:
    return Outgoing(data=bytes(size - 1), partition_key="k")


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([], []),
        ([10] * 501, [500, 1]),
        ([MAX_CALL_BYTES // 2] * 3, [2, 1]),
        ([MAX_CALL_BYTES], [1]),
        ([10, MAX_CALL_BYTES, 10], [1, 1, 1]),
        ([MAX_CALL_BYTES + 5, 10], [1, 1]),
    ],
)
def test_a_call_ends_before_500_records_or_ten_mebibytes_are_passed(
    sizes: list[int], expected: list[int]
) -> None:
    assert [len(batch) for batch in calls(map(sized, sizes))] == expected
