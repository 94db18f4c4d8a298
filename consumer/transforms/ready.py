"""Functions for a module of one's own: each of these makes one that takes a record and changes it, and `chain` makes
one of several (docs/transforms.md).

    enrich = chain(user_agent("user_agent"), to_types({"level": "number"}), drop("ip"))
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

from consumer.domain.routing import time_parser
from consumer.transforms.numbers import Spelled
from consumer.transforms.pseudonyms import key_from_file, key_from_secret, pseudonym

__all__ = [
    "chain",
    "drop",
    "keep",
    "key_from_file",
    "key_from_secret",
    "pseudonym",
    "referrer",
    "rename",
    "to_types",
    "user_agent",
]

type Record = dict[str, Any]
type Function = Callable[[Record], Any]
type Otherwise = Literal["fail", "keep", "null"]


def chain(*functions: Function) -> Function:
    """One after the other; each may filter a record or make several of it, as the contract has it."""

    def chained(record: Record) -> Any:
        records = [record]
        for function in functions:
            made: list[Any] = []
            for one in records:
                found = function(one)
                if isinstance(found, list | tuple):
                    made += found
                elif found is not None:
                    made.append(found)
            records = made
        return records[0] if len(records) == 1 else records

    return chained


# Fields


def drop(*names: str) -> Function:
    def dropped(record: Record) -> Record:
        for name in names:
            record.pop(name, None)
        return record

    return dropped


def keep(*names: str) -> Function:
    """These alone."""
    kept = frozenset(names)
    return lambda record: {name: value for name, value in record.items() if name in kept}


def rename(names: Mapping[str, str]) -> Function:
    """From old names to new ones, in the old places. Raises ValueError where another member has the new name."""

    def renamed(record: Record) -> Record:
        changed = {names.get(name, name): value for name, value in record.items()}
        if len(changed) < len(record):
            raise ValueError("two members would have the same name")
        return changed

    return renamed


# Types

_is_number = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?").fullmatch
_BOOLEANS = {
    **dict.fromkeys(("true", "yes", "on", "1", "t", "y"), True),
    **dict.fromkeys(("false", "no", "off", "0", "f", "n"), False),
}
_OF_NUMBERS: Mapping[float, bool] = {0: False, 1: True}


def to_types(types: Mapping[str, str], *, otherwise: Otherwise = "fail") -> Function:
    """`types` says by field `number`, `boolean`, or, for a time, a notation as record.time_format has it. A number
    keeps its digits; a time becomes RFC 3339 in UTC. Null and what is missing stay; what has no such type fails the
    record, is kept, or becomes null."""
    converters = [(name, _converter(kind)) for name, kind in types.items()]

    def typed(record: Record) -> Record:
        for name, convert in converters:
            value = record.get(name)
            if value is None:
                continue
            found = convert(value)
            if found is not None:
                record[name] = found
            elif otherwise == "null":
                record[name] = None
            elif otherwise == "fail":
                raise ValueError(f"{name} is no {types[name]}")
        return record

    return typed


def _converter(kind: str) -> Callable[[Any], Any]:
    """From a value to another, or to None."""
    if kind == "number":
        return _number
    if kind == "boolean":
        return _boolean
    parse = time_parser(kind)

    def time(value: Any) -> str | None:
        moment = (
            parse(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else None
        )
        if moment is None:
            return None
        timespec = "microseconds" if moment.microsecond % 1000 else "milliseconds"
        return f"{moment.replace(tzinfo=None).isoformat(timespec=timespec)}Z"

    return time


def _number(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int | float):
        return value
    text = value.strip() if isinstance(value, str) else ""
    if not _is_number(text):
        return None
    return int(text) if text.lstrip("-").isdigit() else Spelled(text)


def _boolean(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _BOOLEANS.get(value.strip().lower())
    return _OF_NUMBERS.get(value) if isinstance(value, int | float) else None


# Where somebody comes from

SEARCH_TERMS = {
    **dict.fromkeys(("google", "bing", "duckduckgo", "ecosia", "qwant", "brave", "seznam"), "q"),
    "yahoo": "p",
    "yandex": "text",
    "baidu": "wd",
    "naver": "query",
    "startpage": "query",
}
"""By a part of the host's name, the parameter that holds what was searched for."""

_LONGEST = 2048
"""Of a referrer or a user agent, in characters; what is longer is cut."""
_REMEMBERED = 5000


def referrer(field: str = "referrer", *, into: str = "referrer_parts") -> Function:
    """`{"host": …, "path": …, "engine": …, "term": …}` of a URL, the last two of a search engine; nothing where there
    is no URL."""

    def referred(record: Record) -> Record:
        value = record.get(field)
        found = _referrer(value[:_LONGEST]) if isinstance(value, str) else None
        if found is not None:
            record[into] = dict(found)
        return record

    return referred


@lru_cache(_REMEMBERED)
def _referrer(url: str) -> Record | None:
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not host:
        return None
    found: Record = {"host": host, "path": parts.path or "/"}
    engine = next((label for label in host.split(".") if label in SEARCH_TERMS), None)
    if engine is not None:
        found["engine"] = engine
        terms = parse_qs(parts.query, max_num_fields=None, errors="replace").get(SEARCH_TERMS[engine])
        if terms:
            found["term"] = terms[0]
    return found


def user_agent(field: str = "user_agent", *, into: str = "client") -> Function:
    """`{"browser": …, "browser_version": …, "os": …, "os_version": …, "device": …, "brand": …, "model": …}`, without
    what is not known, by ua-parser and its rules; nothing where there is no user agent."""
    from consumer.transforms.user_agents import client_of

    remembered = lru_cache(_REMEMBERED)(client_of)

    def agent(record: Record) -> Record:
        value = record.get(field)
        if isinstance(value, str) and value:
            record[into] = dict(remembered(value[:_LONGEST]))
        return record

    return agent
