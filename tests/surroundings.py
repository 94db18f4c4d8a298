"""What all test modules of a process share, and each is to leave as it found it."""

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Self

type Handler = Callable[[int, FrameType | None], object] | int | None

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

OWN = "PYTEST_"
"""How the variables begin that pytest sets itself, such as the name of the test that runs."""


@dataclass(frozen=True)
class Surroundings:
    variables: Mapping[str, str]
    folder: Path
    handlers: Mapping[signal.Signals, Handler]

    @classmethod
    def of_this_process(cls) -> Self:
        return cls(
            variables={name: value for name, value in os.environ.items() if not name.startswith(OWN)},
            folder=Path.cwd(),
            handlers={number: signal.getsignal(number) for number in SIGNALS},
        )

    def changes(self, later: Self) -> Iterator[str]:
        """What is no longer as it was, without the values of variables, which may be secrets."""
        for name in sorted(self.variables.keys() | later.variables.keys()):
            if name not in later.variables:
                yield f"the variable {name} is gone"
            elif name not in self.variables:
                yield f"the variable {name} is new"
            elif self.variables[name] != later.variables[name]:
                yield f"the variable {name} has another value"
        if self.folder != later.folder:
            yield f"the current directory is {later.folder} and was {self.folder}"
        for number, handler in self.handlers.items():
            if handler is not later.handlers[number]:
                yield f"the handler of {number.name} is {later.handlers[number]!r} and was {handler!r}"

    def restore(self) -> None:
        for name in [name for name in os.environ if not name.startswith(OWN) and name not in self.variables]:
            del os.environ[name]
        os.environ.update(self.variables)
        os.chdir(self.folder)
        for number, handler in self.handlers.items():
            if handler is not None:  # None: set by C, and nothing in Python can set it again
                signal.signal(number, handler)
