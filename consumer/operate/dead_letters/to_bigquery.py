"""Dead letters of a BigQuery application: loaded by jobs whose ids are made of the identities of their rows."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from consumer.domain.chunks import Chunk
from consumer.domain.columns import Records
from consumer.domain.dead_letters import Rejection
from consumer.domain.errors import RequestRefused, SetupError
from consumer.domain.records import Record
from consumer.domain.transformed import Outputs
from consumer.operate.dead_letters.destination import Ready, SaveParcel
from consumer.operate.dead_letters.letters import Letter, Refusal
from consumer.operate.dead_letters.parcel import Entry, Parcel, Place
from consumer.operate.dead_letters.transform import InForce
from consumer.operate.patience import Patience
from consumer.settings import Settings
from consumer.sinks.base import Outcome
from consumer.sinks.bigquery.api.connection import HttpConnection
from consumer.sinks.bigquery.insert_all.build import dry_run
from consumer.sinks.bigquery.load.jobs import LoadJobs
from consumer.sinks.bigquery.load.requests import Destination as JobDestination
from consumer.sinks.bigquery.load.requests import LoadRequest
from consumer.sinks.bigquery.load.sink import LoadSink
from consumer.sinks.bigquery.rows.build import encoder_of
from consumer.sinks.bigquery.rows.shapes import INSERT_ALL, LINES

_MOST_ATTEMPTS = 20
"""Jobs for the same rows that failed for a reason outside of them, before the command ends."""


@dataclass(frozen=True, slots=True)
class RedriveRequest(LoadRequest):
    """`identities` are those of the rows, in their order."""

    identities: tuple[str, ...] = ()

    def keep(self, places: list[int]) -> RedriveRequest:
        kept = LoadRequest.keep(self, places)
        return replace(kept, identities=tuple([self.identities[place] for place in places]))  # type: ignore[return-value, call-arg]


@dataclass(frozen=True, slots=True, kw_only=True)
class RedriveDestination(JobDestination):
    """Names a job after its rows, whichever chunk or parcel they were in."""

    def job_id(self, request: LoadRequest) -> str:
        assert isinstance(request, RedriveRequest)
        digest = hashlib.blake2s(digest_size=16)
        for part in (self.dataset, self.stream, *request.identities):
            digest.update(f"{part}\n".encode())
        return f"{self.prefix}-redrive-{request.table}-{digest.hexdigest()}-{request.attempt}"


class BigQueryDestination:
    """The tables of the settings."""

    remembers = True

    def __init__(
        self, settings: Settings, connection: HttpConnection, patience: Patience, in_force: InForce
    ) -> None:
        self._settings = settings
        self._in_force = in_force
        self._patience = patience
        self._connection = connection
        self._sinks: dict[str, LoadSink] = {}
        self._loaded: set[tuple[str, tuple[str, ...]]] = set()

    def __str__(self) -> str:
        project, dataset = self._settings.text("bigquery.project"), self._settings.text("bigquery.dataset")
        return f"the tables of {project}.{dataset}"

    def chunk(self, letter: Letter, payload: bytes, source: str) -> Chunk:
        return Chunk(Records.of([letter.record(payload)]))

    def prepare(self, letter: Letter, chunk: Chunk) -> Ready | Rejection:
        prepared = self._sink(letter.shard).prepare(chunk)
        if prepared.rejections:
            return prepared.rejections[0]
        [request] = prepared.requests
        return Ready(request.table, request.lines[0])

    def deliver(self, parcel: Parcel, save: SaveParcel) -> Parcel:
        while True:
            before = parcel
            for (table, _), places in parcel.open_pieces().items():
                parcel = self._load(parcel, table, places)
                if parcel is not before:  # the smaller jobs may begin once they alone are known
                    save(parcel)
                    break
            else:
                return parcel

    def still_holds(self, entries: Sequence[Entry]) -> bool:
        return True

    def _load(self, parcel: Parcel, table: str, places: list[Place]) -> Parcel:
        """Follows one job for these pieces to its end. Returns the parcel as it was where they are loaded, else without
        what was refused, or with a part of them in a group of its own."""
        sink = self._sink(parcel.entries[places[0][0]].letter.shard)
        request = self._request(parcel, table, places)
        if (table, request.identities) in self._loaded:
            return parcel
        while True:
            outcome = self._patience.keep(partial(_attempt, sink, request))
            if outcome.rejections:
                return parcel.with_refusals(
                    (places[one.index], Refusal(_now(), one.reason, one.detail)) for one in outcome.rejections
                )
            if not outcome.again:
                self._loaded.add((table, request.identities))
                return parcel
            first, *rest = outcome.again
            if rest:
                return parcel.with_group(places[index] for index in rest[0].indices)
            if outcome.backoff is not None:
                if first.attempt > _MOST_ATTEMPTS or isinstance(outcome.backoff, SetupError):
                    raise outcome.backoff
                self._patience.sleep(
                    self._patience.policy.delay_seconds(outcome.backoff, first.attempt, lambda: 1.0)
                )
            assert isinstance(first, RedriveRequest)
            request = first

    def _request(self, parcel: Parcel, table: str, places: list[Place]) -> RedriveRequest:
        parts = [parcel.entries[index].part(number) for index, number in places]
        pieces = [parcel.piece(place) for place in places]
        read: list[Record] = []
        made: list[Record] = []
        for part, piece in zip(parts, pieces, strict=True):
            record = part.record(part.payload if piece.payload is None else piece.payload)
            found = self._in_force.outputs(Chunk(Records.of([record])), ())
            # a former transform may have prepared the parcel: its lines are what is loaded
            output = None if isinstance(found, Rejection) else found.get(piece.output)
            read.append(record)
            made.append(record if output is None else output.records[0])
        outputs = Outputs(Records.of(read))
        outputs.extend(Records.of(made))
        return RedriveRequest(
            table,
            Chunk(outputs),
            tuple(range(len(places))),
            tuple([piece.line for piece in pieces]),
            identities=tuple([part.identity for part in parts]),
        )

    def _sink(self, shard: str) -> LoadSink:
        """The shard is in its rows where these have metadata columns."""
        if shard not in self._sinks:
            settings = self._settings
            destination = RedriveDestination(
                project=settings.text("bigquery.project"),
                dataset=settings.text("bigquery.dataset"),
                location=settings.text("bigquery.location"),
                stream=settings.stream_name,
                shard=shard,
                prefix=settings.text("bigquery.load_job_prefix"),
                ignore_unknown=settings.text("bigquery.unknown_fields") == "ignore",
            )
            self._sinks[shard] = LoadSink(
                jobs=LoadJobs(self._connection, destination, sleep=self._patience.sleep),
                dry_run=dry_run(
                    settings, self._connection, encoder_of(settings, shard=shard, wrapping=INSERT_ALL)
                ),
                encoder=encoder_of(settings, shard=shard, wrapping=LINES),
                jobs_per_day=settings.integer("bigquery.load_jobs_per_day"),
                now=time.monotonic,
            )
        return self._sinks[shard]


def _attempt(sink: LoadSink, request: LoadRequest) -> Outcome[LoadRequest]:
    try:
        return sink.send(request)
    except RequestRefused as error:
        return sink.split(request, str(error))


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
