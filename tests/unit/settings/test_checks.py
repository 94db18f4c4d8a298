from pathlib import Path

import pytest

from consumer.settings import PROJECT_ROOT, Backend, SettingsError, Severity, load

VALID: dict[Backend, dict[str, str]] = {
    "s3": {"s3.bucket": "bucket"},
    "bigquery": {"bigquery.project": "project", "bigquery.dataset": "set", "deadletter.bucket": "bucket"},
}
EXAMPLE_SCHEMA = str(PROJECT_ROOT / "properties" / "player_log.schema.json")


def findings(backend: Backend, **overrides: str) -> list[tuple[Severity, str, str]]:
    named = {key.replace("__", "."): text for key, text in overrides.items()}
    try:
        found = load(backend, overrides={**VALID[backend], **named}).warnings
    except SettingsError as error:
        found = error.findings
    return [(finding.severity, finding.key, finding.message) for finding in found]


@pytest.mark.parametrize("backend", ["s3", "bigquery"])
@pytest.mark.parametrize(
    "missing", ["s3.bucket", "bigquery.project", "bigquery.dataset", "deadletter.bucket"]
)
def test_a_mandatory_setting_that_is_missing_is_an_error(backend: Backend, missing: str) -> None:
    overrides = {key: text for key, text in VALID[backend].items() if key != missing}
    if len(overrides) == len(VALID[backend]):
        load(backend, overrides=overrides)
        return
    with pytest.raises(SettingsError, match=rf"^{missing}: is mandatory for {backend}"):
        load(backend, overrides=overrides)


def test_dead_letters_of_s3_go_to_its_bucket_unless_set() -> None:
    assert load("s3", overrides=VALID["s3"]).text("deadletter.bucket") == "bucket"
    overrides = {**VALID["s3"], "deadletter.bucket": "other"}
    assert load("s3", overrides=overrides).text("deadletter.bucket") == "other"


def test_buckets_lie_in_the_region_of_the_stream_unless_set() -> None:
    overrides = {**VALID["s3"], "regionName": "eu-west-1"}
    assert load("s3", overrides=overrides).text("s3.region") == "eu-west-1"
    assert load("s3", overrides={**overrides, "s3.region": "eu-west-2"}).text("s3.region") == "eu-west-2"


