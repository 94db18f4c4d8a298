"""Partition columns: what Athena projects for a record is the path under which the daemon puts it."""

import re
from datetime import UTC, datetime

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from consumer.domain.key_templates import MOST_FIELDS, NO_VALUE, OVERFLOW, KeyTemplate, escaped
from consumer.domain.routing import epoch_ms
from consumer.operate.catalogue.paths import NOW, PartitionColumn, Paths, paths_of
from tests.unit.operate.projection import date_of, location, number_of

SINCE = datetime(2025, 1, 1, tzinfo=UTC)
SHARD = "shardId-000000000003"
BY_RANGE = {"1,12": "%m", "1,31": "%d", "0,23": "%H", "0,59": "%M", "1,366": "%j", "2025,2050": "%Y"}


def paths(template: str, **options: object) -> Paths:
    return paths_of(template, stream="logs", since=SINCE, **options)  # type: ignore[arg-type]


def kinds(made: Paths) -> dict[str, str]:
    return {column.name: column.projection["type"] for column in made.columns}


def value_of(column: PartitionColumn, moment: datetime, values: dict[str, str | None]) -> str:
    """What a query's condition, or the projection, has for a record."""
    projection = column.projection
    if projection["type"] == "date":
        return date_of(column, moment, SINCE)
    if projection["type"] == "integer":
        return number_of(column, int(moment.strftime(BY_RANGE[projection["range"]])))
    assert column.field is not None
    value = values[column.field]
    text = escaped(value) if value else column.default
    assert projection["type"] == "injected" or text in projection["values"].split(",")
    return text


NAMES = st.sampled_from(["content_type", "log", "dt", "year", "a-b", "Name", "x", "_y", "hour"])
LITERALS = st.text("abXY019=_-.", min_size=1, max_size=4)
TIMES = st.sampled_from(["%Y", "%m", "%d", "%H", "%M", "%j"])
FIELDS = st.builds(
    lambda name, default: f"{{{name}{default}}}",
    NAMES.filter(lambda name: name != "shard"),
    st.sampled_from(["", "|none", "|0"]),
)
DATES = st.sampled_from(["%Y-%m-%d", "%Y/%m/%d/%H", "%Y%m%d", "%Y-%m-%dT%H", "%d.%m.%Y", "%Y-%j", "%Y-%m"])
PIECES = st.one_of(LITERALS, TIMES, TIMES, FIELDS, DATES, st.just("{stream}"), st.just("{shard}"))
PARTS = st.tuples(
    st.one_of(st.just(""), NAMES.map(lambda name: f"{name}=")), st.lists(PIECES, min_size=1, max_size=4)
)
TEMPLATES = st.lists(PARTS.map(lambda part: part[0] + "".join(part[1])), min_size=1, max_size=5).map("/".join)
MOMENTS = st.datetimes(datetime(2025, 1, 1), datetime(2050, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001


@given(template=TEMPLATES, moment=MOMENTS, data=st.data())
def test_the_location_that_athena_projects_for_a_record_is_its_path(
    template: str, moment: datetime, data: st.DataObject
) -> None:
    assume(not {".", ".."} & set(template.split("/")))
    assume(len(set(re.findall(r"\{([^}|]+)", template))) <= MOST_FIELDS)
    keys = KeyTemplate(template, stream="logs", shard=SHARD)
    values = {name: data.draw(st.none() | st.text(max_size=12)) for name in keys.fields}
    enumerated = data.draw(st.sets(st.sampled_from(sorted(keys.fields)) if keys.fields else st.nothing()))
    taken = data.draw(st.sets(NAMES))
    made = paths(template, taken=taken, values={name: [values[name] or "a"] for name in enumerated})

    names = [column.name for column in made.columns]
    assert len(names) == len(set(names))
    assert not set(names) & {name.lower() for name in taken}
    assert all(re.fullmatch("[a-z0-9_]+", name) for name in names)
    assert sorted(re.findall(r"\$\{([^}]+)\}", made.template)) == sorted(names)

    projected = {column.name: value_of(column, moment, values | {"shard": SHARD}) for column in made.columns}
    path = keys.path([values[name] for name in keys.fields], epoch_ms(moment))
    found = location(made.template, projected)
    assert path.startswith(found)
    rest = path.removeprefix(found)
    assert not rest or SHARD in rest  # what is left out lies below


@pytest.mark.parametrize(
    ("template", "columns"),
    [
        ("dt=%Y-%m-%d/hour=%H", {"dt": "date", "hour": "integer"}),
        ("%Y/%m/%d/%H", {"dt": "date"}),
        ("raw/%Y/%m/%d/%H/x", {"dt": "date"}),
        (
            "content_type={content_type|none}/year=%Y/month=%m/day=%d/hour=%H",
            {
                "content_type": "injected",
                "year": "integer",
                "month": "integer",
                "day": "integer",
                "hour": "integer",
            },
        ),
        ("{a}/%Y/{b}/%m", {"a": "injected", "year": "integer", "b": "injected", "month": "integer"}),
        ("dt=%Y-%m-%d/{shard}", {"dt": "date"}),
        ("{shard}/dt=%Y-%m-%d", {"shard": "injected", "dt": "date"}),
        ("s={shard}/x/{shard}-{stream}", {}),
        ("y=%Y7%m", {"year": "integer", "month": "integer"}),  # java.time would read a year 20257
        ("week=%H-%d", {"hour": "integer", "day": "integer"}),  # no moment
        ("name={name}", {"name": "injected"}),
        ("v={a}-{b}", {"a": "injected", "b": "injected"}),
        ("fixed", {}),
    ],
)
def test_what_becomes_of_the_parts_of_a_path(template: str, columns: dict[str, str]) -> None:
    assert kinds(paths(template)) == columns


def test_a_time_is_projected_in_its_own_format_and_unit() -> None:
    [moment] = paths("at=%Y-%m-%dT%H").columns
    assert dict(moment.projection) == {
        "type": "date",
        "format": "yyyy-MM-dd'T'HH",
        "range": f"2025-01-01T00,{NOW}",
        "interval": "1",
        "interval.unit": "HOURS",
    }
    assert moment.type == "string"
    [year] = paths("year=%Y").columns
    assert dict(year.projection) == {"type": "integer", "range": "2025,2050", "digits": "4"}
    assert year.type == "int"


def test_values_that_are_listed_are_those_of_keys_with_the_default_and_the_overflow() -> None:
    [column] = paths("c={c|none}", values={"c": ["Free Kick", "a", "a", "."]}).columns
    assert column.projection == {"type": "enum", "values": f"Free%20Kick,a,%2E,none,{OVERFLOW}"}
    [column] = paths("c={c}", values={"c": ["a"]}).columns
    assert column.projection["values"] == f"a,{NO_VALUE},{OVERFLOW}"
    [column] = paths("dt/{shard}", values={"shard": [SHARD]}).columns
    assert column.projection["values"] == SHARD
    with pytest.raises(KeyError, match="d"):
        paths("c={c}", values={"d": ["a"]})


def test_a_column_of_the_path_makes_way_for_one_of_the_data() -> None:
    made = paths("Time=%Y-%m-%d/time={time}", taken=["TIME", "other"])
    assert [column.name for column in made.columns] == ["time_partition", "time_partition_2"]
    assert made.template == "Time=${time_partition}/time=${time_partition_2}/"
    assert made.columns[1].field == "time"


def test_a_stream_is_text_even_where_its_name_has_an_escape() -> None:
    made = paths_of("%Y-{stream}-%m", stream=".m", since=SINCE)
    assert made.template == "${year}-%2Em-${month}/"
