import os
import subprocess
import sys
import zipfile
from pathlib import Path

import amazon_kclpy
import pytest

from consumer.daemon.supervise.java import (
    MAIN_CLASS,
    aot_cache_of,
    java_command,
    java_executable,
    java_options_file,
    kcl_properties,
    worker_id,
)
from consumer.daemon.supervise.state import StateDirectory
from consumer.settings import PROJECT_ROOT, Settings, load
from consumer.settings.kcl_table import KCL_VERSION
from consumer.settings.properties_file import Entry, parse


def settings(**overrides: str) -> Settings:
    named = {key.replace("__", "."): text for key, text in overrides.items()}
    return load("s3", overrides={"s3.bucket": "bucket", **named})


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    return StateDirectory(path=tmp_path, events_path="/events", descriptor=-1)


def test_the_command_runs_the_daemon_with_our_logback_from_the_first_line(state: StateDirectory) -> None:
    command = java_command(settings(jvm__options="-Xmx1g '-Da=b c'"), state, {"PATH": "/usr/bin"})
    java, *options = command.arguments
    assert Path(java).name == "java"
    assert options[:3] == [f"@{state.path}/java.options", "-Xmx1g", "-Da=b c"]
    assert f"-Dlogback.configurationFile={state.path}/logback.xml" in options
    assert options[options.index(MAIN_CLASS) :] == [
        MAIN_CLASS,
        "--properties-file",
        str(state.path / "kcl.properties"),
        "--log-configuration",
        str(state.path / "logback.xml"),
    ]


_RUN_JAVA = """
import os, subprocess, sys
from pathlib import Path
from consumer.daemon.supervise.java import java_command, java_options_file
from consumer.daemon.supervise.logback import render
from consumer.daemon.supervise.state import StateDirectory
from consumer.settings import load
state = StateDirectory(path=Path(sys.argv[1]), events_path="", descriptor=-1)
settings = load("s3", overrides={"s3.bucket": "bucket"})
state.java_options.write_text(java_options_file(settings))
state.kcl_properties.write_text("")
state.logback_file.write_text(render(log_file=state.kcl_log, level="INFO"))
command = java_command(settings, state, os.environ)
subprocess.run(command.arguments, env=command.environment)
"""


