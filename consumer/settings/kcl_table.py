"""The keys of KCL 3.1.3's MultiLangDaemon: every property it knows, its type, and what it gets wrong
silently.

The KCL ignores unknown keys, and copies a primitive (long, int, boolean, double) to its configuration only
when it is not zero or false, so that such a value means its default. `zero` says what zero or false then
really means. `default` is what this daemon sets where a file says nothing; `kcl_default` is what the KCL does
without the key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from consumer.settings.table import Backend
from consumer.settings.values import REGION, URL, Choice, Flag, Integer, Kind, Number, Text

type Owner = Literal["operator", "daemon", "nobody"]

KCL_VERSION = "3.1.3"

_MILLIS = Integer(at_least=0, at_most=86_400_000)
_COUNT = Integer(at_least=0, at_most=2_147_483_647)
_PERCENT = Integer(at_least=0, at_most=100)
_NAME = Text(form="a name: letters, digits, _ . and -", pattern=r"[A-Za-z0-9_.-]{1,255}")
_CLASS = Text(
    form="a credentials provider class with its | separated arguments",
    shown=False,
    pattern=r"[A-Za-z_][\w.$]*(?:\|[^\s|]*)*",
)
_ANY = Text()
_BILLING = Choice(("PAY_PER_REQUEST", "PROVISIONED"))
_TAGS = Text(form="tags as key=value,key=value", pattern=r"[^=,]+=[^=,]*(?:,[^=,]+=[^=,]*)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class KclKey:
    """One property of the KCL. `owner` is "daemon" for those the daemon computes, "nobody" for those that no
    text can set; either is refused in a file, with `meaning` saying what to do instead. `trap` is what goes wrong
    without a word when the key is left to the KCL or set carelessly."""

    name: str
    kind: Kind
    meaning: str
    kcl_default: str = ""
    default: str | Mapping[Backend, str] | None = None
    zero: str | None = None
    trap: str = ""
    owner: Owner = "operator"

    def default_for(self, backend: Backend) -> str | None:
        if self.default is None or isinstance(self.default, str):
            return self.default
        return self.default.get(backend)


def _key(
    name: str,
    kind: Kind,
    meaning: str,
    kcl_default: str = "",
    *,
    default: str | Mapping[Backend, str] | None = None,
    zero: str | None = None,
    trap: str = "",
) -> KclKey:
    return KclKey(
        name=name,
        kind=kind,
        meaning=meaning,
        kcl_default=kcl_default,
        default=default,
        zero=zero,
        trap=trap,
    )


def _refused(owner: Owner, **instead: str) -> Iterable[KclKey]:
    return (KclKey(name=name, kind=_ANY, meaning=meaning, owner=owner) for name, meaning in instead.items())


_STREAM = (
    _key(
        "applicationName",
        _NAME,
        "name of the KCL application and of its lease table",
        default={"s3": "player-log-s3", "bigquery": "player-log-bigquery"},
        trap="Another name is another application: it reads the stream from initialPositionInStream on",
    ),
    _key("streamName", _NAME, "stream to read", default="player-logs"),
    _key(
        "streamArn",
        Text(
            form="a stream's ARN, as arn:aws:kinesis:eu-west-1:123456789012:stream/name",
            pattern=r"arn:aws[a-z-]*:kinesis:[a-z0-9-]+:\d{12}:stream/[A-Za-z0-9_.-]+",
        ),
        "stream to read, when it stands in another account; it overrules streamName",
    ),
    _key(
        "regionName", REGION, "region of stream, lease tables and metrics", "us-east-1", default="us-east-1"
    ),
    _key("kinesisEndpoint", URL, "Kinesis endpoint in place of Amazon's"),
    _key("dynamoDBEndpoint", URL, "DynamoDB endpoint in place of Amazon's"),
    _key(
        "AwsCredentialsProvider",
        _CLASS,
        "credentials provider class; the KCL does not start without one",
        default="DefaultCredentialsProvider",
        trap="The KCL logs every value, so no keys belong here",
    ),
    _key("AwsCredentialsProviderDynamoDB", _CLASS, "credentials provider for the lease tables alone"),
    _key("AwsCredentialsProviderCloudWatch", _CLASS, "credentials provider for metrics alone"),
    _key(
        "initialPositionInStream",
        Choice(("TRIM_HORIZON", "LATEST")),
        "where a shard without a checkpoint starts",
        "LATEST",
        default="TRIM_HORIZON",
        trap="LATEST skips what stands on the stream at the first start",
    ),
    _key(
        "initialPositionInStreamExtended",
        Integer(at_least=1, at_most=99_999_999_999),
        "where a shard without a checkpoint starts, in seconds since the epoch",
    ),
)

_READING = (
    _key(
        "retrievalMode",
        Choice(("POLLING", "FANOUT", "DEFAULT")),
        "POLLING, or enhanced fan-out, which is billed by shard and byte",
        "DEFAULT (fan-out)",
        default="POLLING",
        trap="FANOUT and DEFAULT are billed by shard-hour and GB",
    ),
    _key(
        "maxRecords",
        Integer(at_least=0, at_most=10_000),
        "most records of one GetRecords call",
        "10000",
        default="4000",
        zero="10000",
    ),
    _key(
        "idleTimeBetweenReadsInMillis",
        _MILLIS,
        "pause between two reads of a shard; less than 200 is taken as 200",
        "1500",
        default="1000",
        zero="1500",
    ),
    _key(
        "millisBehindLatestThresholdForReducedTps",
        _MILLIS,
        "shards nearer to the tip than this are read less often",
        "0",
    ),
    _key("retryGetRecordsInSeconds", _COUNT, "time after which a silent GetRecords call is repeated"),
    _key("maxGetRecordsThreadPool", _COUNT, "without effect in this version"),
    _key(
        "callProcessRecordsEvenForEmptyRecordList",
        Flag(),
        "call shard processes without records too: their only clock for idle chunks and checkpoints",
        "false",
        default="true",
        trap="false leaves idle chunks undelivered",
    ),
    _key(
        "validateSequenceNumberBeforeCheckpointing",
        Flag(),
        "without effect in this version",
    ),
    *(
        _key(f"fanoutConfig.{name}", kind, meaning, kcl_default, zero=zero)
        for name, kind, meaning, kcl_default, zero in (
            ("consumerArn", _ANY, "ARN of a registered fan-out consumer", "", None),
            ("consumerName", _NAME, "name of the fan-out consumer", "applicationName", None),
            ("maxDescribeStreamSummaryRetries", _COUNT, "tries to describe the stream", "10", "10"),
            ("maxDescribeStreamConsumerRetries", _COUNT, "tries to describe the consumer", "10", "10"),
            ("registerStreamConsumerRetries", _COUNT, "tries to register the consumer", "10", "10"),
            ("retryBackoffMillis", _MILLIS, "pause between those tries", "1000", "1000"),
        )
    ),
)

_LEASES = (
    _key("tableName", _NAME, "lease table", "applicationName"),
    _key(
        "failoverTimeMillis",
        Integer(at_least=0, at_most=3_600_000),
        "a lease not renewed for this long is free for another worker",
        "10000",
        default="10000",
        zero="10000",
    ),
    _key(
        "leaseAssignmentIntervalMillis",
        _MILLIS,
        "time between two assignments of leases to workers",
        "2 x failoverTimeMillis",
        default="2000",
        zero="2 x failoverTimeMillis",
    ),
    _key("enablePriorityLeaseAssignment", Flag(), "leases long without an owner are assigned first", "true"),
    _key(
        "leaseTableDeletionProtectionEnabled", Flag(), "deletion protection of a created lease table", "false"
    ),
    _key("leaseTablePitrEnabled", Flag(), "point-in-time recovery of a created lease table", "false"),
    _key(
        "shardSyncIntervalMillis",
        _MILLIS,
        "time between two comparisons of leases and shards, and slept through once at the first start",
        "60000",
        default="1",
        zero="60000",
        trap="The default is slept through once, before the first record ever",
    ),
    _key(
        "cleanupLeasesUponShardCompletion",
        Flag(),
        "delete the leases of ended shards",
        "true",
        zero="true",
    ),
    _key("ignoreUnexpectedChildShards", Flag(), "go on when a child shard has open parents", "false"),
    _key(
        "maxLeasesForWorker",
        _COUNT,
        "most shards of one worker",
        "2147483647",
        zero="2147483647",
        trap="Shards beyond what all workers may take together are read by nobody",
    ),
    _key("maxLeasesToStealAtOneTime", _COUNT, "most leases taken from another worker at once", "1", zero="1"),
    *(
        _key(
            f"initialLeaseTable{kind}Capacity",
            _COUNT,
            "without effect in this version: a created lease table is billed by request",
        )
        for kind in ("Read", "Write")
    ),
    _key("maxLeaseRenewalThreads", _COUNT, "threads that renew leases", "20", zero="20"),
    _key(
        "listShardsBackoffTimeInMillis", _MILLIS, "pause before ListShards is repeated", "1500", zero="1500"
    ),
    _key("maxListShardsRetryAttempts", _COUNT, "tries of ListShards", "50", zero="50"),
    _key(
        "gracefulLeaseHandoffTimeoutMillis",
        _MILLIS,
        "time a shard has to finish before its lease moves",
        "30000",
    ),
    _key(
        "isGracefulLeaseHandoffEnabled",
        Flag(),
        "ask a shard to finish before its lease moves",
        "true",
        default="false",
        trap="With true, a worker that ends while a lease moves to it leaves the shard read by nobody, for good",
    ),
)

_COORDINATOR = (
    _key(
        "parentShardPollIntervalMillis",
        _MILLIS,
        "time between two looks whether a parent shard has ended",
        "10000",
        zero="10000",
    ),
    _key(
        "skipShardSyncAtWorkerInitializationIfLeasesExist",
        Flag(),
        "start without comparing shards and leases when there are leases, and take every record of an aggregate",
        "false",
        default="true",
        trap="With false, the KCL drops without a word each record of an aggregate that lies outside of its shard,"
        " which only the KPL puts again; with true, what the KPL puts again after a split comes twice"
        " (docs/aggregates.md)",
    ),
    _key(
        "schedulerInitializationBackoffTimeMillis",
        _MILLIS,
        "pause between two tries to start",
        "1000",
        zero="1000",
    ),
    _key(
        "clientVersionConfig",
        Choice(("CLIENT_VERSION_CONFIG_3X", "CLIENT_VERSION_CONFIG_COMPATIBLE_WITH_2X")),
        "lease balancing of KCL 3, or one that KCL 2 workers can share",
        "CLIENT_VERSION_CONFIG_3X",
    ),
    _key("taskBackoffTimeMillis", _MILLIS, "pause before a failed task is repeated", "500", zero="500"),
    _key(
        "logWarningForTaskAfterMillis",
        _MILLIS,
        "a task that runs longer is logged as a warning",
    ),
    _key(
        "shutdownGraceMillis",
        Integer(at_least=1, at_most=3_600_000),
        "time shard processes have to deliver and checkpoint at an orderly end",
        "0",
        default="25000",
        trap="systemd and ECS have to wait longer than this, by supervisor.grace_margin",
    ),
    _key(
        "timeoutInSeconds",
        Integer(at_least=1, at_most=86_400),
        "the JVM halts when a call of a shard process takes longer",
        trap="An outage of the backend that lasts longer halts the JVM again and again; leave it unset",
    ),
    _key("maxActiveThreads", _COUNT, "threads of the daemon; 0 is no limit", "0"),
)

_METRICS = (
    _key(
        "metricsLevel",
        Choice(("NONE", "SUMMARY", "DETAILED")),
        "the KCL's metrics in CloudWatch, which are billed",
        "DETAILED",
        default="NONE",
    ),
    _key("metricsBufferTimeMillis", _MILLIS, "longest time before metrics are sent", "10000", zero="10000"),
    _key("metricsMaxQueueSize", _COUNT, "most metrics that wait", "10000", zero="10000"),
    _key(
        "metricsEnabledDimensions",
        Text(form="dimensions, separated by commas"),
        "dimensions of metrics",
        "All",
    ),
)

_BALANCING = (
    _key(
        "inMemoryWorkerMetricsCaptureFrequencyMillis",
        _MILLIS,
        "time between two samples of load",
        "1000",
        zero="1000",
    ),
    _key(
        "workerMetricsReporterFreqInMillis",
        _MILLIS,
        "time between two reports of load",
        "30000",
        zero="30000",
    ),
    _key("noOfPersistedMetricsPerWorkerMetrics", _COUNT, "samples kept in the table", "10", zero="10"),
    _key("disableWorkerMetrics", Flag(), "balance by throughput instead of CPU load", "false"),
    _key(
        "maxThroughputPerHostKBps",
        Number(at_least=0),
        "most throughput assigned to one worker, in KB/s",
        "unlimited",
        zero="unlimited",
    ),
    _key("dampeningPercentage", _PERCENT, "share of the surplus moved at once", "60", zero="60"),
    _key(
        "reBalanceThresholdPercentage", _PERCENT, "load may differ this much from the mean", "10", zero="10"
    ),
    _key("allowThroughputOvershoot", Flag(), "move one lease even if that overshoots", "true"),
    _key("varianceBalancingFrequency", _COUNT, "balance once in this many assignments", "3", zero="3"),
    _key(
        "workerMetricsEMAAlpha",
        Number(at_least=0, at_most=1),
        "weight of the newest sample",
        "0.5",
        zero="0.5",
    ),
    _key(
        "staleWorkerMetricsEntryCleanupDuration",
        Text(
            form="an ISO 8601 duration, as PT15M",
            pattern=r"P(?=.)(?:\d+D)?(?:T(?=.)(?:\d+H)?(?:\d+M)?(?:\d+S)?)?",
        ),
        "age at which a worker's entry is deleted",
        "PT24H",
    ),
)


def _table(prefix: str, what: str) -> Iterable[KclKey]:
    return (
        _key(f"{prefix}TableName", _NAME, f"table of {what}", f"<applicationName>-{what}"),
        _key(f"{prefix}BillingMode", _BILLING, f"billing of the table of {what}", "PAY_PER_REQUEST"),
        _key(f"{prefix}ReadCapacity", _COUNT, "its read capacity when provisioned", "10", zero="10"),
        _key(f"{prefix}WriteCapacity", _COUNT, "its write capacity when provisioned", "10", zero="10"),
        _key(f"{prefix}PointInTimeRecoveryEnabled", Flag(), "its point-in-time recovery", "false"),
        _key(f"{prefix}DeletionProtectionEnabled", Flag(), "its deletion protection", "false"),
        _key(f"{prefix}Tags", _TAGS, "its tags"),
    )


_NOT_THE_OPERATORS = (
    *_refused(
        "daemon",
        executableName="the daemon starts its own shard processes",
        processingLanguage="the daemon sets it",
        workerId="set worker.id",
        workerIdentifier="set worker.id",
    ),
    *_refused("nobody", shardPrioritization="the KCL cannot read it from a file"),
)

KCL_KEYS: Mapping[str, KclKey] = {
    key.name: key
    for key in (
        *_STREAM,
        *_READING,
        *_LEASES,
        *_COORDINATOR,
        *_METRICS,
        *_BALANCING,
        *_table("workerMetrics", "WorkerMetricStats"),
        *_table("coordinatorState", "CoordinatorState"),
        *_NOT_THE_OPERATORS,
    )
}

KCL_CLIENT_PREFIXES = ("kinesisClient.", "dynamoDbClient.", "cloudWatchClient.")
"""Keys below these are properties of AWS SDK client builders; the KCL itself refuses those that it does not
know."""
