"""What no single setting can tell: settings that do not fit together, choices that cost money or records."""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import Callable, Iterator, Mapping

from consumer.domain.key_templates import TemplateError, check_template
from consumer.domain.routing import time_parser, time_zone
from consumer.settings.findings import Finding, Given, Severity
from consumer.settings.kcl_table import KCL_KEYS
from consumer.settings.model import PROJECT_ROOT
from consumer.settings.schema import METADATA_COLUMNS, Column, SchemaError, read_schema
from consumer.settings.table import SETTINGS, Backend
from consumer.settings.values import Value

type Values = Mapping[str, Value]

_SMALL_MAX_RECORDS = 1000
_SHORT_GRACE_MILLIS = 5000
_KCL_READ_FLOOR_MILLIS = 200
_DAY_SECONDS = 86_400.0
_LOAD_JOBS_PER_DAY = 1_500
"""https://cloud.google.com/bigquery/quotas#load_jobs: for each table, of all who load into it."""


def complete(backend: Backend, values: dict[str, Value]) -> None:
    """Fills in what follows from other settings."""
    if backend == "s3" and "s3.bucket" in values:
        values.setdefault("deadletter.bucket", values["s3.bucket"])
    if (
        "initialPositionInStreamExtended" in values
        and values.get("initialPositionInStream") == "TRIM_HORIZON"
    ):
        del values["initialPositionInStream"]
    if "regionName" in values:
        values.setdefault("s3.region", values["regionName"])
    if values.get("bigquery.method") == "storage_write" and "applicationName" in values:
        values.setdefault("bigquery.positions_table", f"{values['applicationName']}-BigQueryStreams")


def check(backend: Backend, values: Values, given: Mapping[str, Given]) -> Iterator[Finding]:
    """The findings of settings that parsed; `given` tells where each key was set, if it was."""
    report = _Report(given)
    yield from _mandatory(backend, values, report)
    yield from _skipped_zeros(values, report)
    for rule in _RULES:
        yield from rule(values, report)


class _Report:
    """Makes findings that point at the place where a key was set."""

    def __init__(self, given: Mapping[str, Given]) -> None:
        self._given = given

    def is_given(self, key: str) -> bool:
        return key in self._given

    def text(self, key: str) -> str:
        return self._given[key].text if key in self._given else ""

    def error(self, key: str, message: str) -> Finding:
        if key in self._given:
            return self._given[key].error(message)
        return Finding(severity=Severity.ERROR, key=key, message=message)

    def warning(self, key: str, message: str) -> Finding:
        if key in self._given:
            return self._given[key].warning(message)
        return Finding(severity=Severity.WARNING, key=key, message=message)


def _mandatory(backend: Backend, values: Values, report: _Report) -> Iterator[Finding]:
    missing = [row.name for row in SETTINGS.values() if row.mandatory and backend in row.backends]
    if backend == "bigquery":
        missing.append("deadletter.bucket")
    for key in missing:
        if key not in values and not (report.is_given(key) and report.text(key)):
            yield report.error(key, f"is mandatory for {backend} and not set")


def _skipped_zeros(values: Values, report: _Report) -> Iterator[Finding]:
    for key, row in KCL_KEYS.items():
        if row.zero is not None and key in values and not values[key]:
            yield report.error(key, f"the KCL skips {report.text(key)} without a word and uses {row.zero}")


def _starting_position(values: Values, report: _Report) -> Iterator[Finding]:
    if values.get("initialPositionInStream") == "LATEST":
        yield report.warning(
            "initialPositionInStream", "LATEST skips what stands on the stream at the first start"
        )
    if "initialPositionInStreamExtended" in values and report.is_given("initialPositionInStream"):
        yield report.error("initialPositionInStream", "cannot stand beside initialPositionInStreamExtended")


def _reading(values: Values, report: _Report) -> Iterator[Finding]:
    mode = values.get("retrievalMode")
    if mode in ("FANOUT", "DEFAULT"):
        yield report.warning(
            "retrievalMode", f"{mode} is enhanced fan-out, billed by shard-hour and GB; POLLING is not"
        )
    if values.get("callProcessRecordsEvenForEmptyRecordList") is False:
        message = "has to be true: idle chunks and checkpoints wait for these calls"
        yield report.error("callProcessRecordsEvenForEmptyRecordList", message)
    if values.get("skipShardSyncAtWorkerInitializationIfLeasesExist") is False:
        message = (
            "the KCL drops records of aggregates whose keys belong to another shard, without a log line or dead letter:"
            " they are lost unless the KPL alone aggregates; leave it true, or see docs/aggregates.md"
        )
        yield report.warning("skipShardSyncAtWorkerInitializationIfLeasesExist", message)
    if 0 < _number(values, "maxRecords", 0) < _SMALL_MAX_RECORDS:
        yield report.warning("maxRecords", "small batches cost a multiple of CPU in the KCL; 4000 is best")
    if 0 < _number(values, "idleTimeBetweenReadsInMillis", 0) < _KCL_READ_FLOOR_MILLIS:
        yield report.warning("idleTimeBetweenReadsInMillis", "the KCL takes less than 200 as 200")


