"""Which requests a rule hits."""

import msgspec
import pytest

from consumer.local.faults.requests import RequestHead
from consumer.local.faults.rules import Reset, Rule, Rules, first_hit

PUT = RequestHead(service="s3", operation="PutObject", path="/bucket/player-log/key")
READ = RequestHead(service="kinesis", operation="GetRecords", path="/")


def hits(rule: Rule, request: RequestHead, *, body: bytes = b"", times: int = 1, now: float = 0.0) -> int:
    rules = Rules()
    rules.put("rule", rule, 0.0)
    return sum(first_hit(rules.candidates(request, now), body) is not None for _ in range(times))


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (Rule(action=Reset()), 2),
        (Rule(action=Reset(), service="s3"), 1),
        (Rule(action=Reset(), service="kinesis", operation="PutObject"), 0),
        (Rule(action=Reset(), operation="GetRecords"), 1),
        (Rule(action=Reset(), path="^/bucket/player-log/"), 1),
        (Rule(action=Reset(), path="player-log$"), 0),
    ],
)
def test_a_rule_hits_what_matches_all_of_it(rule: Rule, expected: int) -> None:
    assert hits(rule, PUT) + hits(rule, READ) == expected


def test_a_text_in_the_body_can_be_asked_for() -> None:
    rule = Rule(action=Reset(), body='"table"')
    assert hits(rule, READ, body=b'{"TableName":"table"}') == 1
    assert hits(rule, READ, body=b'{"TableName":"table-2"}') == 0


def test_a_rule_ends_after_its_count_and_after_its_time() -> None:
    assert hits(Rule(action=Reset(), count=2), PUT, times=5) == 2
    timed = Rule(action=Reset(), seconds=10)
    assert hits(timed, PUT, now=9.9) == 1
    assert hits(timed, PUT, now=10.0) == 0


def test_chance_is_the_same_for_the_same_seed() -> None:
    def drawn(seed: int) -> list[bool]:
        rules = Rules()
        rules.put("rule", Rule(action=Reset(), probability=0.5, seed=seed), 0.0)
        return [first_hit(rules.candidates(PUT, 0.0), b"") is not None for _ in range(50)]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    assert 10 < sum(drawn(1)) < 40


def test_the_first_rule_that_hits_decides() -> None:
    rules = Rules()
    rules.put("never", Rule(action=Reset(), service="dynamodb"), 0.0)
    rules.put("first", Rule(action=Reset()), 0.0)
    rules.put("second", Rule(action=Reset()), 0.0)
    assert first_hit(rules.candidates(PUT, 0.0), b"") is not None
    assert rules.hits() == {"never": 0, "first": 1, "second": 0}
    assert rules.lift("first") == 1
    assert rules.lift("first") == 0
    rules.clear()
    assert not rules


@pytest.mark.parametrize(
    "text",
    [
        b'{"action": {"type": "explode"}}',
        b'{"action": {"type": "reset"}, "probability": 0}',
        b'{"action": {"type": "reset"}, "operatoin": "PutObject"}',
        b'{"action": {"type": "answer", "status": 503}}',
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(text: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=Rule)
