"""How an existing table differs from the columns that it must have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from consumer.settings.schema import Column


def differences(expected: tuple[Column, ...], actual: tuple[Column, ...], path: str = "") -> Iterator[str]:
    """What keeps rows of the expected columns out of a table, column by column.

    A table may have more columns as long as they can be null, and may take null where we never send it.
    """
    found = {column.name.lower(): column for column in actual}
    for column in expected:
        name = path + column.name
        other = found.pop(column.name.lower(), None)
        if other is None:
            yield f"column {name} ({column.mode} {column.type}) is missing"
        elif other.type != column.type:
            yield f"column {name} is {other.type}, not {column.type}"
        elif _refuses(column, other):
            yield f"column {name} is {other.mode}, not {column.mode}"
        else:
            yield from differences(column.fields, other.fields, f"{name}.")
    for other in found.values():
        if other.mode == "REQUIRED":
            yield f"column {path}{other.name} is REQUIRED, and no row has it"


def additions(expected: Sequence[Column], actual: Sequence[Column]) -> Iterator[Column]:
    """The columns that can be added to a table: BigQuery fills them with null, so a REQUIRED one cannot."""
    found = {column.name.lower(): column for column in actual}
    for column in expected:
        other = found.get(column.name.lower())
        if other is None:
            if column.mode != "REQUIRED":
                yield column
        else:
            yield from additions(column.fields, other.fields)


def with_columns(expected: Sequence[Column], actual: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A table's columns with those of `additions` behind them; both as BigQuery's API writes columns, so that
    descriptions and policy tags of existing ones stay."""
    wanted = {column.name.lower(): column for column in expected}
    merged = []
    for field in actual:
        column = wanted.pop(field["name"].lower(), None)
        inner = field.get("fields")
        if column is not None and column.fields and inner:
            field = {**field, "fields": with_columns(column.fields, inner)}
        merged.append(field)
    return [*merged, *(_as_api(column) for column in wanted.values() if column.mode != "REQUIRED")]


def _as_api(column: Column) -> dict[str, Any]:
    content: dict[str, Any] = {"name": column.name, "type": column.type, "mode": column.mode}
    if column.description:
        content["description"] = column.description
    if column.fields:
        content["fields"] = [_as_api(field) for field in column.fields]
    return content


def _refuses(column: Column, other: Column) -> bool:
    if "REPEATED" in (column.mode, other.mode):
        return column.mode != other.mode
    return other.mode == "REQUIRED" and column.mode != "REQUIRED"