@pytest.mark.parametrize(
    ("backend", "overrides", "key", "message"),
    [
        (
            "s3",
            {"chunk__max_bytes": "200MiB"},
            "chunk.max_bytes",
            "is more than delivery.max_in_flight_bytes",
        ),
        (
            "s3",
            {"delivery__max_in_flight_bytes": "1MiB"},
            "delivery.max_in_flight_bytes",
            "chunk.max_bytes is more",
        ),
        ("s3", {"retry__base": "31s"}, "retry.base", "is more than retry.max"),
        ("s3", {"s3__kms_key_id": "alias/key"}, "s3.kms_key_id", "needs s3.sse"),
        ("s3", {"s3__prefix": "a/../b/"}, "s3.prefix", '".."'),
        ("s3", {"s3__compression_level": "4"}, "s3.compression_level", "0 to 3"),
        (
            "s3",
            {"s3__format": "ndjson.zst", "s3__compression_level": "0"},
            "s3.compression_level",
            "1 to 19",
        ),
        ("s3", {"s3__format": "parquet", "s3__validate_json": "false"}, "s3.validate_json", "has to be true"),
        (
            "s3",
            {"s3__format": "parquet", "record__time_field": "log"},
            "record.time_field",
            "three names",
        ),
        ("s3", {"s3__format": "parquet", "s3__schema_file": "no/such"}, "s3.schema_file", "cannot read"),
        (
            "s3",
            {"s3__format": "parquet", "s3__schema_file": EXAMPLE_SCHEMA, "record__time_field": "at"},
            "s3.schema_file",
            "needs a column at of type TIMESTAMP",
        ),
        (
            "s3",
            {
                "s3__format": "parquet",
                "s3__schema_file": EXAMPLE_SCHEMA,
                "s3__unknown_fields": "overflow",
                "s3__overflow_column": "player_id",
            },
            "s3.schema_file",
            "which the daemon adds itself",
        ),
        ("s3", {"s3__key_template": "a/{b"}, "s3.key_template", "none of what a template has"),
        ("s3", {"s3__key_template": "{a}/../b"}, "s3.key_template", "many tools resolve"),
        ("s3", {"s3__key_template": "/".join(f"{{f{n}}}" for n in range(7))}, "s3.key_template", "1024"),
        ("s3", {"s3__time_zone": "Europe/Nowhere"}, "s3.time_zone", "no zone of the tz database"),
        ("s3", {"deadletter__prefix": "./x/"}, "deadletter.prefix", '"."'),
        ("s3", {"shardSyncIntervalMillis": "0"}, "shardSyncIntervalMillis", "uses 60000"),
        ("s3", {"idleTimeBetweenReadsInMillis": "0"}, "idleTimeBetweenReadsInMillis", "uses 1500"),
        (
            "s3",
            {"cleanupLeasesUponShardCompletion": "false"},
            "cleanupLeasesUponShardCompletion",
            "skips false",
        ),
        ("s3", {"shutdownGraceMillis": "0"}, "shutdownGraceMillis", "less than 1"),
        (
            "s3",
            {"callProcessRecordsEvenForEmptyRecordList": "false"},
            "callProcessRecordsEvenForEmptyRecordList",
            "has to be true",
        ),
        (
            "s3",
            {"AwsCredentialsProvider": "StaticCredentialsProvider|id|secret"},
            "AwsCredentialsProvider",
            "do not belong here",
        ),
        (
            "s3",
            {"initialPositionInStream": "TRIM_HORIZON", "initialPositionInStreamExtended": "1700000000"},
            "initialPositionInStream",
            "cannot stand beside",
        ),
        (
            "bigquery",
            {"bigquery__row": "fields"},
            "bigquery.schema_file",
            "is mandatory with bigquery.row = fields",
        ),
        (
            "bigquery",
            {"bigquery__row": "fields", "bigquery__schema_file": "/nowhere.json"},
            "bigquery.schema_file",
            "cannot read",
        ),
        (
            "bigquery",
            {
                "bigquery__row": "fields",
                "bigquery__schema_file": EXAMPLE_SCHEMA,
                "bigquery__partition_field": "day",
            },
            "bigquery.schema_file",
            "needs a column day of type TIMESTAMP, and has none",
        ),
        (
            "bigquery",
            {
                "bigquery__row": "fields",
                "bigquery__schema_file": EXAMPLE_SCHEMA,
                "record__key_field": "session",
            },
            "bigquery.schema_file",
            "has it as NULLABLE RECORD",
        ),
        ("bigquery", {"bigquery__partition_field": "LOG"}, "bigquery.partition_field", "need three names"),
        ("s3", {"kinesis__role_arn": "arn:aws:iam::1:role/x"}, "kinesis.role_arn", "is not a role's ARN"),
        ("s3", {"kinesis__role_external_id": "agreed"}, "kinesis.role_external_id", "needs kinesis.role_arn"),
        (
            "s3",
            {
                "kinesis__role_arn": "arn:aws:iam::123456789012:role/x",
                "AwsCredentialsProvider": "ProfileCredentialsProvider",
            },
            "AwsCredentialsProvider",
            "cannot stand beside kinesis.role_arn",
        ),
        ("bigquery", {"bigquery__clustering": "a, A"}, "bigquery.clustering", "names a column twice"),
        (
            "bigquery",
            {
                "bigquery__row": "fields",
                "bigquery__schema_file": EXAMPLE_SCHEMA,
                "bigquery__unknown_fields": "overflow",
                "bigquery__overflow_column": "SESSION",
            },
            "bigquery.schema_file",
            "has a column SESSION, which the daemon adds itself",
        ),
        (
            "bigquery",
            {"bigquery__credentials": "aws"},
            "bigquery.identity_provider",
            "is mandatory with bigquery.credentials = aws",
        ),
        (
            "bigquery",
            {"bigquery__service_account": "consumer@project.iam.gserviceaccount.com"},
            "bigquery.service_account",
            "with bigquery.credentials = aws only",
        ),
    ],
)
def test_settings_that_do_not_fit_are_an_error(
    backend: Backend, overrides: dict[str, str], key: str, message: str
) -> None:
    found = findings(backend, **overrides)
    assert [(severity, name) for severity, name, _ in found] == [(Severity.ERROR, key)]
    assert message in found[0][2]
    assert "secret" not in found[0][2]


