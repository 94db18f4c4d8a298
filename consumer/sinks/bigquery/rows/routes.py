"""Which table a record's key chooses."""

import msgspec

from consumer.domain.routing import table_name, table_suffix
from consumer.sinks.bigquery.rows.bad_record import BadRecord
from consumer.sinks.json.fields import Key

_SHOWN = 64
"""Characters of a key, or bytes of one that is no text."""
_ANY_KEY = "; with bigquery.key_digits = 0 any key will do, and there is one table"


class TableRoutes:
    """Remembers what it has found: there are few tables."""

    def __init__(self, *, table_prefix: str, key_digits: int, key_field: str) -> None:
        self.table_prefix = table_prefix
        self.key_digits = key_digits
        self.key_field = key_field
        self._known: dict[str, str] = {}

    def find(self, key: Key) -> str:
        """The table's name; raises BadRecord."""
        digits = key[: self.key_digits] if isinstance(key, str) else ""
        name = self._known.get(digits)
        if name is None:
            suffix = table_suffix(key, self.key_digits)
            if suffix is None:
                raise self._no_table(key)
            name = table_name(self.table_prefix, suffix)
            if isinstance(key, str):
                self._known[digits] = name
        return name

    def _no_table(self, key: Key) -> BadRecord:
        if key is None or key == "":
            return BadRecord("no_key", f"no value in {self.key_field} (record.key_field)")
        if isinstance(key, msgspec.Raw):
            shown = str(memoryview(key)[:_SHOWN], "utf-8", "replace")
            return BadRecord("bad_key", f"{self.key_field} is no text: {shown}{_ANY_KEY}")
        count = f"{self.key_digits} hex digit{'' if self.key_digits == 1 else 's'}"
        return BadRecord(
            "bad_key", f"{self.key_field} does not begin with {count}: {key[:_SHOWN]!r}{_ANY_KEY}"
        )
