"""What the real services allow: every limit with its value, its vendor's page and the answer when it is passed."""

from collections.abc import Mapping
from typing import Literal

import msgspec

_KINESIS = "https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html"
_DYNAMODB = "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/"
_DYNAMODB_UNITS = f"{_DYNAMODB}read-write-operations.html"
_DYNAMODB_ON_DEMAND = f"{_DYNAMODB}on-demand-capacity-mode.html"
_S3 = "https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html"
_BIGQUERY = "https://cloud.google.com/bigquery/quotas"
_STREAMING = "https://cloud.google.com/bigquery/docs/streaming-data-into-bigquery"
_PRACTICES = "https://cloud.google.com/bigquery/docs/write-api-best-practices"
_COMMITTED = "https://cloud.google.com/bigquery/docs/write-api-streaming"
_IDLE = "https://github.com/googleapis/python-bigquery-storage/issues/593"

_THROUGHPUT = "ProvisionedThroughputExceededException"
_DAY, _HOUR = 86_400.0, 3_600.0

type Checked = Literal["vendor", "others", "no"]
"""Where the value was read: on a copy of the vendor's page or in the documentation of the vendor's client; in what
others say of it; or nowhere, as it is an inference or was not found."""


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """One limit. `seconds` is the time in which `value` may be used up, 0 for what holds of a single request or is a
    time itself. `scope` is what each have a limit of their own. What takes minutes or longer `scales`."""

    name: str
    value: float
    unit: str
    scope: str
    answer: str
    page: str
    seconds: float = 0.0
    scales: bool = False
    checked: Checked = "vendor"


def _rate(
    name: str, value: float, unit: str, scope: str, answer: str, page: str, checked: Checked = "vendor"
) -> Limit:
    return Limit(
        name=name,
        value=value,
        unit=unit,
        scope=scope,
        answer=answer,
        page=page,
        seconds=1.0,
        checked=checked,
    )


def _quota(
    name: str, value: float, unit: str, seconds: float, scope: str, answer: str, page: str = _BIGQUERY
) -> Limit:
    return Limit(
        name=name,
        value=value,
        unit=unit,
        scope=scope,
        answer=answer,
        page=page,
        seconds=seconds,
        scales=seconds > 60,
    )


def _lasting(
    name: str, seconds: float, scope: str, answer: str, page: str, checked: Checked, *, scales: bool = True
) -> Limit:
    return Limit(
        name=name,
        value=seconds,
        unit="s",
        scope=scope,
        answer=answer,
        page=page,
        scales=scales,
        checked=checked,
    )


def _single(
    name: str, value: float, unit: str, scope: str, answer: str, page: str, checked: Checked = "vendor"
) -> Limit:
    return Limit(name=name, value=value, unit=unit, scope=scope, answer=answer, page=page, checked=checked)


