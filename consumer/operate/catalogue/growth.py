"""What a table in Glue needs to be the one that is asked for: columns are added, and none is dropped or retyped."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from consumer.operate.catalogue.columns import HiveColumn, HiveType
from consumer.operate.catalogue.table import ENABLED, PROJECTION, TEMPLATE, Table
from consumer.operate.errors import Refused

_SHOWN = 4
_SIMPLE = re.compile(r"[^<>,:()]+(?:\([0-9 ,]*\))?")
_OURS = (ENABLED, TEMPLATE, "classification")


@dataclass(frozen=True, slots=True)
class Growth:
    """`table_input` is that of UpdateTable; `changes` say what it changes, none where nothing is to be done; `kept`
    are columns of the table that the settings do not have."""

    table_input: Mapping[str, Any]
    changes: Sequence[str]
    kept: Sequence[str]


def growth(found: Mapping[str, Any], table: Table, members: Collection[str]) -> Growth:
    """`found` is the Table of GetTable's answer, `members` are those that a TableInput has. Whatever others have set
    stays. Raises Refused where it is another table."""
    wanted = table.glue_input()
    _refuse_another(found, wanted, f"{table.database}.{table.name}")
    storage, asked = found["StorageDescriptor"], wanted["StorageDescriptor"]
    columns, changes, kept = _columns(storage.get("Columns", []), table)
    serde = storage["SerdeInfo"]
    properties = serde.get("Parameters", {})
    parameters = found.get("Parameters", {})
    rest = {key: value for key, value in parameters.items() if not _is_ours(key)}
    grown = {
        **{key: value for key, value in found.items() if key in members},
        "StorageDescriptor": {
            **storage,
            "Columns": columns,
            "SerdeInfo": {**serde, "Parameters": {**properties, **asked["SerdeInfo"]["Parameters"]}},
        },
        "Parameters": {**rest, **wanted["Parameters"]},
    }
    changes += _differences(parameters, grown["Parameters"])
    changes += _differences(properties, grown["StorageDescriptor"]["SerdeInfo"]["Parameters"])
    return Growth(grown, changes, kept)


def shown(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"


def read_type(text: str) -> HiveType:
    """Of Glue's text; one of a form that we do not write is a name as a whole."""
    plain = re.sub(r"\s", "", text.lower())
    try:
        kind, rest = _read(plain)
    except ValueError:
        return HiveType(plain)
    return HiveType(plain) if rest else kind


def grown_type(old: HiveType, new: HiveType) -> HiveType | None:
    """The type that has all of both: fields of a struct are added. None where there is none."""
    if old == new:
        return old
    if old.item is not None and new.item is not None:
        item = grown_type(old.item, new.item)
        return None if item is None else replace(old, item=item)
    if not (old.fields and new.fields):
        return None
    coming = {field.name: field for field in new.fields}
    fields = []
    for field in old.fields:
        kind = grown_type(field.type, coming.pop(field.name).type) if field.name in coming else field.type
        if kind is None:
            return None
        fields.append(HiveColumn(field.name, kind))
    return replace(old, fields=(*fields, *coming.values()))


def _refuse_another(found: Mapping[str, Any], wanted: Mapping[str, Any], name: str) -> None:
    storage, asked = found.get("StorageDescriptor", {}), wanted["StorageDescriptor"]
    table_format = found.get("Parameters", {}).get("table_type")
    pairs = {
        "is": (table_format or found.get("TableType"), wanted["TableType"]),
        "has the partition columns": (
            _told(found.get("PartitionKeys", [])),
            _told(wanted["PartitionKeys"]),
        ),
        "lies at": (str(storage.get("Location")).rstrip("/"), asked["Location"].rstrip("/")),
        "is read by": (_reader(storage), _reader(asked)),
    }
    for words, (there, here) in pairs.items():
        if there != here:
            raise Refused(
                f"nothing was changed: {name} in Glue {words} {there}, and with these settings it would be {here}: take"
                " another name by --table, or drop that table, which deletes no object"
            )


def _told(columns: Sequence[Mapping[str, str]]) -> str:
    return ", ".join(f"{one['Name']} {read_type(one.get('Type', '')).name}" for one in columns) or "none"


def _reader(storage: Mapping[str, Any]) -> str:
    return f"{storage.get('SerdeInfo', {}).get('SerializationLibrary')} from {storage.get('InputFormat')}"


def _columns(
    found: Sequence[Mapping[str, Any]], table: Table
) -> tuple[list[Mapping[str, Any]], list[str], list[str]]:
    """Those of the table first, as they are; what changes; and those that the settings do not have. Raises Refused."""
    coming = {column.name: column for column in table.columns}
    made: list[Mapping[str, Any]] = []
    changes, kept = [], []
    for one in found:
        name = one["Name"].lower()
        column = coming.pop(name, None)
        if column is None:
            kept.append(name)
            made.append(one)
            continue
        old = read_type(one.get("Type", ""))
        kind = grown_type(old, column.type)
        if kind is None:
            raise Refused(
                f"nothing was changed: column {name} of {table.database}.{table.name} is {old.text()} in Glue, and with"
                f" these settings it would be {column.type.text()}: objects of both types may lie there. Take another"
                " name by --table, or change the type in Glue yourself"
            )
        if kind == old:
            made.append(one)
        else:
            made.append({**one, "Type": kind.text()})
            changes.append(f"column {name} becomes {kind.text()}")
    for column in coming.values():
        made.append({"Name": column.name, "Type": column.type.text()})
        changes.append(f"column {column.name} {column.type.text()} is added")
    return made, changes, kept


def _is_ours(key: str) -> bool:
    return key in _OURS or key.startswith(PROJECTION)


def _differences(found: Mapping[str, str], wanted: Mapping[str, str]) -> list[str]:
    changed = [
        f"{key} = {value}" + (f" in place of {found[key]}" if key in found else "")
        for key, value in wanted.items()
        if found.get(key) != value
    ]
    return [*changed, *(f"{key} is taken away" for key in found if key not in wanted)]


def _read(text: str) -> tuple[HiveType, str]:
    """A type, and what follows it. Raises ValueError."""
    if text.startswith("array<"):
        item, rest = _read(text.removeprefix("array<"))
        return HiveType("array", item=item), _behind(">", rest)
    if not text.startswith("struct<"):
        simple = _SIMPLE.match(text)
        if simple is None:
            raise ValueError(text)
        return HiveType("int" if simple[0] == "integer" else simple[0]), text[simple.end() :]
    fields, rest, end = [], text.removeprefix("struct<"), ","
    while end == ",":
        name, colon, rest = rest.partition(":")
        if not colon:
            raise ValueError(text)
        kind, rest = _read(rest)
        fields.append(HiveColumn(name, kind))
        end, rest = rest[:1], rest[1:]
    if end != ">":
        raise ValueError(text)
    return HiveType("struct", fields=tuple(fields)), rest


def _behind(end: str, text: str) -> str:
    if not text.startswith(end):
        raise ValueError(text)
    return text.removeprefix(end)
