"""A table in Glue grows with the schema: nothing that is there is dropped, retyped or lost."""

import copy
import io
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ClientError
from botocore.validate import ParamValidator
from hypothesis import given
from hypothesis import strategies as st

from consumer.operate.action import Action, Console, run_action
from consumer.operate.catalogue import glue
from consumer.operate.catalogue.columns import HiveColumn, HiveType
from consumer.operate.catalogue.command import act, ddl_parser
from consumer.operate.catalogue.growth import grown_type, read_type
from tests.unit.operate.fake_s3 import FakeS3

TIME = {"name": "time", "type": "TIMESTAMP"}


def refused(code: str, operation: str, said: str = "as told", status: int = 400) -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": said}, "ResponseMetadata": {"HTTPStatusCode": status}}, operation
    )


class FakeGlue:
    """As botocore's client, for the calls of Catalogue. Tables are as GetTable answers."""

    class meta:  # noqa: N801 - botocore's name
        service_model = botocore.session.get_session().get_service_model("glue")

    def __init__(self) -> None:
        self.tables: dict[tuple[str, str], dict[str, Any]] = {}
        self.databases: set[str] = set()
        self.calls: list[str] = []
        self.refusal: ClientError | None = None

    def get_database(self, **asked: str) -> dict[str, Any]:
        self._asked("GetDatabase", asked)
        if asked["Name"] not in self.databases:
            raise refused("EntityNotFoundException", "GetDatabase")
        return {"Database": {"Name": asked["Name"]}}

    def get_table(self, **asked: str) -> dict[str, Any]:
        self._asked("GetTable", asked)
        place = asked["DatabaseName"], asked["Name"]
        if place not in self.tables:
            raise refused("EntityNotFoundException", "GetTable")
        return {"Table": copy.deepcopy(self.tables[place])}

    def create_database(self, **asked: Any) -> None:
        self._asked("CreateDatabase", asked)
        self.databases.add(asked["DatabaseInput"]["Name"])

    def create_table(self, **asked: Any) -> None:
        self._asked("CreateTable", asked)
        if asked["DatabaseName"] not in self.databases:
            raise refused("EntityNotFoundException", "CreateTable")
        self.put(asked["DatabaseName"], asked["TableInput"], version=0)

    def update_table(self, **asked: Any) -> None:
        self._asked("UpdateTable", asked)
        version = int(self.tables[asked["DatabaseName"], asked["TableInput"]["Name"]]["VersionId"])
        if int(asked["VersionId"]) != version:
            raise refused("ConcurrentModificationException", "UpdateTable")
        self.put(asked["DatabaseName"], asked["TableInput"], version=version + 1)

    def put(self, database: str, table_input: Mapping[str, Any], *, version: int) -> None:
        self.tables[database, table_input["Name"]] = {
            **copy.deepcopy(dict(table_input)),
            "DatabaseName": database,
            "CreateTime": datetime(2026, 1, 31, tzinfo=UTC),
            "VersionId": str(version),
        }

    def _asked(self, operation: str, asked: Mapping[str, Any]) -> None:
        """As botocore does, refuses arguments that the operation has not."""
        shape = self.meta.service_model.operation_model(operation).input_shape
        assert not ParamValidator().validate(asked, shape).has_errors()
        self.calls.append(operation)
        if self.refusal is not None and self.refusal.operation_name == operation:
            raise self.refusal


