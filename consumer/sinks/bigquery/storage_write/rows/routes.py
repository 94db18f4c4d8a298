"""Which table a record's key chooses."""

from collections.abc import Sequence

from consumer.domain.dead_letters import Reason
from consumer.domain.routing import table_name, table_suffix
from consumer.sinks.bigquery.rows.encoder import no_table
from consumer.sinks.bigquery.storage_write.rows.rules import Rules
from consumer.sinks.json.fields import Key


class BadRow(ValueError):
    """The record makes no row."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason: Reason = reason


class TableRoutes:
    """Remembers what it has found: there are few tables."""

    def __init__(self, rules: Rules) -> None:
        self._prefix = rules.text("bigquery.table_prefix")
        self._digits = int(rules.text("bigquery.key_digits"))
        self._key_field = rules.text("record.key_field")
        self._known: dict[str, str] = {}

    def find_all(self, keys: Sequence[Key]) -> list[str]:
        """`find` of each."""
        known, digits = self._known, self._digits
        try:
            return [known[key[:digits]] for key in keys]  # type: ignore[index]
        except (KeyError, TypeError):  # one that is new, or no text
            return list(map(self.find, keys))

    def find(self, key: Key) -> str:
        """The table's name; raises BadRow."""
        digits = key[: self._digits] if isinstance(key, str) else ""
        name = self._known.get(digits)
        if name is None:
            suffix = table_suffix(key, self._digits)
            if suffix is None:
                raise self._bad(key)
            name = table_name(self._prefix, suffix)
            if isinstance(key, str):
                self._known[digits] = name
        return name

    def _bad(self, key: Key) -> BadRow:
        return BadRow(*no_table(self._key_field, key))
