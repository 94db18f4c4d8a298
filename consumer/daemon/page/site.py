"""What the daemon serves: the status page, its events, health, and the status as JSON."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from collections.abc import AsyncGenerator, Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from urllib.parse import unquote

import msgspec

from consumer.daemon.page import told as tellings
from consumer.daemon.page.history import History, Limits
from consumer.daemon.page.markup import Markup, html
from consumer.daemon.page.peers import peers_beside
from consumer.daemon.page.sections import sections
from consumer.daemon.page.settings_table import settings_table
from consumer.daemon.page.summary import title
from consumer.daemon.page.told import Told
from consumer.daemon.page.view import Peer, View
from consumer.daemon.report.http import Answer, Request, Route, Site
from consumer.daemon.report.status import Status, encode
from consumer.settings import Settings

_EVENT_SECONDS = 1.5
"""Between two events, and then until the next status."""
_PEER_SECONDS = 5.0
_HERE = Path(__file__).parent
_STYLE = (_HERE / "page.css").read_text(encoding="utf-8")
_SCRIPT = (_HERE / "page.js").read_text(encoding="utf-8")
_ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E"
    "%3Cpath d='M2 12l4-5 3 3 5-7' fill='none' stroke='%231f6fd0' stroke-width='2'/%3E%3C/svg%3E"
)


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


_POLICY = (
    f"default-src 'none'; style-src '{_hash(_STYLE)}'; script-src '{_hash(_SCRIPT)}'; connect-src 'self';"
    " img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9a-fA-F:.]+")
_PAGE = (_HERE / "page.html").read_text(encoding="utf-8")


class Page:
    """Of one daemon. To be told each status as status.json has it."""

    def __init__(self, settings: Settings, *, state_directory: Path) -> None:
        self._limits = Limits(
            chunks=settings.integer("delivery.max_in_flight_chunks"),
            bytes=settings.integer("delivery.max_in_flight_bytes"),
        )
        self._settings = settings_table(settings)
        self._runbook_url = settings.optional_text("http.runbook_url")
        bucket = settings.optional_text("deadletter.bucket") or settings.optional_text("s3.bucket")
        self._dead_letters_in = f"s3://{bucket}/{settings.text('deadletter.prefix')}"
        self._state_directory = state_directory
        self._history = History(self._limits)
        self._told: Told | None = None
        self._peers: tuple[Peer, ...] = ()
        self._peers_at = 0.0
        self._made: tuple[Told, dict[str, Markup]] | None = None
        self._next = asyncio.Event()

    def saw(self, content: bytes) -> None:
        """The status of this moment, in JSON; called on the event loop."""
        self._told = tellings.read(content)
        self._history.saw(self._told)
        self._next.set()
        self._next = asyncio.Event()

    def site(self, status: Callable[[], Status], others: Mapping[str, Route]) -> Site:
        """With the routes of `others`. `status` tells of the moment at which it is asked."""
        self.saw(encode(status()))
        return Site(
            routes={
                **others,
                "/": lambda _: self._page(tellings.read(encode(status()))),
                "/status.json": lambda _: Answer(body=encode(status())),
                "/peer": self._peer,
            },
            streams={"/events": self._events},
        )

    def _page(self, told: Told) -> Answer:
        parts = {name.replace("-", "_"): part for name, part in self._parts(told).items()}
        content = html(
            _PAGE,
            title=title(told),
            icon=Markup(_ICON),
            style=Markup(_STYLE),
            script=Markup(_SCRIPT),
            application=told.application,
            backend={"s3": "S3", "bigquery": "BigQuery"}.get(told.backend, told.backend),
            settings=self._settings,
            **parts,
        )
        return Answer(
            body=content.encode("utf-8", "replace"),
            content_type="text/html; charset=utf-8",
            headers={"Content-Security-Policy": _POLICY},
        )

    async def _events(self) -> AsyncGenerator[bytes]:
        """What has changed since the event before; all of it in the first one."""
        sent: dict[str, Markup] = {}
        loop = asyncio.get_running_loop()
        while True:
            told, made = self._current()
            changed = {name: str(part) for name, part in made.items() if sent.get(name) != part}
            sent = made
            yield b"data: %s\n\n" % msgspec.json.encode({"title": title(told), "parts": changed})
            earliest = loop.time() + _EVENT_SECONDS
            await self._next.wait()
            while loop.time() < earliest:
                await self._next.wait()

    def _current(self) -> tuple[Told, dict[str, Markup]]:
        """The parts of the page; made once for all readers of a status."""
        told = self._told
        assert told is not None, "site() is told a status first"
        if self._made is None or self._made[0] is not told:
            self._made = told, self._parts(told)
        return self._made

    def _parts(self, told: Told) -> dict[str, Markup]:
        self._look_beside(told.updated_at)
        return sections(
            View(
                told=told,
                history=self._history,
                limits=self._limits,
                peers=self._peers,
                runbook_url=self._runbook_url,
                dead_letters_in=self._dead_letters_in,
            )
        )

    def _look_beside(self, now: float) -> None:
        if now - self._peers_at >= _PEER_SECONDS:
            self._peers, self._peers_at = tuple(peers_beside(self._state_directory, now=now)), now

    def _peer(self, request: Request) -> Answer:
        """Sends the browser on to another daemon's page: at the name by which it came here, which only the browser
        knows."""
        name = unquote(request.query)
        port = next((peer.port for peer in self._peers if peer.application == name), None)
        host = request.host or ""
        if port is None or not _HOST.fullmatch(host):
            return Answer(body=b"no such daemon\n", content_type="text/plain", code=HTTPStatus.NOT_FOUND)
        place = f"[{host}]" if ":" in host else host
        return Answer(
            body=b"",
            content_type="text/plain",
            code=HTTPStatus.FOUND,
            headers={"Location": f"http://{place}:{port}/"},
        )
