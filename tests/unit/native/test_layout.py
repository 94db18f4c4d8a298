"""Python and C mean the same structures, constants and functions: all of them, found by looking at both."""

import ctypes
import re
import subprocess
from ctypes import Structure
from typing import Any

import pytest

from consumer.native import library
from consumer.native.sources import SOURCES
from consumer.shard.kcl import message_text
from consumer.sinks.bigquery.rows import size as row_size
from consumer.sinks.json import fields, rule
from tests.unit.native.compilers import compiled, compiler_with
from tests.unit.native.declarations import Declarations, declarations

SCALARS: dict[str, Any] = {
    "int": ctypes.c_int,
    "int32_t": ctypes.c_int32,
    "uint32_t": ctypes.c_uint32,
    "int64_t": ctypes.c_int64,
    "uint64_t": ctypes.c_uint64,
    "byte": ctypes.c_ubyte,
    "double": ctypes.c_double,
    "void": None,
}
LISTED_CONSTANTS = {"COLUMN_TYPES": "COLUMN_"}
"""Tuples of names that stand for the numbers of their places, and what C writes before each."""

FIELD_NAMES = {"NUMBER_COLUMNS", "BEGINS"}
"""Tuples of names that are those of fields."""


def structures() -> dict[str, type[Structure]]:
    """Python's, by their names in C."""
    found = {name: value for name, value in vars(library).items() if _is_structure(value)}
    return {re.sub(r"(?<=.)(?=[A-Z])", "_", name).lower(): value for name, value in found.items()}


ELSEWHERE: dict[str, int] = {
    **{reason.upper(): number for number, reason in enumerate(rule.REASONS, 1)},
    "NOT_AN_OBJECT": fields.NOT_AN_OBJECT,
    "REPEATED_FIELD": fields.REPEATED_FIELD,
    "SURE_DEPTH": rule.LEAST_DEPTH - 1,
    "SURE_NAME_BYTES": rule.LEAST_NAME_BYTES,
    "MOST_MEMBERS": row_size.MOST_MEMBERS,
    "LEAST_MEMBER_BYTES": row_size.LEAST_MEMBER_BYTES,
    "MOST_VALUES": row_size.MOST_VALUES,
    "LAST_TIME_MS": message_text._LAST_ARRIVAL_MS,
    "LARGEST_ORDER": rule._LARGEST_ORDER,
    "EXPONENT_DIGITS": rule._EXPONENT_DIGITS,
    "SURE_DIGITS": rule._PLAIN_DIGITS,
}
"""What Python has as well, in modules that stand for themselves."""


def _is_structure(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Structure) and value is not Structure


def constants() -> dict[str, int]:
    """Python's, by their names in C."""
    found = {
        name: value for name, value in vars(library).items() if name.isupper() and isinstance(value, int)
    }
    for listed, prefix in LISTED_CONSTANTS.items():
        found |= {f"{prefix}{name}": number for number, name in enumerate(getattr(library, listed))}
    return found | ELSEWHERE


DECLARED = declarations()
IN_C = {name: each for declared in DECLARED for name, each in declared.structures.items()}


@pytest.mark.parametrize("name", structures())
def test_a_structure_has_the_members_of_the_one_in_c(name: str) -> None:
    assert name in IN_C, "no structure in C has this name"
    own: Any = structures()[name]
    assert [_described(field, kind) for field, kind in own._fields_] == [
        (field, "*" if kind == "*" else _ctypes_of(kind)) for field, kind in IN_C[name].fields
    ]


def _described(field: str, kind: Any) -> tuple[str, Any]:
    is_pointer = kind in (ctypes.c_void_p, ctypes.c_char_p) or hasattr(kind, "contents")
    return field, "*" if is_pointer else kind


def _ctypes_of(kind: str) -> Any:
    plain, _, length = kind.removesuffix("]").partition("[")
    single = structures().get(plain) or SCALARS[plain]
    return single * int(length) if length else single


def test_every_constant_is_one_of_c() -> None:
    known = {name for declared in DECLARED for name in declared.constants}
    assert constants().keys() <= known


def test_of_what_belongs_together_python_knows_all_or_nothing() -> None:
    for declared in DECLARED:
        for together in declared.enumerations:
            known = constants().keys() | {"FINE"}  # is None in Python
            assert not together & constants().keys() or together <= known