def _life_cycle(values: Values, report: _Report) -> Iterator[Finding]:
    if _number(values, "shutdownGraceMillis", _SHORT_GRACE_MILLIS) < _SHORT_GRACE_MILLIS:
        yield report.warning(
            "shutdownGraceMillis", "leaves little time to deliver and checkpoint; 25000 is usual"
        )
    if values.get("isGracefulLeaseHandoffEnabled"):
        message = (
            "a worker that ends while a lease moves to it leaves the shard read by nobody; leave it false"
        )
        yield report.warning("isGracefulLeaseHandoffEnabled", message)
    if "timeoutInSeconds" in values:
        message = "halts the JVM during every outage of the backend that lasts longer; leave it unset"
        yield report.warning("timeoutInSeconds", message)


def _region_of_stream(values: Values, report: _Report) -> Iterator[Finding]:
    """An address of one's own may well stand in the other region."""
    region = str(values.get("streamArn", "")).split(":")[3:4]
    if region and region != [values.get("regionName")] and "kinesisEndpoint" not in values:
        yield report.error("regionName", f"is not {region[0]}, where streamArn says the stream is")


def _credentials(values: Values, report: _Report) -> Iterator[Finding]:
    for key in (
        "AwsCredentialsProvider",
        "AwsCredentialsProviderDynamoDB",
        "AwsCredentialsProviderCloudWatch",
    ):
        provider = str(values.get(key, "")).split("|")[0].rpartition(".")[2]
        if provider.startswith(("Static", "Basic")):
            message = (
                "credentials do not belong here, and the KCL logs every value: use DefaultCredentialsProvider"
            )
            yield report.error(key, message)


def _stream_role(values: Values, report: _Report) -> Iterator[Finding]:
    provider = "AwsCredentialsProvider"
    if "kinesis.role_arn" in values:
        if values.get(provider) != "DefaultCredentialsProvider":
            yield report.error(
                provider, "cannot stand beside kinesis.role_arn, which replaces it for the stream"
            )
    elif "kinesis.role_external_id" in values:
        yield report.error("kinesis.role_external_id", "needs kinesis.role_arn")
    elif "AssumeRole" in str(values.get(provider)):
        message = (
            "keeps leases with that role too, which bin/check does not know: set kinesis.role_arn instead"
        )
        yield report.warning(provider, message)


def _java(values: Values, report: _Report) -> Iterator[Finding]:
    if "jvm.java" in values:
        path = PROJECT_ROOT / str(values["jvm.java"])
        if not os.access(path, os.X_OK) or path.is_dir():
            yield report.error("jvm.java", f"{path} is not an executable file")
    try:
        shlex.split(str(values.get("jvm.options", "")))
    except ValueError as error:
        yield report.error("jvm.options", f"cannot be split as a shell would: {error}")


def _limits(values: Values, report: _Report) -> Iterator[Finding]:
    yield from _at_most("chunk.max_bytes", "delivery.max_in_flight_bytes", values, report)
    yield from _at_most("retry.base", "retry.max", values, report)
    yield from _at_most("supervisor.restart_base", "supervisor.restart_max", values, report)


def _at_most(small: str, large: str, values: Values, report: _Report) -> Iterator[Finding]:
    if small in values and large in values and _number(values, small, 0) > _number(values, large, 0):
        key = small if report.is_given(small) or not report.is_given(large) else large
        yield report.error(key, f"{small} is more than {large}")


def _objects(values: Values, report: _Report) -> Iterator[Finding]:
    if "s3.kms_key_id" in values and not str(values.get("s3.sse", "")).startswith("aws:kms"):
        yield report.error("s3.kms_key_id", "needs s3.sse = aws:kms or aws:kms:dsse")
    for key in ("s3.prefix", "s3.partition", "deadletter.prefix"):
        if {".", ".."} & set(str(values.get(key, "")).split("/")):
            yield report.error(key, 'holds a part "." or "..", which many tools resolve')
    yield from _joined_prefixes(values, report)
    if "s3.bucket" in values and values.get("s3.bucket") == values.get("deadletter.bucket"):
        yield from _dead_letters_apart(values, report)


