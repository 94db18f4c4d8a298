from pathlib import Path

import msgspec
import pytest

from tests.chaos.conservation import Conservation, Records

EVEN = Records(read=10, delivered=5, dead_letters=1, in_flight=3, left=1, conservation=0)


def found(tmp_path: Path, *accounts: Records) -> list[str]:
    file = tmp_path / "status.json"
    watch = Conservation(lambda: {"s3-0": file, "s3-1": None}, lambda: 7.0)
    watch.look()
    for records in accounts:
        file.write_bytes(msgspec.json.encode({"healthy": True, "records": records}))
        watch.look()
    return list(watch.faults())


def test_an_account_that_comes_out_even_is_no_fault(tmp_path: Path) -> None:
    assert found(tmp_path, EVEN) == []


@pytest.mark.parametrize(
    "change",
    [
        {"conservation": 1},
        {"read": 11, "conservation": 1},
        {"read": 9, "conservation": -1},
        {"delivered": 4},
        {"read": 6, "in_flight": -1},
    ],
)
def test_the_first_one_that_does_not_is_told(tmp_path: Path, change: dict[str, int]) -> None:
    odd = msgspec.structs.replace(EVEN, **change)
    (fault,) = found(tmp_path, EVEN, odd, odd, EVEN)
    assert fault.startswith("s3-0: at 7 s the account of records does not come out even: Records(read=")


def test_workers_that_tell_of_no_record_prove_nothing(tmp_path: Path) -> None:
    assert found(tmp_path) == ["no worker has told of a record that it has read"]
