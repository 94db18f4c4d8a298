"""The table of the KCL's keys against the KCL itself: every property that its jar can set, no more and no less."""

import importlib.util
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from consumer.settings import BACKENDS
from consumer.settings.kcl_table import KCL_CLIENT_PREFIXES, KCL_KEYS, KCL_VERSION, KclKey
from consumer.settings.values import Flag, Integer, Kind, Number
from tests.unit.settings.class_file import public_methods

PACKAGE = "software/amazon/kinesis/multilang/"
PRIMITIVES = {"J": Integer, "I": Integer, "Z": Flag, "D": Number}
READ_DIRECTLY = {"shutdownGraceMillis", "validateSequenceNumberBeforeCheckpointing"}
"""Primitives that the MultiLangDaemon reads itself, or not at all: nothing skips their zero."""


@pytest.fixture(scope="module")
def jar() -> Mapping[str, bytes]:
    specification = importlib.util.find_spec("amazon_kclpy")
    places = specification.submodule_search_locations if specification else None
    path = Path(places[0]) / "jars" / f"amazon-kinesis-client-multilang-{KCL_VERSION}.jar" if places else None
    if path is None or not path.exists():
        pytest.skip("the KCL's jars are not installed")
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist() if name.endswith(".class")}


def setters(jar: Mapping[str, bytes], name: str) -> dict[str, str]:
    """Property and type of each setter, named as Java beans are."""
    found = {}
    for method, descriptor in public_methods(jar[f"{PACKAGE}config/{name}.class"]):
        match = re.fullmatch(r"\((.+)\)V", descriptor)
        if method.startswith("set") and match:
            found[bean_name(method.removeprefix("set"))] = match[1]
    return found


def bean_name(name: str) -> str:
    """java.beans.Introspector.decapitalize, and the KCL's own spelling of the credentials providers."""
    if name.startswith("AwsCredentialsProvider"):
        return name
    return name if name[:2].isupper() else name[0].lower() + name[1:]


@pytest.fixture(scope="module")
def properties(jar: Mapping[str, bytes]) -> dict[str, str]:
    direct = setters(jar, "MultiLangDaemonConfiguration")
    fan_out = {f"fanoutConfig.{name}": kind for name, kind in setters(jar, "FanoutConfigBean").items()}
    return {**direct, **fan_out}


def test_every_property_of_the_jar_is_in_the_table(
    properties: dict[str, str], jar: Mapping[str, bytes]
) -> None:
    beside = {
        name
        for name in ("executableName", "processingLanguage", "maxActiveThreads")
        if name.encode() in jar[f"{PACKAGE}MultiLangDaemonConfig.class"]
    }
    assert len(properties) > 50
    expected = set(properties) | beside | nested_tables(jar)
    assert set(KCL_KEYS) == expected


def nested_tables(jar: Mapping[str, bytes]) -> set[str]:
    """The delegates' properties, which the configuration class has as its own setters too."""
    beans = ("WorkerMetricStatsTableConfigBean", "CoordinatorStateTableConfigBean", "PollingConfigBean")
    return {name for bean in beans for name in setters(jar, bean)}


def test_the_prefixes_of_client_builders_are_beans_of_the_configuration(jar: Mapping[str, bytes]) -> None:
    methods = {name for name, _ in public_methods(jar[f"{PACKAGE}config/MultiLangDaemonConfiguration.class"])}
    for prefix in KCL_CLIENT_PREFIXES:
        assert "get" + prefix[0].upper() + prefix[1:-1] in methods


def test_the_table_takes_the_type_of_each_primitive(properties: dict[str, str]) -> None:
    for name, kind in properties.items():
        if kind in PRIMITIVES:
            assert type(KCL_KEYS[name].kind) is PRIMITIVES[kind], name


def test_a_primitive_with_a_default_other_than_zero_says_what_zero_means(properties: dict[str, str]) -> None:
    for name, kind in properties.items():
        key = KCL_KEYS[name]
        is_zero = key.kcl_default in ("", "0", "false") or name in READ_DIRECTLY
        assert (key.zero is not None) == (kind in PRIMITIVES and not is_zero), name


@pytest.mark.parametrize("key", KCL_KEYS.values(), ids=lambda key: key.name)
def test_every_default_is_a_value_of_its_own_type(key: KclKey) -> None:
    for backend in BACKENDS:
        default = key.default_for(backend)
        if default is not None:
            kind: Kind = key.kind
            assert kind.parse(default) is not None