def _joined_prefixes(values: Values, report: _Report) -> Iterator[Finding]:
    """A prefix is put before the rest of the key as it is; one that ends with `-`, say, was meant so."""
    followed_by = {
        "s3.prefix": values.get("s3.key_template", values.get("s3.partition")),
        "deadletter.prefix": values.get("applicationName"),
    }
    for key, following in followed_by.items():
        prefix = str(values.get(key, ""))
        if prefix[-1:].isalnum() and following is not None:
            yield report.warning(
                key, f'keys will begin with "{prefix}{following}": for a folder write "{prefix}/"'
            )


def _object_keys(values: Values, report: _Report) -> Iterator[Finding]:
    if "s3.time_zone" in values:
        try:
            time_zone(str(values["s3.time_zone"]))
        except ValueError as error:
            yield report.error("s3.time_zone", str(error))
    if "s3.key_template" in values:
        prefix, stream = str(values.get("s3.prefix", "")), str(values.get("streamName", ""))
        try:
            check_template(str(values["s3.key_template"]), prefix=prefix, stream=stream)
        except TemplateError as error:
            yield report.error("s3.key_template", str(error))


def _object_format(values: Values, report: _Report) -> Iterator[Finding]:
    key, form = "s3.compression_level", values.get("s3.format")
    least, most = (0, 3) if form == "ndjson.gz" else (1, 19)
    if form is not None and not least <= _number(values, key, least) <= most:
        yield report.error(key, f"has to be {least} to {most} with s3.format = {form}")
    if form == "parquet":
        yield from _parquet(values, report)
    elif "s3.schema_file" in values:
        yield report.warning("s3.schema_file", "is used with s3.format = parquet only")


def _parquet(values: Values, report: _Report) -> Iterator[Finding]:
    if values.get("s3.validate_json") is False:
        yield report.error(
            "s3.validate_json", "has to be true with s3.format = parquet: a row is made of JSON"
        )
    time_field, unknown = str(values.get("record.time_field")), values.get("s3.unknown_fields")
    if "s3.schema_file" not in values:
        if len({str(values.get("record.key_field")).lower(), time_field.lower(), "log"}) < 3:
            message = "record.key_field, record.time_field and the column log need three names"
            yield report.error("record.time_field", message)
        if unknown != "reject":
            yield report.warning("s3.unknown_fields", "is used with s3.schema_file only")
        return
    try:
        read = read_schema(PROJECT_ROOT / str(values["s3.schema_file"]))
    except SchemaError as error:
        yield report.error("s3.schema_file", str(error))
        return
    columns = {column.name: column for column in read}
    yield from _has_column(columns, time_field, ("TIMESTAMP",), report, key="s3.schema_file")
    overflow = str(values.get("s3.overflow_column"))
    if unknown == "overflow" and overflow.lower() in {name.lower() for name in columns}:
        yield report.error("s3.schema_file", f"has a column {overflow}, which the daemon adds itself")


def _dead_letters_apart(values: Values, report: _Report) -> Iterator[Finding]:
    if str(values.get("deadletter.prefix")).startswith(str(values.get("s3.prefix"))):
        message = "lies below s3.prefix in the same bucket: whoever reads the logs reads the dead letters too"
        yield report.warning("deadletter.prefix", message)


def _record(values: Values, report: _Report) -> Iterator[Finding]:
    if values.get("record.key_field") == values.get("record.time_field"):
        yield report.error("record.time_field", "is record.key_field: they have to be two fields")
    try:
        time_parser(str(values.get("record.time_format")))
    except ValueError as error:
        yield report.error("record.time_format", str(error))


def _rows(values: Values, report: _Report) -> Iterator[Finding]:
    row = values.get("bigquery.row")
    if row == "log" and "bigquery.schema_file" in values:
        yield report.warning("bigquery.schema_file", "is not used with bigquery.row = log")
    if row == "fields" and "bigquery.schema_file" not in values:
        yield report.error("bigquery.schema_file", "is mandatory with bigquery.row = fields")
    elif row == "fields":
        yield from _schema(values, report)