@pytest.mark.parametrize(
    ("backend", "overrides", "key"),
    [
        ("s3", {"initialPositionInStream": "LATEST"}, "initialPositionInStream"),
        ("s3", {"retrievalMode": "DEFAULT"}, "retrievalMode"),
        ("s3", {"maxRecords": "100"}, "maxRecords"),
        ("s3", {"idleTimeBetweenReadsInMillis": "100"}, "idleTimeBetweenReadsInMillis"),
        ("s3", {"timeoutInSeconds": "60"}, "timeoutInSeconds"),
        (
            "s3",
            {"AwsCredentialsProvider": "StsAssumeRoleCredentialsProvider|arn|session"},
            "AwsCredentialsProvider",
        ),
        ("s3", {"isGracefulLeaseHandoffEnabled": "true"}, "isGracefulLeaseHandoffEnabled"),
        (
            "s3",
            {"skipShardSyncAtWorkerInitializationIfLeasesExist": "false"},
            "skipShardSyncAtWorkerInitializationIfLeasesExist",
        ),
        ("s3", {"shutdownGraceMillis": "4999"}, "shutdownGraceMillis"),
        ("s3", {"deadletter__prefix": "player-log/dead/"}, "deadletter.prefix"),
        ("bigquery", {"bigquery__schema_file": EXAMPLE_SCHEMA}, "bigquery.schema_file"),
        ("bigquery", {"bigquery__unknown_fields": "ignore"}, "bigquery.unknown_fields"),
        ("bigquery", {"bigquery__method": "load", "chunk__window": "57s"}, "chunk.window"),
    ],
)
def test_a_costly_or_dangerous_choice_is_a_warning(
    backend: Backend, overrides: dict[str, str], key: str
) -> None:
    assert [(severity, name) for severity, name, _ in findings(backend, **overrides)] == [
        (Severity.WARNING, key)
    ]


def test_jvm_options_that_no_shell_can_split_are_an_error() -> None:
    assert findings("s3", jvm__options="-Da='b") == [
        (Severity.ERROR, "jvm.options", "cannot be split as a shell would: No closing quotation")
    ]


def test_a_stream_arn_of_another_region_is_an_error_unless_an_endpoint_is_named() -> None:
    stream = {"streamArn": "arn:aws:kinesis:eu-west-1:123456789012:stream/logs", "regionName": "us-east-1"}
    assert findings("s3", **stream) == [
        (Severity.ERROR, "regionName", "is not eu-west-1, where streamArn says the stream is")
    ]
    assert findings("s3", **{**stream, "regionName": "eu-west-1"}) == []
    assert findings("s3", **stream, kinesisEndpoint="https://kinesis.example") == []


def test_a_prefix_that_runs_into_the_rest_of_the_key_is_told_with_the_key_and_the_cure() -> None:
    found = findings("s3", s3__prefix="player-log", deadletter__prefix="dead")
    assert found == [
        (
            Severity.WARNING,
            "s3.prefix",
            'keys will begin with "player-logdt=%Y-%m-%d/hour=%H": for a folder write "player-log/"',
        ),
        (
            Severity.WARNING,
            "deadletter.prefix",
            'keys will begin with "deadplayer-log-s3": for a folder write "dead/"',
        ),
    ]


@pytest.mark.parametrize("prefix", ["", "player-log/", "logs/player-", "logs/game="])
def test_a_prefix_that_ends_where_a_name_may_begin_is_taken_without_a_word(prefix: str) -> None:
    assert findings("s3", s3__prefix=prefix, deadletter__bucket="other") == []


@pytest.mark.parametrize(
    ("backend", "overrides"),
    [
        ("s3", {"s3__sse": "aws:kms", "s3__kms_key_id": "alias/key"}),
        ("s3", {"deadletter__prefix": "player-log/", "deadletter__bucket": "other"}),
        ("s3", {"initialPositionInStreamExtended": "1700000000"}),
        ("s3", {"maxActiveThreads": "0", "ignoreUnexpectedChildShards": "false"}),
        ("bigquery", {"bigquery__row": "fields", "bigquery__schema_file": EXAMPLE_SCHEMA}),
        ("bigquery", {"bigquery__clustering": "a, b,c"}),
        ("bigquery", {"bigquery__method": "load", "chunk__window": "58s"}),
        (
            "bigquery",
            {
                "bigquery__row": "fields",
                "bigquery__schema_file": EXAMPLE_SCHEMA,
                "bigquery__unknown_fields": "overflow",
                "bigquery__metadata_columns": "true",
            },
        ),
    ],
)
def test_settings_that_fit_have_no_finding(backend: Backend, overrides: dict[str, str]) -> None:
    assert findings(backend, **overrides) == []


def test_a_start_at_a_moment_leaves_out_the_default_position(tmp_path: Path) -> None:
    overrides = {**VALID["s3"], "initialPositionInStreamExtended": "1700000000"}
    assert "initialPositionInStream" not in load("s3", overrides=overrides).kcl


