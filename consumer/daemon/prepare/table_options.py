"""What a new table gets beside its columns, and how an existing one differs from that."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

from consumer.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class TableOptions:
    """As the settings have them, or as a table has them. `labels` holds pairs in the order of their keys."""

    clustering: tuple[str, ...] = ()
    partition_expiry_days: int | None = None
    description: str | None = None
    labels: tuple[tuple[str, str], ...] = ()
    require_partition_filter: bool = False

    @classmethod
    def of(cls, settings: Settings) -> TableOptions:
        columns = settings.optional_text("bigquery.clustering") or settings.text("record.key_field")
        pairs = (settings.optional_text("bigquery.labels") or "").split(",")
        return cls(
            clustering=tuple(name.strip() for name in columns.split(",")),
            partition_expiry_days=settings["bigquery.partition_expiry_days"],
            description=settings.optional_text("bigquery.table_description"),
            labels=tuple(sorted(_pair(text) for text in pairs if text)),
            require_partition_filter=settings.flag("bigquery.require_partition_filter"),
        )

    def differences(self, found: TableOptions) -> Iterator[str]:
        """What an existing table has otherwise. Rows go in all the same, so none of it is changed or refused: someone
        may have wanted it so."""
        for field in fields(self):
            wanted, has = getattr(self, field.name), getattr(found, field.name)
            if wanted != has:
                yield f"{field.name} is {_shown(has)}, not {_shown(wanted)}"


def _pair(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    return key, value


def _shown(value: object) -> str:
    if not isinstance(value, tuple):
        return "unset" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return ", ".join("=".join(one) if isinstance(one, tuple) else str(one) for one in value) or "unset"
