"""The functions that are ready."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.transforms import ready
from consumer.transforms.contract import Transform
from consumer.transforms.pseudonyms import Key
from consumer.transforms.ready import (
    chain,
    drop,
    keep,
    key_from_file,
    key_from_secret,
    pseudonym,
    referrer,
    rename,
    to_types,
)

SECRET = bytes(range(32))
KEY = Key("k1", SECRET)


def made(function: ready.Function, payload: str) -> str:
    [output] = Transform(place="m:f", function=function).outputs(payload.encode())
    return output.decode()


def test_fields_are_dropped_kept_and_renamed() -> None:
    payload = '{"a":1.0,"b":2,"c":3}'
    assert made(drop("b", "x"), payload) == '{"a":1.0,"c":3}'
    assert made(keep("c", "a", "x"), payload) == '{"a":1.0,"c":3}'
    assert made(rename({"a": "z", "x": "y"}), payload) == '{"z":1.0,"b":2,"c":3}'
    assert made(rename({"a": "b", "b": "a"}), payload) == '{"b":1.0,"a":2,"c":3}'


def test_no_field_is_renamed_over_another() -> None:
    with pytest.raises(ValueError, match="same name"):
        rename({"a": "b"})({"a": 1, "b": 2})


def test_a_chain_filters_and_multiplies() -> None:
    split = chain(
        lambda record: [{"n": n} for n in range(record["n"])],
        lambda record: None if record["n"] % 2 else record,
        lambda record: record | {"x": 1},
    )
    assert split({"n": 0}) == []
    assert split({"n": 2}) == {"n": 0, "x": 1}
    assert split({"n": 4}) == [{"n": 0, "x": 1}, {"n": 2, "x": 1}]
    assert chain()({"n": 1}) == {"n": 1}


@pytest.mark.parametrize(
    ("kind", "spelled", "expected"),
    [
        ("number", '"12"', "12"),
        ("number", '" -1.10 "', "-1.10"),
        ("number", '"1e400"', "1e400"),
        ("number", '"123456789012345678901234567890.5"', "123456789012345678901234567890.5"),
        ("number", "1.10", "1.10"),
        ("number", "true", "1"),
        ("number", "null", "null"),
        ("boolean", '"Yes"', "true"),
        ("boolean", '"0"', "false"),
        ("boolean", "1", "true"),
        ("boolean", "0.0", "false"),
        ("boolean", "false", "false"),
        ("iso8601", '"2026-01-02T03:04:05+01:00"', '"2026-01-02T02:04:05.000Z"'),
        ("epoch_ms", "1767322000123", '"2026-01-02T02:46:40.123Z"'),
        ("epoch", '"1767322000.123456"', '"2026-01-02T02:46:40.123456Z"'),
        ("%d.%m.%Y", '"02.01.2026"', '"2026-01-02T00:00:00.000Z"'),
    ],
)
def test_values_get_the_types_of_the_table(kind: str, spelled: str, expected: str) -> None:
    assert made(to_types({"v": kind}), f'{{"v":{spelled},"w":0}}') == f'{{"v":{expected},"w":0}}'


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("number", "1,5"),
        ("number", "0x1"),
        ("number", ""),
        ("number", []),
        ("number", "NaN"),
        ("boolean", "maybe"),
        ("boolean", 2),
        ("boolean", {}),
        ("iso8601", "soon"),
        ("epoch_s", True),
        ("epoch_s", [1]),
    ],
)
def test_what_has_no_such_type_fails_or_is_kept_or_null(kind: str, value: Any) -> None:
    with pytest.raises(ValueError, match=r"v is no"):
        to_types({"v": kind})({"v": value})
    assert to_types({"v": kind}, otherwise="keep")({"v": value}) == {"v": value}
    assert to_types({"v": kind}, otherwise="null")({"v": value}) == {"v": None}
    assert to_types({"v": kind})({"w": value}) == {"w": value}


@given(st.text())
def test_a_text_is_a_number_where_json_has_it_so(text: str) -> None:
    record = to_types({"v": "number"}, otherwise="null")({"v": text})
    try:
        expected = json.loads(text)
    except ValueError:
        expected = None
    if type(expected) in (int, float) and expected == expected and "n" not in text.lower():
        assert record == {"v": expected}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "https://www.google.co.uk/search?q=chess+rules&hl=en",
            {"host": "www.google.co.uk", "path": "/search", "engine": "google", "term": "chess rules"},
        ),
        ("https://google.com", {"host": "google.com", "path": "/", "engine": "google"}),
        ("http://Example.org:8080/a/b?q=x#y", {"host": "example.org", "path": "/a/b"}),
        ("https://notgoogle.com/?q=x", {"host": "notgoogle.com", "path": "/"}),
        (
            "https://yandex.ru/search/?text=%D1%87",
            {"host": "yandex.ru", "path": "/search/", "engine": "yandex", "term": "\u0447"},
        ),
        ("android-app://com.example", None),
        ("http://[::1", None),
        ("", None),
    ],
)
def test_a_referrer_is_taken_apart(url: str, expected: object) -> None:
    found = referrer()({"referrer": url})
    assert found.get("referrer_parts") == expected


@given(st.text() | st.integers() | st.none() | st.lists(st.text(), max_size=1))
def test_no_referrer_fails_a_record(value: object) -> None:
    assert referrer()({"referrer": value})["referrer"] == value


def test_a_pseudonym_is_keyed_and_names_its_key() -> None:
    expected = hashlib.blake2b(b"ann", key=SECRET, digest_size=16).hexdigest()
    hidden = pseudonym("name", "id", "none", key=KEY)
    assert hidden({"name": "ann", "none": None, "x": "ann"}) == {
        "name": f"k1:{expected}",
        "none": None,
        "x": "ann",
    }
    assert hidden({"id": 7})["id"] == hidden({"id": "7"})["id"]
    other = pseudonym("name", key=Key("k2", bytes(16)))
    assert other({"name": "ann"})["name"] != f"k2:{expected}"


def test_a_key_comes_from_a_file_or_from_secrets_manager(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f"k1 {SECRET.hex()}\n"
    (tmp_path / "key").write_text(text)
    assert key_from_file(str(tmp_path / "key")) == KEY

    class Secrets:
        def get_secret_value(self, **asked: str) -> dict[str, str]:
            assert asked == {"SecretId": "pseudonyms"}
            return {"SecretString": text}

    monkeypatch.setattr("boto3.client", lambda service, region_name: Secrets())
    assert key_from_secret("pseudonyms", region="eu-west-1") == KEY
    assert SECRET.hex() not in repr(KEY)
    assert repr(SECRET) not in repr(KEY)


@pytest.mark.parametrize(
    "text", ["", "k1", "k1 zz", f"a:b {SECRET.hex()}", "k1 0011", f"k1 {bytes(65).hex()}"]
)
def test_what_is_no_key_is_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="a key is") as caught:
        Key.parse(text)
    assert SECRET.hex() not in str(caught.value)

    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"
    " Chrome/120.0.6099.71 Safari/537.36"


CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"
    " Chrome/120.0.6099.71 Safari/537.36"
)


def test_a_user_agent_is_told_apart() -> None:
    found = ready.user_agent()({"user_agent": CHROME})
    assert found["client"] == {
        "browser": "Chrome",
        "browser_version": "120.0.6099.71",
        "os": "Windows",
        "os_version": "10",
    } | {name: found["client"][name] for name in ("device",) if name in found["client"]}


@given(st.text() | st.integers() | st.none())
def test_no_user_agent_fails_a_record(value: object) -> None:
    assert ready.user_agent()({"user_agent": value})["user_agent"] == value
