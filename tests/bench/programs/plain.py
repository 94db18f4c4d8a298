"""The straightforward amazon_kclpy program, as its sample is shaped: each batch is decoded and delivered as it comes,
and checkpointed after it.

`python -m tests.bench.programs.plain s3|bigquery URL`
"""

import gzip
import sys
from collections import defaultdict
from typing import Any

from amazon_kclpy import kcl
from amazon_kclpy.v3 import processor


class _Processor(processor.RecordProcessorBase):  # type: ignore[misc]
    def initialize(self, initialize_input: Any) -> None:
        self._shard = initialize_input.shard_id

    def process_records(self, process_records_input: Any) -> None:
        records = process_records_input.records
        if records:
            self.deliver(self._shard, records)
            last = records[-1]
            process_records_input.checkpointer.checkpoint(last.sequence_number, last.sub_sequence_number)

    def deliver(self, shard: str, records: list[Any]) -> None:
        raise NotImplementedError

    def lease_lost(self, lease_lost_input: Any) -> None:
        pass

    def shard_ended(self, shard_ended_input: Any) -> None:
        shard_ended_input.checkpointer.checkpoint()

    def shutdown_requested(self, shutdown_requested_input: Any) -> None:
        shutdown_requested_input.checkpointer.checkpoint()


class _S3Processor(_Processor):
    """One gzip object a batch."""

    def __init__(self, url: str) -> None:
        import boto3

        self._client = boto3.client("s3", endpoint_url=url)

    def deliver(self, shard: str, records: list[Any]) -> None:
        body = gzip.compress(b"\n".join([record.binary_data for record in records]) + b"\n")
        key = f"player-log/{shard}-{records[0].sequence_number}.ndjson.gz"
        self._client.put_object(Bucket="bucket", Key=key, Body=body)


class _BigQueryProcessor(_Processor):
    """insertAll by Google's client, 500 rows a request, a table for each first digit of the player."""

    ROWS = 500

    def __init__(self, url: str) -> None:
        from tests.bench.programs import insert_all

        self._row = insert_all.row
        self._client = insert_all.client(url)

    def deliver(self, shard: str, records: list[Any]) -> None:
        tables: dict[str, list[dict[str, str]]] = defaultdict(list)
        for record in records:
            row = self._row(record.binary_data)
            tables[row["player_id"][0]].append(row)
        for digit, rows in tables.items():
            for start in range(0, len(rows), self.ROWS):
                self._insert(f"project.dataset.player_log_{digit}", rows[start : start + self.ROWS])

    def _insert(self, table: str, rows: list[dict[str, str]]) -> None:
        if errors := self._client.insert_rows_json(table, rows):
            raise RuntimeError(f"rows were refused: {errors[0]}")


def main() -> None:
    backend, url = sys.argv[1:]
    made = _S3Processor(url) if backend == "s3" else _BigQueryProcessor(url)
    kcl.KCLProcess(made).run()


if __name__ == "__main__":
    main()
