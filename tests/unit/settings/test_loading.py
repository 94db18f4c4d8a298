import os
from pathlib import Path

import pytest

from consumer.settings import (
    PROJECT_ROOT,
    Backend,
    Finding,
    Settings,
    SettingsError,
    Severity,
    load,
    look_up,
)

S3 = {"s3.bucket": "bucket"}
BIGQUERY = {"bigquery.project": "project", "bigquery.dataset": "set", "deadletter.bucket": "bucket"}

TWELVE_FAULTS = """\
s3.bucket = Not_A_Bucket
chunk.windw = 5s
chunk.window = 5
chunk.max_records = 0
delivery.concurrency = 8
delivery.concurrency = 9
cleanupLeasesUponShardCompletion = false
initialPositionInStream = LATEST
retrievalMode = FANOUT
bigquery.project = project
worker.id = ${HOSTNAME}
s3.partition = dt=%Y/../%Z
regionName
"""


def findings_of(
    backend: Backend, overrides: dict[str, str], *, file: Path | None = None
) -> tuple[Finding, ...]:
    with pytest.raises(SettingsError) as refusal:
        load(backend, file=file, overrides=overrides)
    return refusal.value.findings


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "some.properties"
    path.write_text(text)
    return path


def test_twelve_faults_are_twelve_findings_each_with_its_line(tmp_path: Path) -> None:
    findings = findings_of("s3", {}, file=write(tmp_path, TWELVE_FAULTS))
    assert [(finding.line, finding.key) for finding in findings] == [
        (1, "s3.bucket"),
        (2, "chunk.windw"),
        (3, "chunk.window"),
        (4, "chunk.max_records"),
        (6, "delivery.concurrency"),
        (7, "cleanupLeasesUponShardCompletion"),
        (8, "initialPositionInStream"),
        (9, "retrievalMode"),
        (10, "bigquery.project"),
        (11, "worker.id"),
        (12, "s3.partition"),
        (13, "regionName"),
    ]
    assert {finding.file for finding in findings} == {str(tmp_path / "some.properties")}
    warnings = [finding.line for finding in findings if finding.severity is Severity.WARNING]
    assert warnings == [8, 9]


def test_a_fault_of_every_kind_is_found_in_one_run_with_its_line(tmp_path: Path) -> None:
    schema = tmp_path / "broken.schema.json"
    schema.write_text('[{"name": "player_id", "type": "STRING"')
    planted = {
        "bigquery.datset = logs": "no such setting; did you mean bigquery.dataset?",  # a typo
        "delivery.concurrency = many": "is not a whole number",  # a wrong type
        "chunk.window = 3h": "is more than 1h",  # out of range
        "alpha.omega = 1": "no such setting",  # unknown, and like nothing
        "bigquery.dataset = again": "set before, in line 2",  # a duplicate
        "shardSyncIntervalMillis = 0": "the KCL skips 0 without a word",  # a zero that the KCL skips
        "deadletter.bucket =": "is mandatory for bigquery and not set",  # a missing bucket
        "initialPositionInStream = LATEST": "LATEST skips what stands on the stream",
        "retrievalMode = FANOUT": "FANOUT is enhanced fan-out, billed",
        f"bigquery.schema_file = {schema}": "not a BigQuery schema",  # a broken JSON schema
        "record.time_format = %Y-%Q": "%Q",  # a broken template
        f"jvm.java = {tmp_path}/none": "is not an executable file",  # a file that cannot be read
    }
    head = "bigquery.project = project\nbigquery.dataset = logs\nbigquery.row = fields\n"
    file = write(tmp_path, head + "\n".join(planted) + "\n")
    findings = findings_of("bigquery", {}, file=file)
    assert [finding.line for finding in findings] == list(range(4, 4 + len(planted)))
    assert len(planted) == 12
    for finding, message in zip(findings, planted.values(), strict=True):
        assert message in str(finding)


@pytest.mark.parametrize(
    ("key", "suggestion"),
    [
        ("chunk.windw", "chunk.window"),
        ("Chunk.Window", "chunk.window"),
        ("streamname", "streamName"),
        ("pollingConfig.maxRecords", "maxRecords"),
        ("s3.buckt", "s3.bucket"),
    ],
)
def test_an_unknown_key_is_told_the_nearest_name(key: str, suggestion: str) -> None:
    with pytest.raises(SettingsError, match=f"did you mean {suggestion}?"):
        load("s3", overrides={**S3, key: "x"})


def test_a_key_near_to_none_is_told_none() -> None:
    (finding,) = findings_of("s3", {**S3, "xyzzy": "1"})
    assert finding.message == "no such setting"


def test_the_other_backends_names_are_not_suggested() -> None:
    (finding,) = findings_of("bigquery", {**BIGQUERY, "s3.buckt": "b"})
    assert "s3.bucket" not in finding.message


