"""A table that takes nothing, told from rows that are bad."""

import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from consumer.domain.dead_letters import Rejection
from consumer.domain.errors import SetupError, TransientError
from consumer.domain.records import Record
from consumer.settings.schema import _TYPES, Column
from consumer.sinks.bigquery.arrow_rows.build import row_maker
from consumer.sinks.bigquery.arrow_rows.rules import Rules
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


KEY_TYPES = sorted(_TYPES - {"RECORD", "GEOGRAPHY"})


def sampled(own: tuple[Column, ...], **more: str | int | bool) -> tuple[Rules, Record]:
    rules = field_rules(own, **more)
    return rules, sample_record(rules, own, now_ms=ARRIVAL_MS)


@given(
    st.lists(columns, max_size=4, unique_by=lambda column: column.name.lower()),
    st.sampled_from(["reject", "ignore", "overflow"]),
    st.booleans(),
    st.integers(0, 2),
    st.sampled_from(KEY_TYPES),
)
def test_the_sample_makes_a_row_with_every_column(
    schema: list[Column], unknown: str, metadata: bool, key_digits: int, key_type: str
) -> None:
    assume(key_type != "BOOLEAN" or not key_digits)  # no text with hex digits is true or false
    own = (Column("player_id", key_type), Column("time", "TIMESTAMP", "REQUIRED"), *schema)
    more: dict[str, str | int | bool] = {
        "bigquery.unknown_fields": unknown,
        "bigquery.metadata_columns": metadata,
        "bigquery.key_digits": key_digits,
    }
    rules, record = sampled(own, **more)
    encoder = row_encoder(rules, own, stream="stream", shard="shardId-000000000003", wrapping=INSERT_ALL)
    rejections: list[Rejection] = []
    (row,) = encoder.rows([record], [0], rejections)
    assert rejections == []
    made, refused = row_maker(rules, shard="shardId-000000000003").make([record], [0])
    assert (len(made), refused) == (1, [])
    wanted = {column.name for column in own}
    wanted |= {"overflow"} if unknown == "overflow" else set()
    wanted |= {"_shard", "_sequence_number", "_arrived_at"} if metadata else set()
    assert json.loads(row.text)["json"].keys() == wanted


def test_a_table_without_a_column_for_the_key_gets_none_where_none_is_needed() -> None:
    own = (Column("time", "TIMESTAMP", "REQUIRED"), Column("n", "INTEGER"))
    _, record = sampled(own, **{"bigquery.key_digits": 0})
    assert json.loads(record.data) == {"n": 0}


@pytest.mark.parametrize("name", ["Player_ID", "player_id"])
def test_the_key_stands_in_the_sample_once_however_its_column_is_spelled(name: str) -> None:
    _, record = sampled((Column(name, "STRING"), Column("time", "TIMESTAMP", "REQUIRED")))
    assert json.loads(record.data) == {"player_id": "10"}
