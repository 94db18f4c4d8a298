"""How a function is found and called, and what becomes of what it returns."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.transforms import contract
from consumer.transforms.contract import Transform, TransformError, TransformFailed, load_transform
from consumer.transforms.numbers import Spelled


def of(function: Callable[[Any], Any], *, takes_bytes: bool = False) -> Transform:
    return Transform(place="m:f", function=function, takes_bytes=takes_bytes)


def failure(function: Callable[[Any], Any], payload: bytes = b'{"a":1}') -> tuple[str, str]:
    with pytest.raises(TransformFailed) as caught:
        of(function).outputs(payload)
    return caught.value.reason, str(caught.value)


# What it gets and returns

SPELLINGS = [
    b"9223372036854775809",
    b"-9223372036854775809",
    b"1" + b"0" * 400,
    b"1e400",
    b"-1E-400",
    b"-0.0",
    b"1.10",
    b"0.1e1",
    b"12345678901234567890.123456789",
]


@pytest.mark.parametrize("spelled", SPELLINGS)
def test_a_number_that_is_not_touched_is_written_as_it_was_spelled(spelled: bytes) -> None:
    changed = of(lambda record: record | {"new": 1})
    payload = b'{"a":%b,"b":[%b]}' % (spelled, spelled)
    assert changed.outputs(payload) == [b'{"a":%b,"b":[%b],"new":1}' % (spelled, spelled)]


def test_a_number_can_be_computed_with() -> None:
    assert of(lambda record: {"a": record["a"] * 2 + 1}).outputs(b'{"a":1.10}') == [b'{"a":3.2}']
    assert of(lambda record: {"a": record["a"] + 1}).outputs(b'{"a":9223372036854775807}') == [
        b'{"a":9223372036854775808}'
    ]


@pytest.mark.parametrize("payload", [b'{ "a" : -0, "a": "\\u0041", "b":1.0e0 }', b"{}", b'{"a":null}'])
@pytest.mark.parametrize("returned", [lambda record: record, dict, lambda record: [record]])
def test_what_comes_out_as_it_went_in_keeps_its_bytes(payload: bytes, returned: Callable[[Any], Any]) -> None:
    [output] = of(returned).outputs(payload)
    assert output is payload


def test_a_record_that_is_changed_in_place_is_a_changed_record() -> None:
    def mark(record: dict[str, Any]) -> dict[str, Any]:
        record["b"] = 2
        return record

    assert of(mark).outputs(b'{"a": 1}') == [b'{"a":1,"b":2}']


def test_none_one_or_several() -> None:
    assert of(lambda record: None).outputs(b"{}") == []
    assert of(lambda record: []).outputs(b"{}") == []
    assert of(lambda record: ({"n": 1}, b'{"n": 2}')).outputs(b"{}") == [b'{"n":1}', b'{"n": 2}']


def test_a_function_of_bytes_gets_the_payload_whatever_it_is() -> None:
    assert of(lambda payload: payload[:-1], takes_bytes=True).outputs(b"{x") == [b"{"]


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=3), json_values, max_size=4))
def test_a_changed_record_says_what_it_said_before(record: dict[str, Any]) -> None:
    payload = json.dumps(record).encode()
    [output] = of(lambda given: given | {"new member": [None, 0.5]}).outputs(payload)
    assert json.loads(output) == record | {"new member": [None, 0.5]}


# What is no record


def test_an_exception_is_told_by_its_last_line() -> None:
    assert failure(lambda record: record["b"]) == ("transform_failed", "KeyError: 'b'")


def _deep(record: Any) -> Any:
    return _deep(record)


class _OfItsOwn(BaseException):
    """As asyncio.CancelledError and gevent.Timeout are: no Exception."""


def _raises(error: BaseException) -> Callable[[Any], Any]:
    def function(record: Any) -> Any:
        raise error

    return function


def _endless(record: dict[str, Any]) -> dict[str, Any]:
    record["self"] = record
    return record


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (_deep, "RecursionError"),
        (_endless, "RecursionError"),
        (lambda record: sys.exit(3), "SystemExit: 3"),
        (_raises(_OfItsOwn("gone")), "_OfItsOwn: gone"),
        (_raises(GeneratorExit()), "GeneratorExit"),
        (lambda record: "text", "returned a str"),
        (lambda record: 5, "returned a int"),
        (lambda record: [record, None], "returned a NoneType"),
        (lambda record: {"x": object()}, "object has no form in JSON"),
        (lambda record: {"x": float("nan")}, "NaN or an infinity"),
        (lambda record: {"x": [{"y": (1, -float("inf"))}], "z": None}, "NaN or an infinity"),
        (lambda record: {"x": "\ud800"}, "surrogates"),
        (lambda record: [record] * 1001, "1001 records"),
    ],
)
def test_what_cannot_be_delivered_fails(function: Callable[[Any], Any], words: str) -> None:
    reason, detail = failure(function)
    assert reason == "transform_failed"
    assert words in detail


def test_outputs_are_limited_as_records_are() -> None:
    assert failure(lambda record: {"x": "x" * contract.MOST_OUTPUT_BYTES})[0] == "too_large"
    half = {"x": "x" * (contract.MOST_OUTPUT_BYTES // 2)}
    assert failure(lambda record: [half, half])[0] == "too_large"


@pytest.mark.parametrize("payload", [b"[1]", b"null", b"7", b'"x"'])
def test_a_record_is_an_object(payload: bytes) -> None:
    assert failure(lambda record: record, payload)[0] == "not_an_object"


@pytest.mark.parametrize("payload", [b"", b"{", rb'{"x":"\ud800"}', b"\xff"])
def test_what_cannot_be_read_is_not_given_to_the_function(payload: bytes) -> None:
    reason, detail = failure(lambda record: pytest.fail("called"), payload)
    assert (reason, detail.split(":")[0]) == ("transform_failed", "the record cannot be read")


def test_a_lack_of_memory_is_no_verdict() -> None:
    def hungry(record: object) -> object:
        raise MemoryError

    with pytest.raises(MemoryError):
        of(hungry).outputs(b"{}")


def test_a_spelled_number_is_a_float_in_all_else() -> None:
    number = Spelled("1.10")
    assert (number, hash(number), type(number + 0)) == (1.1, hash(1.1), float)


# How it is found


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    path, modules = sys.path[:], set(sys.modules)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def test_a_function_is_found_in_the_folder(folder: Path) -> None:
    (folder / "my_rules.py").write_text("def one(record):\n    return {'one': 1}\n")
    transform = load_transform("my_rules:one", folder=folder)
    assert transform.outputs(b"{}") == [b'{"one":1}']
    assert transform.file == str(folder / "my_rules.py")


def test_a_module_of_the_folder_hides_nothing_that_is_installed(folder: Path) -> None:
    (folder / "csv.py").write_text("raise SystemExit\n")
    load_transform("my_other:f", folder=_with(folder, "my_other", "import csv\ndef f(r): return r\n"))


def _with(folder: Path, name: str, text: str) -> Path:
    (folder / f"{name}.py").write_text(text)
    return folder


@pytest.mark.parametrize("annotation", ["bytes", "'bytes'"])
def test_the_annotation_says_who_wants_bytes(folder: Path, annotation: str) -> None:
    text = f"def f(payload: {annotation}): return payload\ndef g(record: dict): return record\n"
    _with(folder, "my_bytes", text)
    assert load_transform("my_bytes:f", folder=folder).takes_bytes
    assert not load_transform("my_bytes:g", folder=folder).takes_bytes


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("nothing", "is not module:function"),
        (":f", "is not module:function"),
        ("no_such_module:f", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("my_broken:f", "ZeroDivisionError"),
        ("my_exit:f", "SystemExit: 3"),
        ("my_good:g", "AttributeError"),
        ("my_good:number", "is no function but a int"),
    ],
)
def test_what_cannot_be_loaded_is_told(folder: Path, place: str, words: str) -> None:
    _with(folder, "my_broken", "1 / 0\n")
    _with(folder, "my_exit", "raise SystemExit(3)\n")
    _with(folder, "my_good", "number = 1\n")
    with pytest.raises(TransformError) as caught:
        load_transform(place, folder=folder)
    assert words in str(caught.value)


def test_the_digest_follows_all_files_of_the_folder(folder: Path) -> None:
    def digest(name: str = "my_digest:f") -> str:
        return load_transform(name, folder=folder).digest

    _with(folder, "my_digest", "def f(r): return r\ng = f\n")
    first = digest()
    assert digest() == first
    (folder / "__pycache__").mkdir(exist_ok=True)
    (folder / "__pycache__" / "x.pyc").write_bytes(b"x")
    assert digest() == first
    assert digest("my_digest:g") != first
    (folder / "table.csv").write_text("a,b\n")
    assert digest() != first