def _log_columns(values: Values, report: _Report) -> Iterator[Finding]:
    names = [str(values.get(key)).lower() for key in ("record.key_field", "bigquery.partition_field")]
    if values.get("bigquery.row") == "log" and len({*names, "log"}) < 3:
        message = "record.key_field, bigquery.partition_field and the column log need three names"
        yield report.error("bigquery.partition_field", message)


def _load(values: Values, report: _Report) -> Iterator[Finding]:
    if values.get("bigquery.method") != "load":
        return
    jobs = math.ceil(_DAY_SECONDS / _number(values, "chunk.window", _DAY_SECONDS))
    if jobs > _LOAD_JOBS_PER_DAY:
        message = (
            f"makes up to {jobs} load jobs a day for each shard and table, and BigQuery takes {_LOAD_JOBS_PER_DAY}"
            " for a table: 60s times the number of shards, or more, is safe"
        )
        yield report.warning("chunk.window", message)


def _streams(values: Values, report: _Report) -> Iterator[Finding]:
    if values.get("bigquery.method") == "storage_write" and values.get("bigquery.key_digits") == 2:
        message = (
            "makes 256 streams for each shard at a start: a project may have 10000 an hour, and 5000 connections in a"
            " region, enough for 19 shards (39 in US and EU); bin/check counts them"
        )
        yield report.warning("bigquery.key_digits", message)


def _google_identity(values: Values, report: _Report) -> Iterator[Finding]:
    federated = values.get("bigquery.credentials") == "aws"
    if federated and "bigquery.identity_provider" not in values:
        yield report.error("bigquery.identity_provider", "is mandatory with bigquery.credentials = aws")
    for key in ("bigquery.identity_provider", "bigquery.service_account"):
        if key in values and not federated:
            yield report.error(key, "is used with bigquery.credentials = aws only")


def _row_columns(values: Values, report: _Report) -> Iterator[Finding]:
    """What stands beside the record's own fields needs names of its own."""
    if values.get("bigquery.row") != "fields":
        if values.get("bigquery.unknown_fields", "reject") != "reject":
            yield report.warning("bigquery.unknown_fields", "is used with bigquery.row = fields only")
        return
    overflows = values.get("bigquery.unknown_fields") == "overflow"
    added = [str(values.get("bigquery.overflow_column"))] if overflows else []
    if values.get("bigquery.metadata_columns"):
        added += METADATA_COLUMNS
    try:
        named = {
            column.name.lower() for column in read_schema(PROJECT_ROOT / str(values["bigquery.schema_file"]))
        }
    except (KeyError, SchemaError):
        return  # told already
    for name in added:
        if name.lower() in named:
            message = f"has a column {name}, which the daemon adds itself"
            yield report.error("bigquery.schema_file", message)


def _clustering(values: Values, report: _Report) -> Iterator[Finding]:
    names = [name.strip().lower() for name in str(values.get("bigquery.clustering", "")).split(",")]
    if len(set(names)) < len(names):
        yield report.error("bigquery.clustering", "names a column twice")


def _schema(values: Values, report: _Report) -> Iterator[Finding]:
    try:
        columns = {
            column.name: column for column in read_schema(PROJECT_ROOT / str(values["bigquery.schema_file"]))
        }
    except SchemaError as error:
        yield report.error("bigquery.schema_file", str(error))
        return
    key_field, partition_field = (
        str(values.get("record.key_field")),
        str(values.get("bigquery.partition_field")),
    )
    yield from _has_column(columns, key_field, ("STRING",), report)
    yield from _has_column(columns, partition_field, ("TIMESTAMP",), report)


def _has_column(
    columns: Mapping[str, Column],
    name: str,
    types: tuple[str, ...],
    report: _Report,
    *,
    key: str = "bigquery.schema_file",
) -> Iterator[Finding]:
    column = columns.get(name)
    if column is None or column.type not in types or column.mode == "REPEATED":
        found = "has none" if column is None else f"has it as {column.mode} {column.type}"
        yield report.error(key, f"needs a column {name} of type {types[0]}, and {found}")


def _number(values: Values, key: str, otherwise: float) -> float:
    value = values.get(key, otherwise)
    return value if isinstance(value, (int, float)) else otherwise


_RULES: tuple[Callable[[Values, _Report], Iterator[Finding]], ...] = (
    _record,
    _starting_position,
    _reading,
    _region_of_stream,
    _life_cycle,
    _credentials,
    _stream_role,
    _java,
    _limits,
    _objects,
    _object_keys,
    _object_format,
    _rows,
    _log_columns,
    _row_columns,
    _clustering,
    _google_identity,
    _load,
    _streams,
)
