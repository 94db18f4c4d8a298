"""A table that takes nothing, told from rows that are bad."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.errors import SetupError, TransientError
from consumer.settings.schema import _TYPES, Column
from consumer.sinks.bigquery.rows.build import row_encoder
from consumer.sinks.bigquery.rows.shapes import INSERT_ALL
from consumer.sinks.bigquery.table_check import TableCheck, sample_record
from tests.unit.builders import ARRIVAL_MS
from tests.unit.sinks.bigquery.storage_write.builders import field_rules


class Table:
    """Counts how often it is asked; `troubles` meet the next checks, one each."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asked = 0
        self.troubles: list[Exception] = []
        self.check = TableCheck(self._take_sample, now=lambda: self.now)

    def _take_sample(self, table: str) -> None:
        self.asked += 1
        if self.troubles:
            raise self.troubles.pop(0)

    def some(self) -> None:
        self.check.before_rejecting_some("t")

    def all(self, name: str = "rows") -> None:
        self.check.before_rejecting_all("t", name)


@pytest.fixture
def table() -> Table:
    return Table()


def sent_again(table: Table, times: int, name: str = "rows") -> None:
    for _ in range(times):
        with pytest.raises(TransientError, match="sent once more"):
            table.all(name)


def test_rows_all_refused_are_to_blame_once_the_sample_was_taken_several_times_in_turns(table: Table) -> None:
    sent_again(table, 3)
    table.all()
    assert table.asked == 4
    sent_again(table, 3)


def test_each_request_is_counted_for_itself(table: Table) -> None:
    sent_again(table, 3, "some rows")
    sent_again(table, 3, "other rows")
    table.all("some rows")
    table.all("other rows")


def test_rows_refused_beside_good_ones_are_to_blame_where_the_table_is_in_order(table: Table) -> None:
    table.some()
    table.now = 9.0
    table.some()
    assert table.asked == 1
    table.now = 11.0
    table.some()
    assert table.asked == 2


@pytest.mark.parametrize("trouble", [SetupError("refused", setting="x"), TransientError("down")])
def test_rows_are_not_to_blame_while_the_table_is_not_in_order(table: Table, trouble: Exception) -> None:
    sent_again(table, 3)
    for ask in (table.all, table.some, table.some):
        table.troubles = [trouble]
        table.now += 11.0
        with pytest.raises(type(trouble)):
            ask()
    sent_again(table, 3)
    table.all()


def test_requests_that_pass_later_leave_little_behind(table: Table) -> None:
    for number in range(5000):
        sent_again(table, 1, str(number))
    assert len(table.check._refusals) <= 1000


names = st.sampled_from(["a", "B", "_", "c_1", "D2"])
modes = st.sampled_from(["NULLABLE", "REQUIRED", "REPEATED"])
leaves = st.builds(Column, names, st.sampled_from(sorted(_TYPES - {"RECORD"})), modes)
columns = st.recursive(
    leaves,
    lambda inner: st.builds(
        lambda name, mode, fields: Column(name, "RECORD", mode, "", tuple(fields)),
        names,
        modes,
        st.lists(inner, min_size=1, max_size=3, unique_by=lambda column: column.name.lower()),
    ),
    max_leaves=8,
)


@given(
    st.lists(columns, max_size=4, unique_by=lambda column: column.name.lower()),
    st.sampled_from(["reject", "ignore", "overflow"]),
    st.booleans(),
    st.integers(0, 2),
)
def test_the_sample_makes_a_row_with_every_column(
    schema: list[Column], unknown: str, metadata: bool, key_digits: int
) -> None:
    own = (Column("player_id", "STRING"), Column("time", "TIMESTAMP", "REQUIRED"), *schema)
    more: dict[str, str | int | bool] = {
        "bigquery.unknown_fields": unknown,
        "bigquery.metadata_columns": metadata,
        "bigquery.key_digits": key_digits,
    }
    rules = field_rules(own, **more)
    encoder = row_encoder(rules, own, stream="stream", shard="shardId-000000000003", wrapping=INSERT_ALL)
    record = sample_record(rules, own, now_ms=ARRIVAL_MS)
    rejections: list[object] = []
    (row,) = encoder.rows([record], [0], rejections)  # type: ignore[arg-type]
    assert rejections == []
    wanted = {column.name for column in own}
    wanted |= {"overflow"} if unknown == "overflow" else set()
    wanted |= {"_shard", "_sequence_number", "_arrived_at"} if metadata else set()
    assert json.loads(row.text)["json"].keys() == wanted
