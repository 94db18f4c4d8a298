"""Formats of objects for tests."""

from consumer.sinks.json.judge import Judge
from consumer.sinks.json.lines import Lines
from consumer.sinks.json.rule import Limits
from consumer.sinks.s3.ndjson import Ndjson


def ndjson(
    *, compression_level: int = 1, validate_json: bool = True, max_depth: int = 500, zstandard: bool = False
) -> Ndjson:
    lines = Lines(Judge(Limits(max_depth=max_depth)), validate_json=validate_json)
    make = Ndjson.zstandard if zstandard else Ndjson.gzip
    return make(lines, level=compression_level)
