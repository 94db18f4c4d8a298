"""The layer around an application that is played by the test."""

import asyncio
import json
from typing import Any

import pytest

from consumer.local.faults.layer import CONTROL_PATH, FaultLayer
from consumer.local.faults.requests import bigquery_request

INSERT = "/projects/p/datasets/d/tables/t/insertAll"
KIND = "bigquery#tableDataInsertAllResponse"


class Application:
    """Answers insertAll, and says in its answer which of the rows it cannot store."""

    def __init__(self) -> None:
        self.stored: list[str] = []
        self.seen: list[dict[str, Any]] = []
        self.bad: set[str] = set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.seen.append(scope)
        message = await receive()
        rows = [row["json"] for row in json.loads(message["body"])["rows"]]
        errors = [
            {"index": index, "errors": [{"reason": "invalid"}]}
            for index, row in enumerate(rows)
            if row in self.bad
        ]
        self.stored += [row for row in rows if row not in self.bad]
        answer = json.dumps({"kind": KIND, "insertErrors": errors}).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": answer})


class Connection:
    """A client, as ASGI has it: its requests and what came back."""

    def __init__(self, layer: FaultLayer) -> None:
        self._layer = layer
        self.resets = 0

    def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes] | None:
        """Status and body; None where the connection was reset."""
        return asyncio.run(self._ask(method, path, body))

    async def _ask(self, method: str, path: str, body: bytes) -> tuple[int, bytes] | None:
        waiting = [{"type": "http.request", "body": body[:3], "more_body": True}]
        waiting.append({"type": "http.request", "body": body[3:], "more_body": False})
        sent: list[dict[str, Any]] = []
        resets = self.resets

        async def receive() -> dict[str, Any]:
            return waiting.pop(0) if waiting else {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "headers": [(b"content-length", str(len(body)).encode())],
            "extensions": {"consumer.reset": self._reset},
        }
        await self._layer(scope, receive, send)
        if self.resets > resets:
            assert sent == []
            return None
        return sent[0]["status"], b"".join(message["body"] for message in sent[1:])

    def _reset(self) -> None:
        self.resets += 1

    def insert(self, *rows: str, skip_invalid: bool = True) -> tuple[int, Any] | None:
        request = {
            "skipInvalidRows": skip_invalid,
            "rows": [{"insertId": row, "json": row} for row in rows],
        }
        body = json.dumps(request).encode()
        answer = self.ask("POST", INSERT, body)
        return None if answer is None else (answer[0], json.loads(answer[1]))

    def rule(self, name: str, **rule: Any) -> None:
        answer = self.ask("PUT", f"{CONTROL_PATH}/{name}", json.dumps(rule).encode())
        assert answer is not None
        assert answer[0] == 200, answer


@pytest.fixture
def slept() -> list[float]:
    return []


@pytest.fixture
def application() -> Application:
    return Application()


@pytest.fixture
def connection(application: Application, slept: list[float]) -> Connection:
    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async def split(scope: Any, receive: Any, send: Any) -> None:
        await application(scope, _whole(receive), send)

    return Connection(FaultLayer(split, bigquery_request, clock=lambda: 0.0, sleep=sleep))


def _whole(receive: Any) -> Any:
    async def whole() -> dict[str, Any]:
        body = b""
        while True:
            message = await receive()
            body += message["body"]
            if not message["more_body"]:
                return {"type": "http.request", "body": body, "more_body": False}

    return whole


STORED = (200, {"kind": KIND, "insertErrors": []})


def test_without_rules_requests_pass_as_they_are(connection: Connection, application: Application) -> None:
    assert connection.insert("a", "b") == STORED
    assert application.stored == ["a", "b"]


def test_an_error_is_answered_in_place_of_the_application(
    connection: Connection, application: Application
) -> None:
    connection.rule(
        "x", operation="insertAll", action={"type": "answer", "status": 403, "code": "quotaExceeded"}
    )
    answer = connection.insert("a")
    assert answer is not None
    status, body = answer
    assert (status, body["error"]["errors"][0]["reason"]) == (403, "quotaExceeded")
    assert application.stored == []


def test_a_request_that_no_rule_hits_passes_with_its_body(
    connection: Connection, application: Application
) -> None:
    connection.rule("x", body="other", action={"type": "reset"})
    assert connection.insert("a") == STORED
    assert application.stored == ["a"]


def test_a_reset_leaves_the_request_undone(connection: Connection, application: Application) -> None:
    connection.rule("x", action={"type": "reset"})
    assert connection.insert("a") is None
    assert application.stored == []