@pytest.mark.parametrize("locale", ["POSIX", "xx_XX.UTF-8", "C.UTF-8"])
def test_java_finds_a_state_directory_that_is_not_ascii_in_any_locale(tmp_path: Path, locale: str) -> None:
    state = tmp_path / "zustände"
    state.mkdir()
    done = subprocess.run(
        [sys.executable, "-P", "-c", _RUN_JAVA, state],
        env={**os.environ, "LC_ALL": locale, "PYTHONPATH": str(PROJECT_ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "No such file" not in done.stderr + done.stdout
    assert (state / "kcl.log").exists()  # logback was read
    assert "Must provide an executable name" in done.stderr  # and the settings, which are empty


def test_shard_processes_find_python_the_package_their_settings_and_the_supervisor(
    state: StateDirectory,
) -> None:
    proxies = {"HTTPS_PROXY": "http://proxy.example:3128", "NO_PROXY": ".example"}
    given = {"PATH": "/usr/bin", "PYTHONPATH": "/more", "AWS_REGION": "here", **proxies}
    environment = java_command(settings(), state, given).environment
    assert environment["PATH"] == f"{Path(sys.executable).parent}:/usr/bin"
    assert environment["PYTHONPATH"] == f"{PROJECT_ROOT}:/more"
    assert environment["CONSUMER_SETTINGS"] == str(state.path / "settings.json")
    assert environment["CONSUMER_EVENTS"] == "/events"
    assert environment["CONSUMER_FORK_SERVER"] == str(state.path / "fork-server")
    assert environment["AWS_REGION"] == "here"
    assert environment["HTTPS_PROXY"] == "http://proxy.example:3128"
    assert environment["NO_PROXY"] == ".example"


def test_a_proxys_password_is_in_the_options_file_as_the_java_launcher_reads_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "proxy" not in java_options_file(settings())
    monkeypatch.setenv("HTTPS_PROXY", "http://me:a%20%22b%5C@proxy.example:3128")
    lines = java_options_file(settings()).splitlines()
    assert '"-Dhttp.proxyHost=proxy.example"' in lines
    assert r'''"-Dhttp.proxyPassword=a \"b\\"''' in lines


def test_the_jars_are_named_in_an_order_that_no_directory_changes() -> None:
    *_, option, path = java_options_file(settings()).splitlines()
    jars = path.strip('"').split(os.pathsep)
    assert option == '"-cp"'
    assert jars == sorted(jars)
    assert len(jars) == len((PROJECT_ROOT / "requirements/jars.sha256").read_text().splitlines())


def test_a_java_that_the_settings_name_gets_no_cache_of_another() -> None:
    assert aot_cache_of(settings()) is not None
    assert aot_cache_of(settings(jvm__java=sys.executable)) is None


def test_the_kcls_file_holds_its_keys_and_what_follows_from_ours() -> None:
    text = kcl_properties(settings(worker__id="me", streamName="some", maxRecords="5000"))
    entries = {entry.key: entry.value for entry in parse(text) if isinstance(entry, Entry)}
    assert entries["workerId"] == "me"
    assert entries["streamName"] == "some"
    assert entries["maxRecords"] == "5000"
    assert (
        entries["executableName"] == f"{Path(sys.executable).name} -S -s -m consumer.shard.process.launcher"
    )
    assert "/" not in entries["executableName"]
    assert not [key for key in entries if key.startswith(("s3.", "chunk."))]


def test_without_a_fork_server_the_kcl_starts_shard_processes_itself(state: StateDirectory) -> None:
    chosen = settings(shard__fork_server="false")
    assert f"executableName={Path(sys.executable).name} -m consumer.shard\n" in kcl_properties(chosen)
    assert "CONSUMER_FORK_SERVER" not in java_command(chosen, state, {}).environment


def test_the_worker_is_named_after_backend_and_host_and_fit_for_the_kcl(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "ip 10/0")
    assert worker_id(settings()) == "s3-ip-10-0"
    assert worker_id(settings(worker__id="own")) == "own"


def test_a_java_that_is_named_is_used() -> None:
    assert java_executable(settings(jvm__java=sys.executable)) == Path(sys.executable)


ROLE = "arn:aws:iam::123456789012:role/stream-reader"


def credentials_of(**overrides: str) -> dict[str, str]:
    entries = [entry for entry in parse(kcl_properties(settings(**overrides))) if isinstance(entry, Entry)]
    return {entry.key: entry.value for entry in entries if entry.key.startswith("AwsCredentialsProvider")}


def test_a_role_for_the_stream_counts_for_the_stream_alone() -> None:
    provider = (
        f"StsAssumeRoleCredentialsProvider|{ROLE}|player-log-s3|endpointRegion=eu-west-1|externalId=a/1"
    )
    chosen = {"kinesis__role_arn": ROLE, "kinesis__role_external_id": "a/1", "regionName": "eu-west-1"}
    assert credentials_of(**chosen) == {
        "AwsCredentialsProvider": provider,
        "AwsCredentialsProviderDynamoDB": "DefaultCredentialsProvider",
        "AwsCredentialsProviderCloudWatch": "DefaultCredentialsProvider",
    }


def test_providers_that_were_chosen_for_leases_and_metrics_stay() -> None:
    chosen = credentials_of(
        kinesis__role_arn=ROLE, AwsCredentialsProviderDynamoDB="ProfileCredentialsProvider"
    )
    assert chosen["AwsCredentialsProviderDynamoDB"] == "ProfileCredentialsProvider"
    assert credentials_of() == {"AwsCredentialsProvider": "DefaultCredentialsProvider"}


def test_the_kcl_knows_the_provider_and_what_is_said_to_it() -> None:
    jars = Path(amazon_kclpy.__file__).parent / "jars"
    with zipfile.ZipFile(jars / f"amazon-kinesis-client-multilang-{KCL_VERSION}.jar") as archive:
        package = "software/amazon/kinesis/multilang/"
        assert f"{package}auth/KclStsAssumeRoleCredentialsProvider.class" in archive.namelist()
        decoder = archive.read(f"{package}config/AwsCredentialsProviderPropertyValueDecoder.class")
        keys = archive.read(f"{package}NestedPropertyKey.class")
    assert b"services/sts/auth/StsAssumeRoleCredentialsProvider" in decoder
    for name in (b"ENDPOINT_REGION", b"EXTERNAL_ID"):
        assert name in keys
