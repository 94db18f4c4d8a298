import pytest

from consumer.daemon.prepare.table_schema import additions, differences, with_columns
from consumer.settings import PROJECT_ROOT, Settings, load
from consumer.settings.columns import expected_columns
from consumer.settings.schema import Column, ColumnMode


def settings(**overrides: str) -> Settings:
    named = {key.replace("__", "."): text for key, text in overrides.items()}
    given = {"bigquery.project": "project", "bigquery.dataset": "set", "deadletter.bucket": "bucket"}
    return load("bigquery", overrides={**given, **named})


def column(name: str, kind: str = "STRING", mode: ColumnMode = "NULLABLE", *fields: Column) -> Column:
    return Column(name=name, type=kind, mode=mode, fields=fields)


def found(expected: list[Column], actual: list[Column]) -> list[str]:
    return list(differences(tuple(expected), tuple(actual)))


def test_a_log_row_has_key_time_and_the_whole_record() -> None:
    columns = expected_columns(settings(record__key_field="user", bigquery__partition_field="at"))
    assert [(one.name, one.type, one.mode) for one in columns] == [
        ("user", "STRING", "NULLABLE"),
        ("at", "TIMESTAMP", "REQUIRED"),
        ("log", "JSON", "NULLABLE"),
    ]


def test_a_row_of_fields_has_the_columns_of_the_schema_file() -> None:
    file = PROJECT_ROOT / "properties" / "player_log.schema.json"
    columns = expected_columns(settings(bigquery__row="fields", bigquery__schema_file=str(file)))
    assert "player_id" in [one.name for one in columns]


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        ([column("a")], [column("a")]),
        ([column("a")], [column("A")]),
        ([column("a")], [column("b"), column("a")]),
        ([column("a", mode="REQUIRED")], [column("a")]),
        ([column("r", "RECORD", "NULLABLE", column("a"))], [column("r", "RECORD", "NULLABLE", column("a"))]),
    ],
)
def test_a_table_that_takes_the_rows_has_no_difference(expected: list[Column], actual: list[Column]) -> None:
    assert found(expected, actual) == []


@pytest.mark.parametrize(
    ("expected", "actual", "message"),
    [
        ([column("a", "JSON")], [], "column a (NULLABLE JSON) is missing"),
        ([column("a", "JSON")], [column("a")], "column a is STRING, not JSON"),
        ([column("a")], [column("a", mode="REQUIRED")], "column a is REQUIRED, not NULLABLE"),
        ([column("a")], [column("a", mode="REPEATED")], "column a is REPEATED, not NULLABLE"),
        ([column("a", mode="REPEATED")], [column("a")], "column a is NULLABLE, not REPEATED"),
        ([], [column("b", mode="REQUIRED")], "column b is REQUIRED, and no row has it"),
        (
            [column("r", "RECORD", "NULLABLE", column("a"))],
            [column("r", "RECORD", "NULLABLE", column("b"))],
            "column r.a (NULLABLE STRING) is missing",
        ),
        (
            [column("r", "RECORD", "NULLABLE", column("a"))],
            [column("r", "RECORD", "NULLABLE", column("a"), column("b", mode="REQUIRED"))],
            "column r.b is REQUIRED, and no row has it",
        ),
    ],
)
def test_a_difference_names_the_column_and_both_sides(
    expected: list[Column], actual: list[Column], message: str
) -> None:
    assert found(expected, actual) == [message]


def test_every_difference_is_told() -> None:
    assert len(found([column("a"), column("b"), column("c", "JSON")], [column("c")])) == 3


def test_columns_that_the_daemon_fills_itself_come_last() -> None:
    file = PROJECT_ROOT / "properties" / "player_log.schema.json"
    columns = expected_columns(
        settings(
            bigquery__row="fields",
            bigquery__schema_file=str(file),
            bigquery__unknown_fields="overflow",
            bigquery__overflow_column="rest",
            bigquery__metadata_columns="true",
        )
    )
    assert [(one.name, one.type) for one in columns[-4:]] == [
        ("rest", "JSON"),
        ("_shard", "STRING"),
        ("_sequence_number", "STRING"),
        ("_arrived_at", "TIMESTAMP"),
    ]


def test_columns_are_added_behind_those_that_are_there_at_every_depth() -> None:
    expected = (
        column("new", "INTEGER"),
        column("R", "RECORD", "REPEATED", column("a"), column("b", "JSON")),
        column("must", "STRING", "REQUIRED"),
        column("kept"),
    )
    actual: list[dict[str, object]] = [
        {"name": "kept", "type": "STRING", "policyTags": {"names": ["x"]}},
        {"name": "r", "type": "RECORD", "mode": "REPEATED", "fields": [{"name": "a", "type": "STRING"}]},
        {"name": "theirs", "type": "DATE"},
    ]
    merged = with_columns(expected, actual)
    assert [field["name"] for field in merged] == ["kept", "r", "theirs", "new"]
    assert merged[0] == actual[0]
    assert [field["name"] for field in merged[1]["fields"]] == ["a", "b"]
    as_columns = (
        column("kept"),
        column("r", "RECORD", "REPEATED", column("a")),
        column("theirs", "DATE"),
    )
    assert [one.name for one in additions(expected, as_columns)] == ["new", "b"]