class Lake:
    """A catalogue, and the command that registers a table in it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.glue = FakeGlue()
        self.s3 = FakeS3()
        self._file = folder / "schema.json"
        monkeypatch.setattr(glue, "client", lambda service: self.glue)

    def register(self, *arguments: str, columns: list[dict[str, Any]] | None = None) -> tuple[int, str]:
        """The exit code and what was told; `columns` are those of Parquet, beside the time."""
        self._file.write_text(json.dumps([TIME, *(columns or [])]))
        out = io.StringIO()
        options = ddl_parser().parse_args(
            [
                "--properties=/dev/null",
                *(
                    f"--set={setting}"
                    for setting in (
                        "streamName=player-logs",
                        "applicationName=app",
                        "s3.bucket=bucket",
                        "regionName=eu-west-1",
                        "s3.format=parquet",
                        f"s3.schema_file={self._file}",
                    )
                ),
                "--database=lake",
                "--register",
                *arguments,
            ]
        )
        code = run_action(
            "athena-ddl",
            options,
            None,
            act,
            console=Console(out, io.StringIO()),
            now=lambda: 1_769_860_800.0,
            new_client=lambda settings: self.s3,
        )
        return code, out.getvalue()

    def created(self, *columns: dict[str, Any]) -> None:
        code, said = self.register("--yes", "--create-database", columns=list(columns))
        assert code == 0, said
        self.glue.calls.clear()

    @property
    def table(self) -> dict[str, Any]:
        return self.glue.tables["lake", "player_logs"]

    @property
    def columns(self) -> dict[str, str]:
        return {one["Name"]: one["Type"] for one in self.table["StorageDescriptor"]["Columns"]}


@pytest.fixture
def lake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Lake:
    return Lake(monkeypatch, tmp_path)


def column(name: str, kind: str = "STRING", **more: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, **more}


def test_a_table_is_made_once_and_then_left_alone(lake: Lake) -> None:
    code, said = lake.register("--yes", "--create-database", columns=[column("a")])
    assert (code, lake.glue.databases) == (0, {"lake"})
    assert lake.columns == {"time": "timestamp", "a": "string"}
    assert "lake.player_logs is in Glue: 2 columns over s3://bucket/player-log/" in said
    assert len(lake.s3.keys("deadletter/audit/app/")) == 1
    lake.glue.calls.clear()
    assert lake.register("--yes", columns=[column("a")]) == (
        0,
        "lake.player_logs is in Glue as asked: nothing to change\n"
        + "".join(line for line in said.splitlines(keepends=True) if line.startswith("note:")),
    )
    assert lake.glue.calls == ["GetTable"]
    assert len(lake.s3.keys("deadletter/audit/app/")) == 1


def test_a_database_is_made_only_where_that_is_asked_for(lake: Lake) -> None:
    code, said = lake.register("--yes")
    assert (code, lake.glue.tables) == (1, {})
    assert "there is no database lake in Glue: --create-database makes it" in said


def test_columns_are_added_and_what_others_have_set_stays(lake: Lake) -> None:
    lake.created(column("a"), column("r", "RECORD", fields=[column("x")]))
    lake.table["Parameters"] |= {
        "owner": "ada",
        "projection.dt.interval": "7",
        "projection.old.type": "injected",
    }
    lake.table["Description"] = "logs"
    lake.table["StorageDescriptor"]["Columns"][1]["Comment"] = "kept"
    code, said = lake.register(
        "--yes", columns=[column("new", "INTEGER"), column("r", "RECORD", fields=[column("y"), column("x")])]
    )
    assert code == 0, said
    assert lake.columns == {
        "time": "timestamp",
        "a": "string",
        "r": "struct<x:string,y:string>",
        "new": "bigint",
    }
    assert lake.table["StorageDescriptor"]["Columns"][1] == {"Name": "a", "Type": "string", "Comment": "kept"}
    assert (lake.table["Description"], lake.table["Parameters"]["owner"]) == ("logs", "ada")
    assert lake.table["Parameters"]["projection.dt.interval"] == "1"
    assert "projection.old.type" not in lake.table["Parameters"]
    assert "keeps what these settings do not have: column a\n" in said
    assert "column new bigint is added" in said
    assert "projection.old.type is taken away" in said


def test_a_dry_run_says_what_would_change_and_changes_nothing(lake: Lake) -> None:
    lake.created()
    before = copy.deepcopy(lake.table)
    code, said = lake.register("--dry-run", columns=[column("a")])
    assert (code, lake.table) == (0, before)
    assert "column a string is added" in said
    assert "dry run, nothing was changed: athena-ddl would change table lake.player_logs in Glue" in said
    assert lake.glue.calls == ["GetTable"]


def test_without_an_answer_nothing_is_changed(lake: Lake) -> None:
    code, said = lake.register("--create-database")
    assert (code, lake.glue.databases, lake.s3.objects) == (1, set(), {})
    assert "--yes" in said


@pytest.mark.parametrize(
    ("arguments", "columns", "said"),
    [
        ([], [column("a", "INTEGER")], "column a of lake.player_logs is string in Glue, and .* bigint"),
        (
            ["--set=s3.partition=dt=%Y-%m-%d"],
            [],
            "has the partition columns dt string, hour int, .* be dt string:",
        ),
        (["--set=s3.prefix=other/"], [], "lies at s3://bucket/player-log, and .* be s3://bucket/other:"),
        (
            ["--format=ndjson.gz"],
            [],
            "is read by org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe",
        ),
    ],
)
def test_another_table_of_that_name_is_refused(
    lake: Lake, arguments: list[str], columns: list[dict[str, Any]], said: str
) -> None:
    lake.created(column("a"))
    before = copy.deepcopy(lake.table)
    code, told = lake.register("--yes", *arguments, columns=columns)
    assert (code, lake.table) == (1, before)
    [line] = [line for line in told.splitlines() if line.startswith("athena-ddl: ")]
    assert re.search(f"nothing was changed: .*{said}", line), line


@pytest.mark.parametrize("of", [{"TableType": "VIRTUAL_VIEW"}, {"Parameters": {"table_type": "ICEBERG"}}])
def test_a_view_and_an_iceberg_table_are_refused(lake: Lake, of: dict[str, Any]) -> None:
    lake.created()
    lake.table.update(of)
    code, told = lake.register("--yes")
    assert code == 1
    assert "lake.player_logs in Glue is" in told


def test_a_table_that_changes_meanwhile_is_not_overwritten(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.created()
    approved = Action.approved

    def changed(self: Action, *arguments: Any) -> Any:
        lake.table["VersionId"] = "7"
        return approved(self, *arguments)

    monkeypatch.setattr(Action, "approved", changed)
    code, told = lake.register("--yes", columns=[column("a")])
    assert (code, lake.columns) == (1, {"time": "timestamp"})
    assert "somebody else has changed the catalogue meanwhile: start this again" in told
    states = [json.loads(lake.s3.body(key))["state"] for key in lake.s3.keys("deadletter/audit/app/")]
    assert sorted(states) == ["done", "failed"]


@pytest.mark.parametrize(
    "operation", ["GetTable", "GetDatabase", "CreateDatabase", "CreateTable", "UpdateTable"]
)
def test_a_missing_right_is_one_line_that_names_it(lake: Lake, operation: str) -> None:
    if operation == "UpdateTable":
        lake.created()
    lake.glue.refusal = refused("AccessDeniedException", operation)
    code, told = lake.register("--yes", "--create-database", columns=[column("a")])
    assert code == 1
    [line] = [line for line in told.splitlines() if line.startswith("athena-ddl: ")]
    assert line == (
        f"athena-ddl: Glue: not allowed: give the role glue:{operation} (for bin/athena-ddl --register)"
        " (docs/permissions.md)"
    )


def test_what_lake_formation_refuses_is_told_in_its_words(lake: Lake) -> None:
    lake.glue.refusal = refused(
        "AccessDeniedException",
        "GetTable",
        "Insufficient Lake Formation permission(s): Required Describe on lake",
    )
    code, told = lake.register("--yes")
    assert code == 1
    assert "Required Describe on lake" in told


# Types

PLAIN = st.sampled_from(["string", "bigint", "decimal(38,9)", "timestamp", "boolean"]).map(HiveType)
NAMES = st.sampled_from(["a", "b", "c", "array", "1"])


def _structs(inner: st.SearchStrategy[HiveType]) -> st.SearchStrategy[HiveType]:
    fields = st.lists(
        st.builds(HiveColumn, NAMES, inner), min_size=1, max_size=3, unique_by=lambda field: field.name
    )
    return fields.map(lambda made: HiveType("struct", fields=tuple(made)))


TYPES = st.recursive(
    PLAIN,
    lambda inner: st.one_of(inner.map(lambda item: HiveType("array", item=item)), _structs(inner)),
    max_leaves=6,
)


@given(kind=TYPES)
def test_a_type_is_read_as_it_was_written(kind: HiveType) -> None:
    assert read_type(kind.text()) == kind
    assert read_type(f" {kind.text().upper()} ") == kind
    assert grown_type(kind, kind) == kind


@given(old=TYPES, new=TYPES)
def test_a_grown_type_has_all_of_the_old_one_and_of_the_new(old: HiveType, new: HiveType) -> None:
    grown = grown_type(old, new)
    if grown is None:
        assert old != new
        return
    assert leaves(old) | leaves(new) == leaves(grown)
    assert grown_type(grown, new) == grown  # once is enough


def leaves(kind: HiveType, path: str = "") -> set[tuple[str, str]]:
    if kind.item is not None:
        return leaves(kind.item, f"{path}[]")
    if kind.fields:
        return set().union(*(leaves(field.type, f"{path}.{field.name}") for field in kind.fields))
    return {(path, kind.name)}


@pytest.mark.parametrize(
    "text", ["map<string,string>", "uniontype<int,string>", "struct<a:int", "array<>", "struct<>", "x>", ""]
)
def test_a_type_that_we_do_not_write_is_only_itself(text: str) -> None:
    assert read_type(text) == HiveType(text)
    assert grown_type(read_type(text), HiveType("string")) is None