@pytest.mark.parametrize("backend", ["s3", "bigquery"])
@pytest.mark.parametrize("pattern", ["%Q", "%Y %d %d", "%s"])
def test_a_time_pattern_that_reads_nothing_is_an_error(backend: Backend, pattern: str) -> None:
    ((severity, key, message),) = findings(backend, record__time_format=pattern)
    assert (severity, key) == (Severity.ERROR, "record.time_format")
    assert "is no time pattern" in message


@pytest.mark.parametrize(
    "time_format",
    [*("iso8601", "epoch", "epoch_s", "epoch_ms", "epoch_us", "epoch_ns"), "%d/%b/%Y:%H:%M:%S %z"],
)
def test_time_formats_that_can_be_read_are_taken(time_format: str) -> None:
    assert findings("s3", record__time_format=time_format) == []


def test_key_and_time_have_to_be_two_fields() -> None:
    found = findings("s3", record__time_field="player_id")
    assert [(severity, key) for severity, key, _ in found] == [(Severity.ERROR, "record.time_field")]


@pytest.mark.parametrize("name", ["missing", ".", "file"])
def test_a_java_that_cannot_be_run_is_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch(mode=0o644)
    path = tmp_path / name
    assert findings("s3", jvm__java=str(path)) == [
        (Severity.ERROR, "jvm.java", f"{path} is not an executable file")
    ]


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("AwsCredentialsProvider", "StaticCredentialsProvider|id|hush hush"),
        ("AwsCredentialsProvider", "StaticCredentialsProvider|id|hush"),
        ("kinesisEndpoint", "https://user:hush@here"),
        ("s3.endpoint_url", "https://user:hush@here/ x"),
        ("aws_secret_access_key", "hush"),
    ],
)
def test_no_finding_shows_a_secret(key: str, text: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load("s3", overrides={**VALID["s3"], key: text})
    assert "hush" not in str(raised.value)


def test_twelve_planted_faults_are_twelve_findings_each_with_its_line(tmp_path: Path) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text('[{"name": "player_id", "type": "TEXT"}]')
    planted = {
        "bigquery.datset = logs": (Severity.ERROR, "did you mean bigquery.dataset?"),
        "delivery.concurrency = many": (Severity.ERROR, "is not a whole number"),
        "bigquery.rows_per_request = 0": (Severity.ERROR, "is less than 1"),
        "frobnicate = yes": (Severity.ERROR, "no such setting"),
        "streamName = other": (Severity.ERROR, "set before, in line 2"),
        "shardSyncIntervalMillis = 0": (Severity.ERROR, "uses 60000"),
        "deadletter.bucket =": (Severity.ERROR, "is mandatory for bigquery"),
        "initialPositionInStream = LATEST": (Severity.WARNING, "skips what stands on the stream"),
        "retrievalMode = FANOUT": (Severity.WARNING, "billed"),
        f"bigquery.schema_file = {schema}": (Severity.ERROR, '"TEXT" is no type of BigQuery'),
        "record.time_format = %Y-%": (Severity.ERROR, "is no time pattern"),
        f"jvm.java = {tmp_path / 'nowhere'}": (Severity.ERROR, "is not an executable file"),
    }
    assert len(planted) == 12
    sound = [
        "# twelve faults",
        "streamName = logs",
        "bigquery.project = project",
        "bigquery.dataset = logs",
        "bigquery.row = fields",
    ]
    file = tmp_path / "bigquery.properties"
    file.write_text("\n".join([*sound, *planted]))
    with pytest.raises(SettingsError) as raised:
        load("bigquery", file=file)
    found = raised.value.findings
    assert [finding.line for finding in found] == list(range(len(sound) + 1, len(sound) + 13))
    for finding, (severity, words) in zip(found, planted.values(), strict=True):
        assert finding.severity is severity
        assert finding.file == str(file)
        assert words in finding.message


def test_counts_of_rows_are_kept_in_a_table_of_the_application_unless_set() -> None:
    chosen = {**VALID["bigquery"], "bigquery.method": "storage_write", "applicationName": "app"}
    assert load("bigquery", overrides=chosen).text("bigquery.positions_table") == "app-BigQueryStreams"
    own = {**chosen, "bigquery.positions_table": "own"}
    assert load("bigquery", overrides=own).text("bigquery.positions_table") == "own"
    assert load("bigquery", overrides=VALID["bigquery"])["bigquery.positions_table"] is None
