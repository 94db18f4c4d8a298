"""Where a sink says that a record goes is where it is found."""

import pytest

from consumer.sinks.s3.sink import PutRequest
from tests.contract.backends import Bucket
from tests.contract.cases import ALL_CASES, Line, Row
from tests.contract.expected import chunk_of, wanted_of
from tests.contract.sinks import KINDS, SHARD, STREAM, USUAL, Kind, Shard, kinds, running, send_all

_SMALL_BYTES = 2_000
CASES = [case for case in ALL_CASES if case.options == USUAL and len(case.payload) <= _SMALL_BYTES]


@pytest.mark.parametrize("order", [1, -1], ids=["as they are", "backwards"])
@kinds(KINDS)
def test_every_record_that_is_not_rejected_has_one_destination_and_is_there(kind: Kind, order: int) -> None:
    cases = CASES[::order]
    shard, chunk = Shard(kind), chunk_of(cases)
    with running(kind):
        sink = shard.sink()
        prepared = sink.prepare(chunk)
        told = [
            [place for request in prepared.requests if (place := sink.destination(request, index))]
            for index in range(len(cases))
        ]
        rejected = {rejection.index for rejection in send_all(sink, prepared)}
    assert len(rejected) < len(cases)
    for index, case in enumerate(cases):
        if index in rejected:
            continue
        match wanted_of(kind, case):
            case Line(path, _):
                key = f"prefix/{path}/{STREAM}-{SHARD}-{chunk.name}.ndjson.{kind.row or 'gz'}"
                assert told[index] == [f"s3://bucket/{key}"]
                assert isinstance(shard.backend, Bucket)
                assert key in {put["Key"] for put in shard.backend.puts}
            case Row() if isinstance(shard.backend, Bucket):
                [place] = told[index]
                assert place.removeprefix("s3://bucket/") in {put["Key"] for put in shard.backend.puts}
            case Row() as row:
                assert told[index] == [f"logs_{row.digits}".removesuffix("_")]
                assert told[index][0] in {table for table, _ in shard.backend.found()}
            case reason:
                raise AssertionError(f"{case.name} was to be rejected: {reason}")


def test_a_request_for_the_whole_chunk_needs_no_list_of_its_records() -> None:
    kind = KINDS[0]
    case = next(case for case in CASES if isinstance(case.s3, Line))
    with running(kind):
        [request] = Shard(kind).sink().prepare(chunk_of([case] * 3)).requests
    assert isinstance(request, PutRequest)
    assert request.chosen is None
