"""A command that changes something asks, tells, and leaves its line in the audit before it does anything."""

import io
import json
import os
import signal
from typing import Any

import pytest

from consumer.daemon.errors import StartFailed
from consumer.domain.errors import TransientError
from consumer.operate.action import Action, Console, action_parser, run_action
from consumer.operate.errors import Refused
from tests.unit.operate.fake_s3 import FakeS3, answer

NOW = 1_769_860_800.0
SETTINGS = [
    "--set=streamName=player-logs",
    "--set=applicationName=app",
    "--set=s3.bucket=bucket",
    "--set=regionName=eu-west-1",
]
PLACE = "deadletter/audit/app/dt=2026-01-31/"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Run:
    """One run of a command that would move three things."""

    def __init__(
        self, *arguments: str, s3: FakeS3 | None = None, terminal: bool = False, answer: str = ""
    ) -> None:
        self.s3 = s3 or FakeS3()
        stream = Terminal if terminal else io.StringIO
        self.out = stream()
        self.changed = False
        options = action_parser("move", "Moves things.", why=("--why", "--reason")).parse_args(
            ["s3", "--properties=/dev/null", *SETTINGS, *arguments]
        )
        self.code = run_action(
            "move",
            options,
            None,
            self.act,
            console=Console(self.out, stream(answer)),
            now=lambda: NOW,
            new_client=lambda settings: self.s3,
        )

    def act(self, action: Action) -> int:
        entry = action.approved("move 3 things", {"things": 3})
        if entry is not None:
            self.changed = True
            entry.end("done", {"things": 2})
        return 0

    @property
    def text(self) -> str:
        return self.out.getvalue()

    def audit(self) -> dict[str, Any]:
        [key] = self.s3.keys()
        assert key.startswith(f"{PLACE}20260131T120000Z-move-")
        line: dict[str, Any] = json.loads(self.s3.body(key))
        return line


def test_the_audit_says_who_what_why_and_how_many() -> None:
    run = Run("--yes", "--who=jo", "--reason=a bad night")
    assert (run.code, run.changed) == (0, True)
    begun, done = [json.loads(line.removeprefix("audit ")) for line in run.text.splitlines()]
    assert begun == {
        "at": "2026-01-31T12:00:00Z",
        "command": "move",
        "application": "app",
        "backend": "s3",
        "who": "jo",
        "reason": "a bad night",
        "what": "move 3 things",
        "state": "begun",
        "counts": {"things": 3},
    }
    assert done == run.audit() == begun | {"state": "done", "counts": {"things": 2}}
    assert "@" in Run("--yes").audit()["who"]


def test_the_audit_is_encrypted_as_dead_letters_are() -> None:
    run = Run("--yes", "--set=s3.sse=aws:kms", "--set=s3.kms_key_id=alias/key")
    [stored] = run.s3.objects.values()
    assert stored.options["ServerSideEncryption"] == "aws:kms"
    assert stored.options["SSEKMSKeyId"] == "alias/key"


def test_a_bucket_without_rights_is_told_in_one_line_and_nothing_is_changed() -> None:
    s3 = FakeS3()

    def deny(operation: str, key: str) -> None:
        raise answer("AccessDenied", 403)

    s3.before = deny
    run = Run("--yes", s3=s3)
    assert (run.code, run.changed, s3.objects) == (1, False, {})
    [line] = run.text.splitlines()
    assert line.startswith(
        "move: nothing was changed: the audit cannot be written to s3://bucket/deadletter/audit/app/"
    )
    assert "AccessDenied" in line


def test_a_dry_run_changes_nothing_and_needs_no_answer() -> None:
    run = Run("--dry-run")
    assert (run.code, run.changed, run.s3.requests) == (0, False, [])
    assert run.text == "dry run, nothing was changed: move would move 3 things\n"


def test_without_a_terminal_it_needs_a_yes() -> None:
    run = Run()
    assert (run.code, run.changed, run.s3.requests) == (1, False, [])
    assert "--yes" in run.text


@pytest.mark.parametrize(
    ("said", "changed"), [("y\n", True), ("yes\n", True), ("n\n", False), ("\n", False), ("", False)]
)
def test_on_a_terminal_it_asks(said: str, changed: bool) -> None:
    run = Run(terminal=True, answer=said)
    assert (run.code, run.changed) == (0 if changed else 1, changed)
    assert "Move 3 things? [y/N] " in run.text


def test_settings_that_cannot_be_used_end_with_2() -> None:
    run = Run("--yes", "--set=s3.nothing=1")
    assert (run.code, run.changed) == (2, False)
    assert "s3.nothing" in run.text


@pytest.mark.parametrize("error", [Refused("no"), TransientError("no"), StartFailed("no")])
def test_what_goes_wrong_is_one_line_and_ends_with_1(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def act(self: Run, action: Action) -> int:
        raise error

    monkeypatch.setattr(Run, "act", act)
    run = Run()
    assert run.code == 1
    assert run.text.splitlines()[0].endswith("no")


def test_the_first_signal_asks_for_an_end_in_order_and_the_second_interrupts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[bool] = []

    def act(self: Run, action: Action) -> int:
        before = signal.getsignal(signal.SIGTERM)
        with action.in_order():
            os.kill(os.getpid(), signal.SIGTERM)
            seen.append(action.stopping)
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)
        assert signal.getsignal(signal.SIGTERM) is before
        return 0

    monkeypatch.setattr(Run, "act", act)
    assert Run().code == 0
    assert seen == [True]
