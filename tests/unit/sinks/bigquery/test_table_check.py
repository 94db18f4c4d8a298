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

    def after_refusal(self, *, others_pass: bool = False) -> None:
        self.check.after_refusal("t", others_pass=others_pass)


@pytest.fixture
def table() -> Table:
    return Table()


def test_rows_all_refused_are_to_blame_once_the_table_was_in_order_before_and_after(table: Table) -> None:
    with pytest.raises(TransientError, match="sent once more"):
        table.after_refusal()
    table.after_refusal()
    assert table.asked == 2


def test_rows_refused_beside_good_ones_are_to_blame_where_the_table_is_in_order(table: Table) -> None:
    table.after_refusal(others_pass=True)
    table.now = 9.0
    table.after_refusal(others_pass=True)
    assert table.asked == 1
    table.now = 11.0
    table.after_refusal(others_pass=True)
    assert table.asked == 2


@pytest.mark.parametrize("others_pass", [False, True])
@pytest.mark.parametrize("trouble", [SetupError("refused", setting="x"), TransientError("down")])
def test_rows_are_not_to_blame_while_the_table_is_not_in_order(
    table: Table, others_pass: bool, trouble: Exception
) -> None:
    for _ in range(3):
        table.troubles = [trouble]
        with pytest.raises(type(trouble)):
            table.after_refusal(others_pass=others_pass)


def test_a_table_that_broke_after_it_was_in_order_is_found(table: Table) -> None:
    with pytest.raises(TransientError):
        table.after_refusal()
    table.troubles = [SetupError("dropped", setting="x")]
    with pytest.raises(SetupError):
        table.after_refusal()
    with pytest.raises(TransientError, match="sent once more"):
        table.after_refusal()


def test_a_check_of_long_ago_says_nothing(table: Table) -> None:
    with pytest.raises(TransientError):
        table.after_refusal()
    table.now = 11.0
    with pytest.raises(TransientError, match="sent once more"):
        table.after_refusal()


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
