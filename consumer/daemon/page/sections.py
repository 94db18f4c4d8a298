"""The parts of the page, by the id under which each is replaced while it is open."""

from __future__ import annotations

from consumer.daemon.page import past, summary
from consumer.daemon.page.amounts import clock
from consumer.daemon.page.markup import Markup, html
from consumer.daemon.page.shards import shards
from consumer.daemon.page.view import View


def sections(view: View) -> dict[str, Markup]:
    return {
        "headline": summary.headline(view),
        "facts": summary.facts(view),
        "reasons": summary.reasons(view.told),
        "charts": past.charts(view.history, view.told.updated_at),
        "shards": shards(view),
        "dead-letters": past.dead_letters(view),
        "checkpoints": past.checkpoints(view.history),
        "happenings": past.happenings(view.history),
        "peers": summary.peers(view),
        "updated": html(
            'Updated <time datetime="{at}Z">{at}</time> UTC, worker <b>{worker}</b>',
            at=clock(view.told.updated_at),
            worker=view.told.worker_id,
        ),
    }