def test_every_tuple_of_names_is_looked_at() -> None:
    tuples = {
        name
        for name, value in vars(library).items()
        if name.isupper() and not name.startswith("_") and isinstance(value, tuple | list)
    }
    assert tuples == LISTED_CONSTANTS.keys() | FIELD_NAMES
    fields = {field for structure in structures().values() for field, *_ in structure._fields_}
    for name in FIELD_NAMES:
        assert set(getattr(library, name)) <= fields


@pytest.fixture(scope="module")
def in_c(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """What the compiler says: the values of constants, the sizes of structures, the offsets and sizes of fields."""
    compiler = compiler_with()
    if compiler is None:
        pytest.skip("no C compiler on this machine")
    folder = tmp_path_factory.mktemp("layout")
    found: dict[str, int] = {}
    for declared in DECLARED:
        source = folder / f"{declared.source.stem}_{declared.source.suffix[1:]}.c"
        source.write_text(declared.program(_questions(declared)))
        command = [*compiler, "-std=c11", "-w", "-I", str(SOURCES), str(source)]
        program = compiled(command, source.with_suffix(""))
        answers = subprocess.run([program], capture_output=True, text=True, check=True).stdout
        found |= {name: int(value) for name, value in map(str.split, answers.splitlines())}
    return found


def _questions(declared: Declarations) -> list[str]:
    asked = {name: name for name in declared.constants if name in constants()}
    for name, structure in declared.structures.items():
        asked[name] = f"sizeof({name})"
        for field, _ in structure.fields:
            asked[f"{name}.{field}"] = f"offsetof({name}, {field})"
            asked[f"{name}.{field}.size"] = f"sizeof((({name} *)0)->{field})"
    return [f'printf("{name} %lld\\n", (long long)({value}));' for name, value in asked.items()]


def test_constants_have_the_values_of_those_in_c(in_c: dict[str, int]) -> None:
    assert constants()
    for name, value in constants().items():
        assert (name, value) == (name, in_c[name])


def test_structures_lie_in_memory_as_those_in_c(in_c: dict[str, int]) -> None:
    assert structures()
    for name, structure in structures().items():
        assert (name, ctypes.sizeof(structure)) == (name, in_c[name])
        for field, *_ in structure._fields_:
            own = getattr(structure, field)
            assert (name, field, own.offset, own.size) == (
                name,
                field,
                in_c[f"{name}.{field}"],
                in_c[f"{name}.{field}.size"],
            )


FUNCTIONS = {name: each for declared in DECLARED for name, each in declared.functions.items()}


def test_exported_are_the_functions_that_python_calls() -> None:
    assert sorted(FUNCTIONS) == sorted(name for name, _, _ in library._FUNCTIONS)


@pytest.mark.parametrize(
    ("name", "arguments", "result"), library._FUNCTIONS, ids=[name for name, _, _ in library._FUNCTIONS]
)
def test_a_function_takes_and_gives_what_it_does_in_c(
    name: str, arguments: tuple[Any, ...], result: Any
) -> None:
    returned, parameters = FUNCTIONS[name]
    assert result is SCALARS[returned]
    assert len(arguments) == len(parameters)
    for argument, parameter in zip(arguments, parameters, strict=True):
        assert _is_same(argument, parameter), f"{argument} for {parameter}"


def _is_same(argument: Any, parameter: str) -> bool:
    if not parameter.endswith("*"):
        return argument is SCALARS[parameter]
    pointed_to = getattr(argument, "_type_", None)
    plain = parameter.removesuffix(" *")
    known = structures().get(plain) or SCALARS[plain]
    return (
        argument is ctypes.c_void_p or pointed_to is known or (argument, plain) == (ctypes.c_char_p, "byte")
    )


def test_fields_are_found_where_c_has_put_them() -> None:
    names = [name for name, *_ in library.RecordFields._fields_]
    assert list(fields.Found._fields) == names
    assert ctypes.sizeof(library.RecordFields) == fields._FOUND.size


def test_every_source_was_understood() -> None:
    """What is declared in another way than the ones before would be overlooked."""
    for declared in DECLARED:
        assert len(re.findall(r"\bstruct\b", declared.text)) == len(declared.structures)
        assert len(re.findall(r"\benum\b", declared.text)) == len(
            re.findall(r"(?:typedef )?enum \{[^}]*\} ?\w*;", declared.text)
        )
        assert len(re.findall(r"^EXPORT\b", declared.text, re.MULTILINE)) == len(declared.functions)