def test_command_line_counts_more_than_environment_than_file_than_default(tmp_path: Path) -> None:
    file = write(tmp_path, "s3.bucket=file\ns3.prefix=file/\nchunk.window=1s\n")
    environment = {"CONSUMER_SET_S3__PREFIX": "environment/", "CONSUMER_SET_chunk__window": "2s", "HOME": "/"}
    settings = load("s3", file=file, environment=environment, overrides={"chunk.window": "3s"})
    assert settings.text("s3.bucket") == "file"
    assert settings.text("s3.prefix") == "environment/"
    assert settings.seconds("chunk.window") == 3.0
    assert settings.seconds("chunk.grace") == 10.0
    origins = settings.origins
    assert origins["s3.bucket"] == f"{file}:1"
    assert origins["s3.prefix"] == "CONSUMER_SET_S3__PREFIX"
    assert origins["chunk.window"] == "--set"
    assert origins["chunk.grace"] == "default"
    assert settings.explicit == {"s3.bucket", "s3.prefix", "chunk.window"}


def test_a_key_of_the_kcl_is_found_in_the_environment_in_any_case() -> None:
    settings = load("s3", overrides=S3, environment={"CONSUMER_SET_STREAMNAME": "other"})
    assert settings.text("streamName") == "other"
    assert settings.kcl["streamName"] == "other"


def test_an_unknown_variable_with_our_prefix_is_a_fault() -> None:
    with pytest.raises(SettingsError, match=r"CONSUMER_SET_CHUNK__WINDW: CHUNK.WINDW: no such setting"):
        load("s3", overrides=S3, environment={"CONSUMER_SET_CHUNK__WINDW": "1s"})


def test_an_unreadable_file_is_one_finding_beside_the_others(tmp_path: Path) -> None:
    findings = findings_of("s3", {}, file=tmp_path / "missing.properties")
    assert [finding.key for finding in findings] == ["", "s3.bucket"]
    assert "No such file" in findings[0].message


