"""A question that `check` asks, and its answer."""

from __future__ import annotations

from dataclasses import dataclass

from consumer.daemon.prepare.preparation import Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One question. `step` returns the line of a good answer and raises Unusable or NotReady for a bad one."""

    name: str
    step: Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a check found; `message` says what is there, or what to do."""

    name: str
    ok: bool
    message: str
