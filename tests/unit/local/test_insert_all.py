"""insertAll as the embedded BigQuery does it: ids count once their rows are stored."""

import threading
from collections.abc import Callable
from typing import Any

import duckdb
import pytest

from consumer.local.bigquery.insert_all import Inserts, Row, Seen, Twice, is_too_precise

Store = Callable[[str, Any, list[Row]], list[dict[str, Any]]]


class FakeEngine:
    """Keeps rows by table; fails while told to."""

    def __init__(self) -> None:
        self.tables: dict[str, list[str]] = {}
        self.failure: Exception | None = None
        self.invalid: set[str] = set()

    def store(self, table: str, schema: Any, rows: list[Row]) -> list[dict[str, Any]]:
        if self.failure is not None:
            raise self.failure
        names = {index: str(columns["name"]) for index, _, columns in rows}
        kept = [name for name in names.values() if name not in self.invalid]
        self.tables.setdefault(table, []).extend(kept)
        return [{"index": index, "errors": []} for index, name in names.items() if name in self.invalid]


def rows(*names: str, start: int = 0) -> list[Row]:
    return [(start + index, f"id-{name}", {"name": name}) for index, name in enumerate(names)]


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def inserts(engine: FakeEngine) -> Inserts:
    return Inserts(engine.store, window_seconds=60)


def test_a_repeated_id_is_stored_once(engine: FakeEngine, inserts: Inserts) -> None:
    assert inserts.insert("t", None, rows("a", "b")) == []
    assert inserts.insert("t", None, rows("b", "c", "c")) == []
    assert engine.tables == {"t": ["a", "b", "c"]}


def test_the_repeat_of_a_failed_insert_is_stored(engine: FakeEngine, inserts: Inserts) -> None:
    engine.failure = duckdb.OperationalError("conflict")
    with pytest.raises(duckdb.OperationalError):
        inserts.insert("t", None, rows("a", "b"))
    engine.failure = None
    inserts.insert("t", None, rows("a", "b"))
    assert engine.tables == {"t": ["a", "b"]}


def test_the_repeat_of_a_row_that_was_invalid_is_tried_again(engine: FakeEngine, inserts: Inserts) -> None:
    engine.invalid = {"b"}
    assert [failure["index"] for failure in inserts.insert("t", None, rows("a", "b"))] == [1]
    engine.invalid = set()
    inserts.insert("t", None, rows("a", "b"))
    assert engine.tables == {"t": ["a", "b"]}


def test_rows_without_an_id_are_always_stored(engine: FakeEngine, inserts: Inserts) -> None:
    for _ in range(2):
        inserts.insert("t", None, [(0, None, {"name": "a"}), (1, None, {"name": "a"})])
    assert engine.tables == {"t": ["a"] * 4}


def test_an_id_is_one_tables_own(engine: FakeEngine, inserts: Inserts) -> None:
    inserts.insert("t", None, rows("a"))
    inserts.insert("u", None, rows("a"))
    assert engine.tables == {"t": ["a"], "u": ["a"]}


def test_rows_that_are_stored_again_are_noted(engine: FakeEngine) -> None:
    moments = iter([10.0, 75.0, 80.0, 90.0])
    twice = Twice(lambda: next(moments))
    inserts = Inserts(engine.store, window_seconds=-1, twice=twice)  # nothing is remembered
    inserts.insert("t", None, rows("a", "b"))
    engine.invalid = {"b"}
    inserts.insert("t", None, rows("a", "b"))
    inserts.insert("u", None, rows("a"))
    inserts.insert("t", None, [*rows("a"), (1, None, {"name": "c"})])
    assert [(one["table"], one["first"], one["again"], one["row"]) for one in twice.rows] == [
        ("t", 10.0, 75.0, {"name": "a"}),
        ("t", 75.0, 90.0, {"name": "a"}),
    ]


def test_a_repeat_that_overtakes_its_original_waits_for_it(engine: FakeEngine) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def slow(table: str, schema: Any, given: list[Row]) -> list[dict[str, Any]]:
        inside.set()
        assert go_on.wait(10)
        return engine.store(table, schema, given)

    inserts = Inserts(slow, window_seconds=60)
    threads = [threading.Thread(target=inserts.insert, args=("t", None, rows("a"))) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert inside.wait(10)
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert engine.tables == {"t": ["a"]}


def test_one_table_does_not_wait_for_another(engine: FakeEngine) -> None:
    both = threading.Barrier(2, timeout=10)

    def meet(table: str, schema: Any, given: list[Row]) -> list[dict[str, Any]]:
        both.wait()
        return engine.store(table, schema, given)

    inserts = Inserts(meet, window_seconds=60)
    threads = [threading.Thread(target=inserts.insert, args=(table, None, rows("a"))) for table in ("t", "u")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert engine.tables == {"t": ["a"], "u": ["a"]}


def test_ids_are_forgotten_after_the_window_and_take_no_room() -> None:
    now = 0.0
    seen: Seen[str] = Seen(60, clock=lambda: now)
    seen.add(["a", "b"])
    now = 60.0
    assert "a" in seen
    seen.add(["b"])
    now = 61.0
    assert ("a" in seen, "b" in seen) == (False, True)
    seen.add(["c"])
    assert len(seen) == 2


@pytest.mark.parametrize(
    ("value", "is_taken"),
    [
        ("2026-11-20T23:59:59.999999Z", True),
        ("2026-11-20T23:59:59.9999999Z", False),
        ("23:59:59.000000000", False),
        ("12.3456789", True),
        (12.3456789, True),
        (None, True),
    ],
)
def test_a_time_has_at_most_six_decimals(value: object, is_taken: bool) -> None:
    assert is_too_precise(value) is not is_taken
