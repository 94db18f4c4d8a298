"""From what was counted to dollars."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from consumer.local.bill.meter import Counts
from consumer.local.bill.prices import Kind, Price, Prices

TOKEN_BYTES = 1024
"""About as long as an access token of workload identity federation is, which each REST request carries; the embedded
service is asked without one."""

_BY_TIME = ("dynamodb_", "cloudwatch_requests", "kinesis_get_requests")
"""What leases, checkpoints and polls take goes by the clock; the rest goes by records."""

_STANDING = ("cloudwatch_metrics",)
"""Billed by what there is, however often it is told."""
_SECONDS_AN_HOUR = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What the bill is for: so many records a second, all month."""

    records_per_second: float
    hours_a_month: float

    @property
    def seconds_a_month(self) -> float:
        return self.hours_a_month * _SECONDS_AN_HOUR

    @property
    def records_a_month(self) -> float:
        return self.records_per_second * self.seconds_a_month


@dataclass(frozen=True, slots=True)
class Line:
    """Of an invoice; a month's `quantity` is what was counted or derived, not in units."""

    price: Price
    quantity: float
    usd_a_month: float
    usd_a_million: float


def a_month(
    by_records: Mapping[str, float],
    by_time: Mapping[str, float],
    *,
    records: float,
    seconds: float,
    load: Load,
) -> Counts:
    """What a month takes: what was counted while so many records were delivered, but for what goes by the clock, which
    was counted in so many seconds of a stream that flowed."""
    records_factor, time_factor = load.records_a_month / records, load.seconds_a_month / seconds
    month = {item: count * records_factor for item, count in by_records.items() if not _goes_by_time(item)}
    month |= {item: count * time_factor for item, count in by_time.items() if _goes_by_time(item)}
    return month | {item: by_time[item] for item in _STANDING if item in by_time}


def _goes_by_time(item: str) -> bool:
    return item.startswith(_BY_TIME)


def derived(counts: Mapping[str, float]) -> Counts:
    """With what follows from counts: the tokens that the embedded service does without, and a NAT gateway's share."""
    tokens = counts.get("google_unsigned_requests", 0.0) * TOKEN_BYTES
    sent = counts.get("google_sent_bytes", 0.0) + tokens
    both_ways = sent + counts.get("google_received_bytes", 0.0)
    added = {"google_sent_bytes": sent, "nat_bytes": both_ways} if sent else {}
    return {**counts, **added}


def lines(month: Mapping[str, float], prices: Prices, load: Load) -> list[Line]:
    """A line for each item that has a price, in the table's order."""
    return [_line(price, month[price.item], load) for price in prices.price if month.get(price.item)]


def _line(price: Price, quantity: float, load: Load) -> Line:
    usd = price.of_a_month(quantity)
    return Line(price, quantity, usd, usd / load.records_a_month * 1e6)


def total(invoice: Iterable[Line], kinds: Sequence[Kind] = ("delivery",)) -> float:
    """USD a month."""
    return sum(line.usd_a_month for line in invoice if line.price.kind in kinds)


def at_list(counts: Mapping[str, float], prices: Prices) -> list[tuple[Price, float, float]]:
    """Of what was counted, each item that has a price, its quantity, and USD; nothing is free, nothing is by the
    hour."""
    return [
        (price, counts[price.item], price.at_list(counts[price.item]))
        for price in prices.price
        if counts.get(price.item) and price.kind != "option"
    ]
