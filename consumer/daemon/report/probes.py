"""What health checks and scrapers ask for, by path."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus

import msgspec

from consumer.daemon.report.http import Answer
from consumer.daemon.report.status import Status, encode

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"

type Probe = Callable[[object], Answer]
"""Gets the request, of which it needs nothing."""


def probes(status: Callable[[], Status], metrics_text: Callable[[], bytes]) -> Mapping[str, Probe]:
    """`/healthz` is for whoever wakes people: 503 while anything is wrong, a backend that is down included. `/readyz`
    and `/livez` are for what starts and replaces processes, and know nothing of the backend: the one is 503 while the
    daemon cannot take leases, the other once something in it is stuck that a restart would cure."""

    def healthz(_: object) -> Answer:
        current = status()
        return Answer(body=encode(current), code=_code(current.health.healthy))

    def readyz(_: object) -> Answer:
        current = status()
        return Answer(body=_word("ready", current.ready, current), code=_code(current.ready))

    def livez(_: object) -> Answer:
        current = status()
        stuck = current.health.stuck
        return Answer(body=_word("live", not stuck, current, stuck=sorted(stuck)), code=_code(not stuck))

    def metrics(_: object) -> Answer:
        return Answer(body=metrics_text(), content_type=METRICS_TYPE)

    return {"/healthz": healthz, "/readyz": readyz, "/livez": livez, "/metrics": metrics}


def _code(good: bool) -> HTTPStatus:
    return HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE


def _word(name: str, good: bool, status: Status, **more: object) -> bytes:
    health = status.health
    return msgspec.json.encode({name: good, "state": health.state, "phase": health.phase, **more})
