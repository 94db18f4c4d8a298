"""What Athena makes of the properties of a projection: values of partitions, and where they lie."""

import re
from collections.abc import Mapping
from datetime import datetime

from consumer.operate.catalogue.paths import PartitionColumn

_JAVA = {"yyyy": "%Y", "MM": "%m", "dd": "%d", "HH": "%H", "mm": "%M", "DDD": "%j"}
_TOKENS = re.compile(r"'((?:[^']|'')*)'|(([A-Za-z])\3*)|([^A-Za-z']+)")


def formatted(pattern: str, moment: datetime) -> str:
    """By a pattern of java.time's DateTimeFormatter: text in quotes or of no letters is itself, two quotes are one."""
    assert "".join(found[0] for found in _TOKENS.finditer(pattern)) == pattern
    return "".join(
        [
            _of(_JAVA[found[2]], moment) if found[2] else (found[1] or found[4]).replace("''", "'")
            for found in _TOKENS.finditer(pattern)
        ]
    )


def _of(code: str, moment: datetime) -> str:
    return f"{moment.year:04}" if code == "%Y" else moment.strftime(code)


def date_of(column: PartitionColumn, moment: datetime, since: datetime) -> str:
    """A date as it stands in a path; the range begins `since`, in its own format."""
    begin, end = column.projection["range"].split(",")
    assert re.fullmatch(r"NOW([+-][0-9]+DAYS)?", end)
    pattern = column.projection["format"]
    assert begin == formatted(pattern, since)
    return formatted(pattern, moment)


def number_of(column: PartitionColumn, value: int) -> str:
    """An integer as it stands in a path."""
    least, most = map(int, column.projection["range"].split(","))
    assert least <= value <= most
    return f"{value:0{column.projection['digits']}}"


def location(template: str, values: Mapping[str, str]) -> str:
    """Values are put as they are where there is a template: io.trino.plugin.hive.projection.PartitionProjection."""
    return re.sub(r"\$\{([^}]+)\}", lambda found: values[found[1]], template)
