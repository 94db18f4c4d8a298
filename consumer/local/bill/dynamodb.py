"""What requests to DynamoDB cost in request units (on demand), by the sizes of the items that they touch.

A write unit is a begun KB of the larger of an item before and after, a read unit 4 KB read consistently; a write of
what a global secondary index holds costs there as well; transactions cost twice as much. Sizes are DynamoDB's:
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from consumer.local.aws.item_sizes import READ_BYTES, WRITE_BYTES, item_bytes, units
from consumer.local.bill.layer import Exchange
from consumer.local.bill.meter import Meter

_TRANSACTION = 2
_CONFLICT = "ConditionalCheckFailedException"

type Value = dict[str, Any]  # {"S": …}
type Item = dict[str, Value]
type Lookup = Callable[[str, Item], Item | None]
"""The item of a table under a key, as it is at the moment."""


@dataclass(frozen=True, slots=True)
class Index:
    """A global secondary index: its key, and what else it holds; None stands for everything."""

    key: Sequence[str]
    attributes: frozenset[str] | None

    def entry(self, item: Item | None) -> Item | None:
        if item is None or any(name not in item for name in self.key):
            return None
        if self.attributes is None:
            return item
        return {name: value for name, value in item.items() if name in self.attributes}

    def write_units(self, before: Item | None, after: Item | None) -> int:
        """A changed key is a deletion and a new entry."""
        old, new = self.entry(before), self.entry(after)
        if old == new:
            return 0
        entries = [entry for entry in (old, new) if entry is not None]
        if old and new and all(old[name] == new[name] for name in self.key):
            return max(units(item_bytes(entry), WRITE_BYTES) for entry in entries)
        return sum(units(item_bytes(entry), WRITE_BYTES) for entry in entries)


def write_units(before: Item | None, after: Item | None, indexes: Sequence[Index] = ()) -> int:
    """Of one write that turns an item into another; None is no item."""
    larger = max(item_bytes(before or {}), item_bytes(after or {}))
    return units(larger, WRITE_BYTES) + sum(index.write_units(before, after) for index in indexes)


def read_units(size_bytes: int, *, consistent: bool) -> float:
    return units(size_bytes, READ_BYTES) * (1.0 if consistent else 0.5)


@dataclass(slots=True)
class _Table:
    key: tuple[str, ...]
    indexes: dict[str, Index] = field(default_factory=dict)
    items: dict[tuple[str, ...], Item] = field(default_factory=dict)

    def key_of(self, item: Item) -> Item:
        return {name: item[name] for name in self.key}

    def place(self, key: Item) -> tuple[str, ...]:
        return tuple(str(next(iter(key[name].values()))) for name in self.key)


class DynamoDB:
    """Counts `dynamodb_write_units` and `dynamodb_read_units`. It learns of tables and items by their requests, and
    looks an item up after each write, since an update does not say what comes of it."""

    def __init__(self, meter: Meter, lookup: Lookup) -> None:
        self._meter = meter
        self._lookup = lookup
        self._tables: dict[str, _Table] = {}
        self._operations: Mapping[str, Callable[[Value, Value], None]] = {
            "CreateTable": self._create,
            "UpdateTable": self._create_index,
            "PutItem": self._write_one,
            "UpdateItem": self._write_one,
            "DeleteItem": self._write_one,
            "BatchWriteItem": self._write_batch,
            "TransactWriteItems": self._transact,
            "GetItem": self._get,
            "BatchGetItem": self._get_batch,
            "Query": self._search,
            "Scan": self._search,
        }

    def account(self, exchange: Exchange) -> None:
        operation = self._operations.get(exchange.header(b"x-amz-target").rpartition(".")[2])
        if operation is None:
            return
        request: Value = msgspec.json.decode(exchange.body)
        if exchange.status == 200:
            operation(request, msgspec.json.decode(exchange.answer_body))
        elif exchange.status == 400 and _CONFLICT.encode() in exchange.answer_body:
            self._refused(request)

    def _create(self, request: Value, _answer: Value) -> None:
        key = tuple(each["AttributeName"] for each in request["KeySchema"])
        table = self._tables[_name(request)] = _Table(key)
        for index in request.get("GlobalSecondaryIndexes", ()):
            table.indexes[index["IndexName"]] = _index(index, key)

    def _create_index(self, request: Value, _answer: Value) -> None:
        table = self._tables[_name(request)]
        for update in request.get("GlobalSecondaryIndexUpdates", ()):
            if index := update.get("Create"):
                table.indexes[index["IndexName"]] = _index(index, table.key)

    def _write_one(self, request: Value, _answer: Value) -> None:
        self._write(_name(request), request, 1)

    def _write_batch(self, request: Value, answer: Value) -> None:
        left = answer.get("UnprocessedItems", {})
        for name, writes in request["RequestItems"].items():
            for write in writes:
                if write not in left.get(name, ()):
                    self._write(name.rpartition("/")[2], next(iter(write.values())), 1)

    def _transact(self, request: Value, _answer: Value) -> None:
        for action in request["TransactItems"]:
            [write] = action.values()
            self._write(_name(write), write, _TRANSACTION)

    def _write(self, name: str, write: Value, factor: int) -> None:
        table = self._tables[name]
        key = write.get("Key") or table.key_of(write["Item"])
        before, after = self._change(name, table, key)
        units = write_units(before, after, list(table.indexes.values()))
        self._meter.add(dynamodb_write_units=factor * units)

    def _change(self, name: str, table: _Table, key: Item) -> tuple[Item | None, Item | None]:
        """The item under a key as it was, and as it is."""
        place = table.place(key)
        before, after = table.items.get(place), self._lookup(name, key)
        if after is None:
            table.items.pop(place, None)
        else:
            table.items[place] = after
        return before, after

    def _refused(self, request: Value) -> None:
        """A condition that does not hold costs what the item is worth that it was held against."""
        table = self._tables[_name(request)]
        key = request.get("Key") or table.key_of(request["Item"])
        self._meter.add(dynamodb_write_units=write_units(table.items.get(table.place(key)), None))

    def _get(self, request: Value, answer: Value) -> None:
        consistent = bool(request.get("ConsistentRead"))
        self._read([answer.get("Item", {})], consistent)

    def _get_batch(self, request: Value, answer: Value) -> None:
        for name, items in answer.get("Responses", {}).items():
            consistent = bool(request["RequestItems"][name].get("ConsistentRead"))
            missing = len(request["RequestItems"][name]["Keys"]) - len(items)
            self._read([*items, *[{}] * missing], consistent)

    def _search(self, request: Value, answer: Value) -> None:
        """What was looked at costs, not what passed the filter; both are taken to be of one size."""
        items = answer.get("Items", ())
        size = sum(map(item_bytes, items))
        if items:
            size = size * int(answer.get("ScannedCount", len(items))) // len(items)
        units = read_units(size, consistent=bool(request.get("ConsistentRead")))
        self._meter.add(dynamodb_read_units=units)

    def _read(self, items: Sequence[Item], consistent: bool) -> None:
        units = sum(read_units(item_bytes(item), consistent=consistent) for item in items)
        self._meter.add(dynamodb_read_units=units)


def _name(request: Value) -> str:
    """A table may be named by its ARN."""
    return str(request["TableName"]).rpartition("/")[2]


def _index(index: Value, table_key: Sequence[str]) -> Index:
    key = tuple(each["AttributeName"] for each in index["KeySchema"])
    projection = index.get("Projection", {})
    if projection.get("ProjectionType", "ALL") == "ALL":
        return Index(key, None)
    return Index(key, frozenset({*key, *table_key, *projection.get("NonKeyAttributes", ())}))
