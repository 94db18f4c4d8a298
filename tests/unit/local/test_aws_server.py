"""The embedded AWS: what its server does for clients that go away."""

import asyncio
from typing import Any

from consumer.local.aws.server import AnswerAtEnd


def test_an_application_finishes_though_its_client_takes_nothing() -> None:
    async def session() -> tuple[list[str], bool]:
        seen = []
        finished = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            for kind in ("http.response.start", "http.response.body"):
                await send({"type": kind})
            finished.set()

        async def send_never(message: Any) -> None:
            seen.append(message["type"])
            await asyncio.Event().wait()

        async def receive() -> Any:
            return {}

        answering = asyncio.create_task(AnswerAtEnd(app)({}, receive, send_never))
        await finished.wait()
        await asyncio.sleep(0)
        stuck = not answering.done()
        answering.cancel()
        return seen, stuck

    assert asyncio.run(session()) == (["http.response.start"], True)