LIMITS: tuple[Limit, ...] = (
    _rate("kinesis.reads", 5, "GetRecords", "shard, over all readers", f"400 {_THROUGHPUT}", _KINESIS),
    # an answer of more than that closes the shard for as long as its bytes are worth: 5 s after 10 MB
    _rate("kinesis.read_bytes", 2e6, "bytes", "shard, over all readers", f"400 {_THROUGHPUT}", _KINESIS),
    _rate("kinesis.put_bytes", 1e6, "bytes", "shard", f"200, ErrorCode {_THROUGHPUT} a record", _KINESIS),
    _rate(
        "kinesis.put_records", 1000, "records", "shard", f"200, ErrorCode {_THROUGHPUT} a record", _KINESIS
    ),
    _rate("kinesis.iterators", 5, "GetShardIterator", "shard", f"400 {_THROUGHPUT}", _KINESIS),
    _rate("kinesis.list_shards", 1000, "ListShards", "stream", "400 LimitExceededException", _KINESIS),
    _rate("kinesis.describe", 10, "DescribeStream", "account", "400 LimitExceededException", _KINESIS),
    _rate(
        "kinesis.summaries", 20, "DescribeStreamSummary", "account", "400 LimitExceededException", _KINESIS
    ),
    # what a new table on demand takes at once; set them lower for provisioned capacity
    _rate("dynamodb.write_units", 4000, "units of 1 KB", "table", f"400 {_THROUGHPUT}", _DYNAMODB_ON_DEMAND),
    _rate("dynamodb.read_units", 12_000, "units of 4 KB", "table", f"400 {_THROUGHPUT}", _DYNAMODB_UNITS),
    # S3 splits a bucket by prefix under a lasting load; here it does not
    _rate("s3.writes", 3500, "PUT, COPY, POST, DELETE", "bucket", "503 SlowDown", _S3, "others"),
    _rate("s3.reads", 5500, "GET, HEAD", "bucket", "503 SlowDown", _S3, "others"),
    _single("insert_all.sent_bytes", 10_485_760, "bytes", "request as sent", "413, HTML", _BIGQUERY),
    # whether the page means a request as it is sent or unpacked is not written there
    _single(
        "insert_all.body_bytes", 10_485_760, "bytes", "request unpacked", "400 badRequest", _BIGQUERY, "no"
    ),
    _single("insert_all.rows", 50_000, "rows", "request", "400 invalid", _BIGQUERY),
    # 1 GB in the multi-regions US and EU
    _rate("insert_all.bytes", 300e6, "bytes", "project", "403 quotaExceeded", _BIGQUERY),
    _single("insert_all.past_days", 3650, "days", "row's partition", "200, insertErrors invalid", _STREAMING),
    _single(
        "insert_all.future_days", 366, "days", "row's partition", "200, insertErrors invalid", _STREAMING
    ),
    _lasting(
        "insert_all.memory", 60, "insertId", "the row is stored once more", _STREAMING, "others", scales=False
    ),
    _quota("load.jobs_of_table", 1500, "jobs, failed ones too", _DAY, "table", "job fails, quotaExceeded"),
    _quota("load.jobs", 100_000, "jobs, failed ones too", _DAY, "project", "job fails, quotaExceeded"),
    _quota("load.partitions_of_table", 30_000, "partitions", _DAY, "table", "job fails, quotaExceeded"),
    _single("load.partitions", 4000, "partitions", "job", "job fails, invalid", _BIGQUERY),
    _quota("tables.updates", 5, "PATCH, PUT", 10, "table or view", "403 rateLimitExceeded"),
    _quota("tables.partitioned_updates", 50, "PATCH, PUT", 10, "partitioned table", "403 rateLimitExceeded"),
    _rate("tables.creates", 10, "tables.insert", "user", "403 rateLimitExceeded", _BIGQUERY),
    # streaming inserts are not counted
    _rate("api.requests", 100, "requests", "method", "403 rateLimitExceeded", _BIGQUERY),
    _quota("storage_write.creates", 10_000, "CreateWriteStream", _HOUR, "project", "RESOURCE_EXHAUSTED"),
    # ten more a second than that cost 25 s
    _rate("storage_write.fast_creates", 40, "CreateWriteStream", "project", "up to 25 s later", _PRACTICES),
    # 20,000 in the multi-regions US and EU
    _single("storage_write.connections", 5000, "open AppendRows", "project", "RESOURCE_EXHAUSTED", _BIGQUERY),
    _single("storage_write.request_bytes", 20e6, "bytes", "AppendRows", "INVALID_ARGUMENT", _BIGQUERY),
    # 3 GB in the multi-regions US and EU
    _rate("storage_write.bytes", 300e6, "bytes", "project", "RESOURCE_EXHAUSTED", _BIGQUERY),
    _lasting(
        "storage_write.idle_call", 600, "AppendRows without a request", "call ends, ABORTED", _IDLE, "others"
    ),
    # what a later call is told is written nowhere: here half of the streams are finalized, the others gone
    _lasting("storage_write.idle_stream", 3 * _DAY, "stream", "NOT_FOUND, or finalized", _COMMITTED, "no"),
)

_BY_NAME = {limit.name: limit for limit in LIMITS}


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The limits of a run: hours and days pass `scale` times as fast, and `given` values take the table's place."""

    scale: float = 1.0
    given: Mapping[str, float] = {}

    def __post_init__(self) -> None:
        if not self.scale > 0:
            raise ValueError("the scale must be above 0")
        for name, value in self.given.items():
            if name not in _BY_NAME:
                raise ValueError(f"{name!r} is no limit; there are {', '.join(_BY_NAME)}")
            if not value > 0:
                raise ValueError(f"{name} must be above 0")

    def limit(self, name: str) -> Limit:
        """The limit as it holds in this run. A value that was given is taken as it is."""
        limit = _BY_NAME[name]
        scale = self.scale if limit.scales else 1.0
        is_time = limit.unit == "s"
        value = self.given.get(name, limit.value / scale if is_time else limit.value)
        return msgspec.structs.replace(limit, value=value, seconds=limit.seconds / scale)

    def value(self, name: str) -> float:
        return self.limit(name).value


def markdown() -> str:
    """The table, for docs/chaos.md."""
    lines = ["| limit | value | scope | when it is passed | value seen at |", "|---|---|---|---|---|"]
    for limit in LIMITS:
        lasting = f"{_told(limit.value)} {limit.unit}" if limit.unit != "s" else _duration(limit.value)
        within = f" in {_duration(limit.seconds)}" if limit.seconds else ""
        lines.append(
            f"| [{limit.name}]({limit.page}) | {lasting}{within} | {limit.scope} | {limit.answer} | {limit.checked} |"
        )
    return "\n".join(lines)


def _told(value: float) -> str:
    return f"{value:,.0f}"


def _duration(seconds: float) -> str:
    for unit, name in ((_DAY, "day"), (_HOUR, "hour"), (60.0, "minute"), (1.0, "second")):
        if seconds >= unit and seconds % unit == 0:
            count = seconds / unit
            return f"{count:.0f} {name}{'s' if count > 1 else ''}"
    return f"{seconds:g} s"


def parsed(text: str) -> tuple[str, float]:
    """A limit and its value, from `NAME=VALUE`. Raises ValueError."""
    name, _, value = text.partition("=")
    Limits(given={name: float(value)})
    return name, float(value)
