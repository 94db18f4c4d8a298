"""Inputs for all targets: bytes that choose, then one text, or payloads with a separator in between.

The same form is read by c/targets.c, so that what one target has found can be given to the others.
"""

import ast
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random

from consumer.sinks.json.rule import LEAST_DEPTH
from tests.hostile.kinds import KINDS
from tests.hostile.payloads import Mark

CHOICE_BYTES = 8
SEPARATOR = b"\x1e"
"""It stands in no JSON, so that nothing is lost by it."""

_SMALL_BYTES = 5_000
CORPUS = Path(__file__).with_name("corpus")


@dataclass(frozen=True)
class Input:
    """`choices` are what a target makes up its settings from; the same bytes choose the same."""

    choices: bytes
    content: bytes

    @classmethod
    def of(cls, data: bytes) -> "Input":
        return cls(data[:CHOICE_BYTES].ljust(CHOICE_BYTES, b"0"), data[CHOICE_BYTES:])

    @property
    def data(self) -> bytes:
        return self.choices + self.content

    @property
    def payloads(self) -> list[bytes]:
        return self.content.split(SEPARATOR)

    def random(self) -> Random:
        return Random(self.choices)


@cache
def corpus(name: str) -> tuple[bytes, ...]:
    """The texts of a file in the corpus, one a line as Python writes bytes."""
    lines = (CORPUS / f"{name}.txt").read_text().splitlines()
    return tuple(ast.literal_eval(line) for line in lines if line and not line.startswith("#"))


_HOSTILE = [kind for kind in KINDS.values() if kind.least_bytes <= _SMALL_BYTES]
_NAMES = (
    *(
        "player_id",
        "time",
        "score",
        "ratio",
        "won",
        "born",
        "seen",
        "note",
        "place",
        "Näme",
        "log",
        "overflow",
    ),
    *("amount", "tags", "many", "one", "x", "y", "k", "t", "_shard", "_sequence_number", "_arrived_at"),
    *("Score", "TIME", "Player_ID", "NÄME", "näme", "\u212a", "other", "é", "", "_SHARD", "Note", "X"),
)
_KEYS = ("a", "A1b2", "f0e1d2c3b4a5", "0", "9x", "", "zz", "ａ", "a\ud800", "aé", "\u0130")
_TIMES = (
    *("2026-01-02T03:04:05.678Z", "2026-01-02T03:04:05Z", "2024-02-29T00:00:00.001Z"),
    *("2026-01-02T03:04:05.678901Z", "2026-01-02T03:04:05.1Z", "2026-01-02T03:04:05.1234567Z"),
    *("2026-01-02 03:04:05", "2026-01-02T03:04:05+01:00", "2026-01-02 03:04:05 UTC", "2026-01-02"),
    *("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00+05:00"),
    *("2026-02-29T00:00:00Z", "1999-01-01T00:00:00Z", "2026-01-02T24:00:00Z", "2026-01-02T03:04:60Z"),
    *("20260102T030405Z", "2026-W01-5T03:04:05Z", "2026-01-02t03:04:05z", "soon", "", "1767322000"),
)
_NUMBERS = (
    *("0", "-0", "1", "-1", "7.5", "-0.0", "1e5", "1E+5", "-1e-5", "0.1", "0.30000000000000004", "5e-324"),
    *("1e400", "-1e400", "1e-400", "9007199254740993", "9223372036854775807", "9223372036854775808"),
    *("-9223372036854775808", "-9223372036854775809", "18446744073709551616", "1" * 40, "1" * 400),
    *("0." + "1" * 400, "1767322000", "1767322000123", "12345678901234567890.123456789", "1" * 5000),
)
_TEXTS = (
    *('""', '"x"', '"12"', '"1.5"', '"true"', '"null"', '"Infinity"', '"-inf"', '"NaN"', '"2026-01-02"'),
    *('"2026-02-30"', r'"\ud83d\ude00"', r'"\ud800"', r'"\udfff x"', r'"\u0000"', r'"\u00e9\/\b"', '"é"'),
    *(
        '"\u2028"',
        '"\U0001f600"',
        r'"a\"b\\c"',
        '"\t"',
        '"AAEC"',
        '"AA="',
        '"POINT(1 2)"',
        '"\x7f"',
        '"\ufeff"',
    ),
)
_WORDS = ("true", "false", "null")
_NO_JSON = (
    "NaN",
    "Infinity",
    "-Infinity",
    "nul",
    "01",
    "+1",
    ".5",
    "1.",
    "1e",
    "'x'",
    "[1,]",
    "{,}",
    '"\\x41"',
)
_SPACES = ("", "", "", "", " ", "\t", "\n", "\r", "  ", "\r\n")
_PIECES = (
    *(b"", b"\x00", b"\x1f", b"\x7f", b"\t", b"\n", b"\r", b" ", b'"', b"\\", b"/", b"{", b"}", b"[", b"]"),
    *(
        b",",
        b":",
        b"0",
        b"7",
        b".",
        b"e",
        b"-",
        b"A",
        b"f",
        b"n",
        b"u",
        b"\x80",
        b"\xbf",
        b"\xc0\x80",
        b"\xc2",
    ),
    *(
        b"\xc3\xa9",
        b"\xe0\x80\x80",
        b"\xed\xa0\x80",
        b"\xef\xbb\xbf",
        b"\xf0\x9f\x98\x80",
        b"\xf4\x90\x80\x80",
    ),
    *(
        b"\xff",
        rb"\"",
        rb"\u00e9",
        rb"\ud800",
        rb"\uDFFF",
        rb"\ud83d\ude00",
        rb"\u12",
        b"null",
        b"true",
        b"1e999",
    ),
    *(
        b"-0",
        b"1.0",
        b"1" * 19,
        b'"score":1,',
        b'"time":null,',
        b'"player_id":"b",',
        b",,",
        b"{}",
        b"[[",
        b"]]",
    ),
    *(b'"\\u0073core":1,', b'"SCORE":2,', b'"_shard":"x",', b"\xe2\x84\xaa"),
)


