"""The ledger against a model: chunks complete in any order, the watermark follows the longest completed prefix."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from consumer.domain.ledger import Ledger, Ticket
from consumer.domain.records import Position
from tests.examples import examples
from tests.unit.builders import chunk_of


class LedgerMachine(RuleBasedStateMachine):
    """Checks I1 after every step: the watermark never passes an unfinished chunk."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger()
        self.tickets: list[Ticket] = []
        self.sizes: list[int] = []
        self.done: list[bool] = []

    @rule(sizes=st.lists(st.integers(0, 20), min_size=1, max_size=4))
    def track(self, sizes: list[int]) -> None:
        number = len(self.tickets)
        chunk = chunk_of([b"x" * size for size in sizes], first=100 * number, arrival_ms=1000 + number)
        self.tickets.append(self.ledger.track(chunk, read_ms=5000 + number))
        self.sizes.append(sum(sizes))
        self.done.append(False)

    @precondition(lambda self: not all(self.done))
    @rule(data=st.data())
    def resolve(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from([n for n, done in enumerate(self.done) if not done]))
        self.tickets[number].resolve()
        self.done[number] = True

    @precondition(lambda self: any(self.done))
    @rule(data=st.data())
    def resolve_twice(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from([n for n, done in enumerate(self.done) if done]))
        with pytest.raises(RuntimeError, match="twice"):
            self.tickets[number].resolve()

    @property
    def completed_prefix(self) -> int:
        return next((n for n, done in enumerate(self.done) if not done), len(self.done))

    @invariant()
    def I1_the_watermark_is_the_end_of_the_completed_prefix(self) -> None:
        prefix = self.completed_prefix
        assert self.ledger.watermark == (self.tickets[prefix - 1].end if prefix else None)

    @invariant()
    def what_is_in_flight_is_what_is_not_done(self) -> None:
        open_sizes = [size for size, done in zip(self.sizes, self.done, strict=True) if not done]
        assert self.ledger.in_flight_chunks == len(open_sizes)
        assert self.ledger.in_flight_bytes == sum(open_sizes)

    @invariant()
    def what_is_unsettled_lies_past_the_watermark(self) -> None:
        assert self.ledger.unsettled_chunks == len(self.done) - self.completed_prefix

    @invariant()
    def the_oldest_is_the_first_that_is_not_done(self) -> None:
        prefix = self.completed_prefix
        waiting = prefix < len(self.done)
        assert self.ledger.oldest_ms == (1000 + prefix if waiting else None)
        assert self.ledger.oldest_read_ms == (5000 + prefix if waiting else None)


TestLedgerAgainstItsModel = LedgerMachine.TestCase
TestLedgerAgainstItsModel.settings = settings(examples(50), stateful_step_count=25)


def test_I1_a_chunk_completed_in_the_middle_moves_nothing() -> None:
    ledger = Ledger()
    first, second, third = (ledger.track(chunk_of([b"x"], first=number)) for number in (1, 2, 3))
    second.resolve()
    third.resolve()
    assert ledger.watermark is None
    first.resolve()
    assert ledger.watermark == Position("3", 0)
    assert ledger.oldest_ms is None


def test_a_chunk_resolved_twice_is_a_bug_that_says_so_and_counts_once() -> None:
    ledger = Ledger()
    ticket = ledger.track(chunk_of([b"abc"], first=9))
    assert not ticket.done
    ticket.resolve()
    assert ticket.done
    with pytest.raises(RuntimeError, match="chunk ending at 9 was resolved twice"):
        ticket.resolve()
    assert (ledger.in_flight_chunks, ledger.in_flight_bytes) == (0, 0)