def test_a_file_that_is_not_utf8_names_the_line(tmp_path: Path) -> None:
    file = tmp_path / "latin.properties"
    file.write_bytes("s3.bucket=bucket\n# größe\n".encode("latin-1"))
    assert (2, "this line is not UTF-8") in {
        (finding.line, finding.message) for finding in findings_of("s3", {}, file=file)
    }


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    file = tmp_path / "marked.properties"
    file.write_bytes("s3.bucket=bucket\n".encode("utf-8-sig"))
    assert load("s3", file=file).text("s3.bucket") == "bucket"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_a_file_in_utf16_is_told_so_and_not_line_by_line(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "wide.properties"
    file.write_bytes(
        "\ufeffs3.bucket=größe\n".removeprefix("\ufeff" * (encoding == "utf-16")).encode(encoding)
    )
    messages = [finding.message for finding in findings_of("s3", S3, file=file)]
    assert messages == ["the file is UTF-16: save it as UTF-8"]


def test_a_key_with_a_character_that_nobody_sees_is_shown_with_it(tmp_path: Path) -> None:
    (finding,) = findings_of("s3", {}, file=write(tmp_path, "s3.bucket\u200b = bucket\n"))[:1]
    assert r"s3.bucket\u200b: no such setting; did you mean s3.bucket?" in str(finding)


def test_a_path_that_is_not_utf8_is_a_fault() -> None:
    variable = os.fsdecode(b"/var/lib/\xfc")
    environment = {"CONSUMER_SET_WORKER__STATE_DIR": variable}
    with pytest.raises(SettingsError, match=r'worker.state_dir: "/var/lib/\\udcfc" is not UTF-8'):
        load("s3", overrides=S3, environment=environment)


def test_a_setting_without_a_default_can_be_left_empty_and_one_with_a_default_cannot() -> None:
    settings = load("s3", overrides={**S3, "s3.kms_key_id": "", "jvm.options": "", "s3.prefix": ""})
    assert settings["s3.kms_key_id"] is None
    assert settings.text("jvm.options") == ""
    assert settings.text("s3.prefix") == ""
    (finding,) = findings_of("s3", {**S3, "chunk.window": ""})
    assert finding.key == "chunk.window"


def test_a_key_that_the_daemon_computes_is_refused_with_the_one_to_set() -> None:
    (finding,) = findings_of("s3", {**S3, "workerId": "me"})
    assert "worker.id" in finding.message


def test_a_property_of_an_aws_client_goes_to_the_kcl_unchecked() -> None:
    settings = load("s3", overrides={**S3, "kinesisClient.endpointOverride": "http://here"})
    assert settings.kcl["kinesisClient.endpointOverride"] == "http://here"


def test_none_of_our_settings_goes_to_the_kcl() -> None:
    assert not [key for key in load("s3", overrides=S3).kcl if "." in key]


def test_settings_travel_to_shard_processes_and_back() -> None:
    settings = load("bigquery", overrides={**BIGQUERY, "chunk.window": "1500ms"})
    arrived = Settings.parse(settings.dump())
    for key, value in arrived.values.items():
        assert type(value) is type(settings[key])
        assert value == settings[key]
    assert arrived.backend == "bigquery"
    assert arrived.seconds("chunk.window") == 1.5
    assert arrived.text("streamName") == "player-logs"
    assert arrived.explicit == {*BIGQUERY, "chunk.window"}


def test_a_credentials_provider_stays_with_the_jvm() -> None:
    provider = "KclStsAssumeRoleCredentialsProvider|arn:aws:iam::123456789012:role/r|session"
    settings = load("s3", overrides={**S3, "AwsCredentialsProvider": provider})
    assert settings.kcl["AwsCredentialsProvider"] == provider
    assert b"Credentials" not in settings.dump()


def test_accessors_check_the_type_and_the_name() -> None:
    settings = load("s3", overrides=S3)
    with pytest.raises(TypeError):
        settings.integer("chunk.window")
    with pytest.raises(TypeError):
        settings.text("s3.kms_key_id")
    with pytest.raises(KeyError):
        settings["chunk.windw"]
    assert settings.optional_text("s3.kms_key_id") is None
    assert settings.flag("s3.validate_json") is True
    assert settings.path("worker.state_dir") == PROJECT_ROOT / "var" / "state"


def test_settings_do_not_change() -> None:
    settings = load("s3", overrides=S3)
    with pytest.raises(TypeError):
        settings.values["chunk.window"] = 1.0  # type: ignore[index]


@pytest.mark.parametrize("backend", ["s3", "bigquery"])
def test_the_shipped_properties_have_no_finding(backend: Backend) -> None:
    settings = load(backend, file=PROJECT_ROOT / "properties" / f"{backend}.properties")
    assert settings.warnings == ()
    assert settings.text("applicationName") == f"player-log-{backend}"


@pytest.mark.parametrize("backend", ["s3", "bigquery"])
def test_a_worker_that_has_left_counts_as_there_for_little_longer_than_its_leases_last(
    backend: Backend,
) -> None:
    """The KCL takes a worker as there until its last report is two periods old: with the KCL's own 30 s the shards of a
    worker that had left stood still for up to 72 s, since it was given them again and again."""
    kcl = load(backend, file=PROJECT_ROOT / "properties" / f"{backend}.properties").kcl
    assert 2 * int(kcl["workerMetricsReporterFreqInMillis"]) <= 2 * int(kcl["failoverTimeMillis"])


def test_a_finding_is_one_line_with_place_severity_and_key() -> None:
    finding = Finding(severity=Severity.WARNING, key="a", message="b", file="f", line=3)
    assert str(finding) == "f:3: warning: a: b"
    assert str(Finding(severity=Severity.ERROR, key="a", message="b")) == "a: b"


def test_a_shard_process_is_told_how_the_kcl_fetches() -> None:
    """The tip of a shard depends on it (consumer/shard/kcl/tip.py); unset, the KCL pushes."""
    file = PROJECT_ROOT / "properties" / "s3.properties"
    settings = load("s3", file=file, overrides={"s3.bucket": "bucket", "retrievalMode": "POLLING"})
    assert Settings.parse(settings.dump()).optional_text("retrievalMode") == "POLLING"


def test_one_setting_can_be_looked_up_whatever_the_others_are(tmp_path: Path) -> None:
    file = tmp_path / "s3.properties"
    file.write_text("chunk.windw = 1s\nworker.state_dir = /from/file\n")
    assert look_up("s3", "worker.state_dir", file=file) == "/from/file"
    environment = {"CONSUMER_SET_WORKER__STATE_DIR": "/from/environment"}
    assert look_up("s3", "worker.state_dir", file=file, environment=environment) == "/from/environment"
    assert look_up("bigquery", "worker.state_dir", file=tmp_path / "none") == "var/state"
    assert look_up("s3", "s3.bucket") is None


@pytest.mark.parametrize("backend", ["s3", "bigquery"])
def test_leases_move_at_once_unless_a_file_says_otherwise(backend: Backend) -> None:
    """A graceful hand-over that is cut short leaves a shard that the KCL reads never again."""
    names = {"bigquery.project": "project", "bigquery.dataset": "dataset", "deadletter.bucket": "bucket"}
    overrides = {"s3.bucket": "bucket"} if backend == "s3" else names
    assert load(backend, overrides=overrides).kcl["isGracefulLeaseHandoffEnabled"] == "false"
    given = {**overrides, "isGracefulLeaseHandoffEnabled": "true"}
    assert load(backend, overrides=given).kcl["isGracefulLeaseHandoffEnabled"] == "true"