@dataclass
class Maker:
    """Makes inputs; the same random numbers make the same ones. Arrays and objects are nested up to `deepest`."""

    random: Random
    deepest: int
    known: tuple[bytes, ...] = field(default_factory=lambda: corpus("payloads"))

    def choices(self) -> bytes:
        return self.random.randbytes(CHOICE_BYTES)

    def payloads(self, most: int) -> Input:
        count = self.random.randint(1, most)
        return Input(self.choices(), SEPARATOR.join(self.payload() for _ in range(count)))

    def payload(self) -> bytes:
        kind = self.random.randrange(20)
        if kind < 3:
            made = self._object(self._usual())
        elif kind < 10:
            made = self._object(self._with_one_odd(self._usual()))
        elif kind < 13:
            made = self._object([self._member(odd=True) for _ in range(self.random.randrange(6))])
        elif kind < 14:
            made = self._value(self.random.randrange(4))
        elif kind < 16:
            return self._hostile() if self.random.randrange(2) else self._nested().encode()
        else:
            return self.mutated(self.random.choice(self.known))
        data = made.encode("utf-8", "surrogatepass")
        return data if self.random.randrange(4) else self.mutated(data)

    def _hostile(self) -> bytes:
        kind = self.random.choice(_HOSTILE)
        return kind.build(Mark.number(self.random.randrange(1000)), self.random.choice((50, 300, 1000)))

    def mutated(self, data: bytes) -> bytes:
        """With a few bytes changed, taken out, put in or repeated."""
        random, text = self.random, bytearray(data)
        for _ in range(random.randint(1, 3)):
            place = random.randint(0, len(text))
            some = text[place : place + random.randint(0, 12)]
            text[place : place + random.randint(0, 2)] = random.choice([random.choice(_PIECES), some * 2])
        if not random.randrange(12):
            del text[random.randint(0, len(text)) :]
        return bytes(text).replace(SEPARATOR, b" ")

    def _usual(self) -> list[str]:
        """Members of a record that is fine, whatever the columns are."""
        random = self.random
        members = [
            f'"player_id":"{random.randrange(16**8):x}"',
            f'"time":"{_TIMES[random.randrange(3)]}"',
            f'"score":{random.randrange(-9, 10**6)}',
            f'"ratio":{random.random()}',
            f'"won":{random.choice(_WORDS)}',
            f'"note":{random.choice(("1", "[]", "null"))}',
            f'"Näme":"{random.randrange(99)}"',
        ]
        kept = [member for place, member in enumerate(members) if not place or random.randrange(4)]
        if not random.randrange(4):
            random.shuffle(kept)
        return kept

    def _with_one_odd(self, members: list[str]) -> list[str]:
        """So that nothing else keeps anybody from looking at it."""
        place = self.random.randint(0, len(members))
        return [*members[:place], self._member(odd=True), *members[place + self.random.randrange(2) :]]

    def _object(self, members: list[str]) -> str:
        return f"{{{self._space()}{','.join(members)}{self._space()}}}"

    def _member(self, *, odd: bool) -> str:
        random = self.random
        name = self._name()
        if odd and name == "player_id":
            value = f'"{random.choice(_KEYS)}"' if random.randrange(4) else self._value(1)
        elif odd and name in ("time", "seen") and random.randrange(4):
            value = f'"{random.choice(_TIMES)}"'
        else:
            value = self._value(2)
        return f"{self._space()}{self._spelled(name)}{self._space()}:{self._space()}{value}{self._space()}"

    def _name(self) -> str:
        random = self.random
        if not random.randrange(30):
            return random.choice(("a", "é")) * random.randint(1, 3000)
        return random.choice(_NAMES[:8]) if random.randrange(2) else random.choice(_NAMES)

    def _spelled(self, name: str) -> str:
        if name and not self.random.randrange(10):
            place = self.random.randrange(len(name))
            name = f"{name[:place]}\\u{ord(name[place]):04x}{name[place + 1 :]}"
        return f'"{name}"'

    def _value(self, levels: int) -> str:
        random = self.random
        kind = random.randrange(8 if levels else 6)
        if kind < 2:
            return random.choice(_TEXTS)
        if kind < 4:
            return random.choice(_NUMBERS)
        if kind < 5:
            return random.choice(_WORDS)
        if kind < 6:
            return random.choice(_WORDS if random.randrange(6) else _NO_JSON)
        if kind < 7:
            return f"[{','.join(self._value(levels - 1) for _ in range(random.randrange(4)))}{self._space()}]"
        return self._object([self._member(odd=False) for _ in range(random.randrange(4))])

    def _nested(self) -> str:
        """One value deep inside."""
        random = self.random
        around = min(LEAST_DEPTH + random.randint(-3, 1), self.deepest - 1)
        depth = random.choice((around, random.randint(1, self.deepest - 1)))
        made = self._value(0)
        for _ in range(depth):
            made = f"[{made}]" if random.randrange(2) else f'{{"a":{made}}}'
        if random.randrange(2):
            return (
                f'{{"player_id":"a","{random.choice(("note", "x", "score", "many", "player_id"))}":{made}}}'
            )
        return made

    def _space(self) -> str:
        return self.random.choice(_SPACES) if not self.random.randrange(6) else ""
