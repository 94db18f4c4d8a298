"""What the C sources declare, found by looking: structures, constants, exported functions."""

import re
from dataclasses import dataclass
from pathlib import Path

from consumer.native.sources import SOURCES

_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
_STRUCTURE = re.compile(r"typedef struct \{((?:(?!typedef).)*?)\} (\w+);", re.DOTALL)
_ENUMERATION = re.compile(r"(?:typedef )?enum \{([^}]*)\} ?(\w*);")
_DEFINITION = re.compile(r"^#define ([A-Z_0-9]+) (\S.*)$", re.MULTILINE)
_CONSTANT = re.compile(r"^static const \w+ ([A-Z_0-9]+) = [^;{]*;", re.MULTILINE)
_EXPORTED = re.compile(r"^EXPORT ([^(]*?)(\w+)\(([^)]*)\)", re.MULTILINE)


@dataclass(frozen=True)
class Structure:
    """`fields` are the names and types of its members in order: `byte[10]`, or `*` for whatever points somewhere."""

    name: str
    fields: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Declarations:
    """Of one source. `enumerations` are sets of constants that belong together, by the first of them."""

    source: Path
    text: str
    structures: dict[str, Structure]
    constants: tuple[str, ...]
    enumerations: tuple[frozenset[str], ...]
    functions: dict[str, tuple[str, tuple[str, ...]]]

    def program(self, lines: list[str]) -> str:
        """A C program that knows all that this source declares, and runs these lines. What it compiles are the
        declarations alone, since a source may use functions of others."""
        own = "" if self.source.suffix == ".h" else "\n".join(self._declared())
        body = "\n".join(lines)
        return f'#include <stdio.h>\n#include "native.h"\n{own}\nint main(void) {{\n{body}\nreturn 0;\n}}\n'

    def _declared(self) -> list[str]:
        patterns = (_DEFINITION, _CONSTANT, _ENUMERATION, _STRUCTURE)
        found = [match for pattern in patterns for match in pattern.finditer(self.text)]
        return [match[0] for match in sorted(found, key=lambda match: match.start())]


def declarations() -> list[Declarations]:
    """Of each source."""
    return [_of(path) for path in sorted(SOURCES.glob("*.[ch]"))]


def _of(path: Path) -> Declarations:
    text = _COMMENT.sub("", path.read_text())
    enumerations = [
        frozenset(re.findall(r"\w+", re.sub(r"=[^,]*", "", match[1])))
        for match in _ENUMERATION.finditer(text)
    ]
    named = [each for each, match in zip(enumerations, _ENUMERATION.finditer(text), strict=True) if match[2]]
    others = [match[1] for pattern in (_DEFINITION, _CONSTANT) for match in pattern.finditer(text)]
    return Declarations(
        source=path,
        text=text,
        structures={
            match[2]: Structure(match[2], tuple(_fields(match[1]))) for match in _STRUCTURE.finditer(text)
        },
        constants=(*(name for each in enumerations for name in each), *others),
        enumerations=tuple(named),
        functions={
            match[2]: (match[1].strip(), tuple(map(_kind, match[3].split(","))))
            for match in _EXPORTED.finditer(text)
        },
    )


def _fields(declared: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    # those of a union have one place, which no structure that Python knows has
    for declaration in filter(
        None, map(str.strip, re.sub(r"union \{.*?\};", "", declared, flags=re.DOTALL).split(";"))
    ):
        kind, names = declaration.removeprefix("const ").split(maxsplit=1)
        for name in names.split(","):
            plain, _, length = name.strip().removesuffix("]").partition("[")
            size = f"[{length}]" if length else ""
            found.append((plain.lstrip("* "), "*" if plain.startswith("*") else kind + size))
    return found


def _kind(parameter: str) -> str:
    """Of a parameter: `uint64_t`, or `span *`."""
    kind = parameter.removeprefix("const ").strip().removeprefix("const ")
    return f"{kind.split()[0]} *" if "*" in kind else kind.split()[0]