def test_a_lost_answer_leaves_the_request_done(connection: Connection, application: Application) -> None:
    connection.rule("x", action={"type": "lose_answer"}, count=1)
    assert connection.insert("a") is None
    assert application.stored == ["a"]
    assert connection.insert("b") == STORED


def test_a_delayed_request_is_carried_out_all_the_same(
    connection: Connection, application: Application, slept: list[float]
) -> None:
    connection.rule("x", action={"type": "delay", "seconds": 7})
    assert connection.insert("a") == STORED
    assert slept == [7]


def test_stopped_rows_come_with_the_one_that_stopped_them_and_none_is_stored(
    connection: Connection, application: Application
) -> None:
    connection.rule(
        "x", action={"type": "refuse_rows", "reason": "timeout", "share": 0.01, "stop_others": True}
    )
    answer = connection.insert("a", "b", "c")
    assert answer is not None
    reasons = sorted(entry["errors"][0]["reason"] for entry in answer[1]["insertErrors"])
    assert reasons == ["stopped", "stopped", "timeout"]
    assert application.stored == []


def test_without_skip_invalid_rows_none_is_stored_where_one_is_refused(
    connection: Connection, application: Application
) -> None:
    """Else rows that are only asked about would be stored, as soon as the one that stops them is drawn."""
    connection.rule("x", action={"type": "refuse_rows", "share": 0.5})
    rows = [f"row {number}" for number in range(40)]
    answer = connection.insert(*rows, skip_invalid=False)
    assert answer is not None
    assert {entry["index"] for entry in answer[1]["insertErrors"]} == set(range(40))
    assert application.stored == []


def test_refused_rows_are_not_stored_and_all_others_are(
    connection: Connection, application: Application
) -> None:
    connection.rule("x", action={"type": "refuse_rows", "share": 0.5})
    rows = [f"row {number}" for number in range(40)]
    answer = connection.insert(*rows)
    assert answer is not None
    refused = {rows[entry["index"]] for entry in answer[1]["insertErrors"]}
    assert 5 < len(refused) < 35
    assert application.stored == [row for row in rows if row not in refused]
    lengths = dict(application.seen[-1]["headers"])
    assert int(lengths[b"content-length"]) < len(json.dumps(rows)) * 3


def test_errors_of_the_rows_that_went_on_keep_their_places(
    connection: Connection, application: Application
) -> None:
    application.bad = {"row 7", "row 21"}
    connection.rule("x", action={"type": "refuse_rows", "share": 0.3})
    rows = [f"row {number}" for number in range(30)]
    answer = connection.insert(*rows)
    assert answer is not None
    reasons = {rows[entry["index"]]: entry["errors"][0]["reason"] for entry in answer[1]["insertErrors"]}
    assert set(application.stored) == set(rows) - reasons.keys()
    for bad in application.bad:
        assert reasons[bad] in ("invalid", "backendError")


def test_rules_are_listed_with_their_hits_and_lifted(connection: Connection) -> None:
    connection.rule("x", action={"type": "reset"})
    connection.rule("y", action={"type": "reset"})
    connection.insert("a")
    assert connection.ask("GET", CONTROL_PATH) == (200, b'{"x":1,"y":0}')
    assert connection.ask("DELETE", f"{CONTROL_PATH}/x") == (200, b'{"hits":1}')
    assert connection.ask("DELETE", CONTROL_PATH) == (200, b"{}")
    assert connection.insert("a") == STORED


def test_a_rule_that_makes_no_sense_is_answered_with_the_reason(connection: Connection) -> None:
    answer = connection.ask("PUT", f"{CONTROL_PATH}/x", b'{"action": {"type": "explode"}}')
    assert answer is not None
    assert answer[0] == 400
    assert b"explode" in answer[1]
    refused = connection.ask("PUT", f"{CONTROL_PATH}/x", b'{"action": {"type": "reset"}, "path": "("}')
    assert refused is not None
    assert refused[0] == 400
    assert connection.ask("POST", CONTROL_PATH) == (405, b"{}")


def test_what_is_no_request_passes(application: Application) -> None:
    seen: list[str] = []

    async def lifespan(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    asyncio.run(FaultLayer(lifespan, bigquery_request)({"type": "lifespan"}, _none, _none))
    assert seen == ["lifespan"]


async def _none(*arguments: Any) -> Any:
    raise AssertionError("not to be used")
