"""Goes through a guide of docs/: its commands run in order in a shell, with stand-ins for the clouds and for the host.

Commands that name `$backend` run once with each backend, as the guides say. What is written to the host goes below a
folder of the test's. The stand-ins are `stand_in.sh`, which writes down each call.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from consumer.settings import PROJECT_ROOT, Backend, Settings, load
from consumer.settings.kcl_table import KCL_KEYS
from consumer.settings.properties_file import Entry, parse
from consumer.settings.table import SETTINGS

STAND_INS = (
    *("aws", "gcloud", "docker"),
    *("sudo", "apt-get", "useradd", "install", "git", "systemctl", "journalctl", "edit"),
)
HOST_FOLDERS = ("/opt/consumer", "/etc/consumer", "/etc/systemd/system", "/var/lib/consumer")
GOOGLE = "Google, for BigQuery only"
_CHOICES = {
    "ec2": {},
    "ecs": {"role=consumer  # the instance's; on ECS consumer-bigquery": "role=consumer-bigquery"},
}
_BACKEND_LINE = "backend=s3  # or bigquery\n"


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page: what it holds, in which language, below which heading."""

    language: str
    text: str
    heading: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One command that a stand-in has seen: by which user, "" for the one who types, and with which state directory."""

    name: str
    arguments: tuple[str, ...]
    user: str
    state_dir: str

    def option(self, name: str) -> str | None:
        """What follows `--name`, or stands behind its `=`."""
        for place, word in enumerate(self.arguments):
            if word == f"--{name}":
                return self.arguments[place + 1]
            if word.startswith(f"--{name}="):
                return word.partition("=")[2]
        return None

    def begins(self, *words: str) -> bool:
        return (self.name, *self.arguments)[: len(words)] == words


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """What came of it."""

    root: Path
    calls: list[Call]
    output: str

    def document(self, call: Call, option: str) -> Any:
        """The JSON file that an option of a call names, as file://NAME."""
        name = str(call.option(option)).removeprefix("file://")
        return json.loads((self.root / "work" / name).read_text())

    def of(self, *words: str) -> list[Call]:
        return [call for call in self.calls if call.begins(*words)]

    def settings(self, backend: Backend) -> Settings:
        """Of the properties file that was put on the host."""
        return load(backend, file=self.root / f"etc/consumer/{backend}.properties")


def blocks_of(page: str) -> Iterator[Block]:
    """The fenced blocks of docs/PAGE.md in order; where it sends for Google's commands to the other page, those too."""
    heading, language, lines = "", None, list[str]()
    for line in (PROJECT_ROOT / "docs" / f"{page}.md").read_text().splitlines():
        if language is None and line.startswith("#"):
            heading = line.lstrip("# ")
        elif language is None and "ec2.md#google-for-bigquery-only" in line and page == "ecs":
            yield from (block for block in blocks_of("ec2") if block.heading == GOOGLE)
        elif line.strip().startswith("```"):
            if language is None:
                language, lines = line.strip().removeprefix("```"), []
            else:
                yield Block(language, "".join(f"{one}\n" for one in lines), heading)
                language = None
        elif language is not None:
            lines.append(line)


def walk(page: str, backends: Sequence[Backend], root: Path) -> Walk:
    """Raises AssertionError with what the shell said when a command fails."""
    for folder in ("etc/systemd/system", "var/lib", "opt", "bin", "work"):
        (root / folder).mkdir(parents=True)
    for name in STAND_INS:
        (root / "bin" / name).symlink_to(Path(__file__).with_name("stand_in.sh"))
    for name in ("deploy", "properties", "docs", "Dockerfile"):
        (root / "work" / name).symlink_to(PROJECT_ROOT / name)
    calls = root / "calls"
    done = subprocess.run(
        ["/bin/bash", "-euo", "pipefail", "-c", "".join(_script(page, backends, root))],
        cwd=root / "work",
        env={
            "PATH": f"{root / 'bin'}:/usr/bin:/bin",
            "GUIDE_CALLS": str(calls),
            "GUIDE_ROOT": str(PROJECT_ROOT),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return Walk(root=root, calls=list(_calls(calls.read_text())), output=done.stdout)


def _calls(written: str) -> Iterator[Call]:
    words = iter(written.split("\0")[:-1])
    for name in words:
        user, state_dir, count = (next(words) for _ in range(3))
        arguments = tuple(next(words) for _ in range(int(count)))
        yield Call(name=name, arguments=arguments, user=user, state_dir=state_dir)


def _script(page: str, backends: Sequence[Backend], root: Path) -> Iterator[str]:
    edits: list[Entry] = []
    chosen = dict.fromkeys(_CHOICES[page], 0)
    for block in blocks_of(page):
        if block.heading == GOOGLE and "bigquery" not in backends:
            continue
        if block.language == "properties":
            edits += [entry for entry in parse(block.text) if isinstance(entry, Entry)]
        if block.language != "sh":
            continue
        text = block.text
        for line, other in _CHOICES[page].items():
            chosen[line] += text.count(line)
            text = text.replace(line, other)
        for backend in backends if "$backend" in text or _BACKEND_LINE in text else backends[:1]:
            if "bin/check" in text:
                yield _edit_command(backend, edits, root)
            yield f"backend={backend}\n" + _on_host(text.replace(_BACKEND_LINE, ""), root)
    if "bigquery" in backends:
        assert all(chosen.values()), f"the page has other lines to choose in than {list(chosen)}"


def _edit_command(backend: Backend, edits: Sequence[Entry], root: Path) -> str:
    """What the reader does by hand in the properties file."""
    wanted = {edit.key: edit.value for edit in edits if _belongs(edit.key, backend)}
    words = [f"{key} = {value}" for key, value in wanted.items()]
    return shlex.join(["edit", f"{root}/etc/consumer/{backend}.properties", *words]) + "\n"


def _belongs(key: str, backend: Backend) -> bool:
    return key in KCL_KEYS or backend in SETTINGS[key].backends


def _on_host(text: str, root: Path) -> str:
    folders = "|".join(map(re.escape, HOST_FOLDERS))
    return re.sub(rf"(?<![\w./])(?:{folders})", lambda match: f"{root}{match[0]}", text)
