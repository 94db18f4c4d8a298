"""The price table, and the arithmetic of an invoice."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.local import report
from consumer.local.bill import prices
from consumer.local.bill.invoice import TOKEN_BYTES, Load, a_month, at_list, derived, lines, total
from consumer.local.bill.prices import Price, Prices, PricesError

LOAD = Load(records_per_second=10, hours_a_month=100)
SECONDS = 360_000


def price(item: str = "s3_put_requests", **more: Any) -> Price:
    return Price(
        item=item, label=item, price=2.0, unit="thousand", per=1000, page="https://p", checked="no", **more
    )


def table(*of: Price) -> Prices:
    return Prices(currency="USD", date="2026-01-01", hours_a_month=100, regions={"aws": "r"}, price=of)


@pytest.mark.parametrize(
    ("units", "usd"),
    [(0, 0), (5, 0), (10, 0), (11, 2), (20, 20), (21, 20.5), (30, 25), (31, 25.1)],
)
def test_a_month_costs_by_tiers_past_what_is_free(units: float, usd: float) -> None:
    tiered = price(free=10, tiers=[(20, 0.5), (30, 0.1)])
    assert tiered.of_a_month(units * 1000) == pytest.approx(usd)


@given(st.floats(0, 1e9), st.floats(0, 1e9))
def test_more_never_costs_less(one: float, other: float) -> None:
    tiered = price(free=10, tiers=[(20, 0.5), (30, 0.1)])
    assert tiered.of_a_month(min(one, other)) <= tiered.of_a_month(max(one, other))


def test_at_list_nothing_is_free() -> None:
    assert price(free=10).at_list(500) == 1.0


@pytest.mark.parametrize("priced", prices.load().price, ids=lambda priced: str(priced.item))
def test_each_price_names_its_page_and_has_tiers_that_ascend(priced: Price) -> None:
    assert priced.page.startswith("https://")
    since = [priced.free, *(since for since, _ in priced.tiers)]
    falling = [priced.price, *(after for _, after in priced.tiers)]
    assert since == sorted(since)
    assert falling == sorted(falling, reverse=True)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("currency = 1", "currency"),
        ("not toml", "Expected"),
        (
            'currency="USD"\ndate="d"\nhours_a_month=1\nregions={}\n'
            + '[[price]]\nitem="a"\nlabel="a"\nprice=1\nunit="u"\nper=1\npage="p"\nchecked="no"\n' * 2,
            "priced twice: a",
        ),
    ],
)
def test_a_file_that_is_no_table_is_refused_with_the_reason(tmp_path: Path, text: str, fault: str) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(text)
    with pytest.raises(PricesError, match=fault):
        prices.load(file)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PricesError, match=r"prices\.toml"):
        prices.load(tmp_path / "prices.toml")


def test_requests_grow_with_records_and_leases_with_the_clock() -> None:
    month = a_month(
        {"s3_put_requests": 3, "dynamodb_write_units": 7, "dynamodb_read_units": 7},
        {"s3_put_requests": 99, "dynamodb_write_units": 5, "cloudwatch_metrics": 12},
        records=1000,
        seconds=60,
        load=LOAD,
    )
    assert month == {
        "s3_put_requests": 3 * 3_600_000 / 1000,
        "dynamodb_write_units": 5 * SECONDS / 60,
        "cloudwatch_metrics": 12,
    }


def test_tokens_are_added_to_what_is_sent_and_a_gateway_bills_both_ways() -> None:
    counts = {"google_sent_bytes": 1000.0, "google_received_bytes": 30.0, "google_unsigned_requests": 2.0}
    sent = 1000 + 2 * TOKEN_BYTES
    assert derived(counts) == {**counts, "google_sent_bytes": sent, "nat_bytes": sent + 30}
    assert derived({"s3_put_requests": 1}) == {"s3_put_requests": 1}


def test_lines_are_of_what_has_a_price_in_the_order_of_the_table() -> None:
    priced = table(price("b"), price("a"), price("c", kind="storage"), price("unused"))
    made = lines({"a": 1000, "b": 3000, "c": 5000, "free": 1}, priced, LOAD)
    assert [(line.price.item, line.usd_a_month) for line in made] == [("b", 6), ("a", 2), ("c", 10)]
    assert made[0].usd_a_million == pytest.approx(6 / 3.6)
    assert (total(made), total(made, ("storage",))) == (8, 10)


def test_a_run_costs_what_the_list_says_without_what_only_some_need() -> None:
    priced = table(price("a", free=100), price("b", kind="option"), price("c", kind="storage"))
    assert [(each.item, usd) for each, _, usd in at_list({"a": 500, "b": 1, "c": 1000}, priced)] == [
        ("a", 1),
        ("c", 2),
    ]


def test_a_demo_tells_its_bill_in_a_few_lines() -> None:
    counts = {"s3_put_requests": 4.0, "google_sent_bytes": 2.0**30, "s3_stored_bytes": 9.0, "nat_bytes": 9.0}
    first, *others = report.bill(counts, prices.load(), records=1_000_000)
    assert first.startswith("At list prices of ")
    assert first.endswith("a million of these records would cost 0.09 without shards, hosts and storage:")
    assert others == [
        "  0.0000  S3: PUT, COPY, POST, LIST (4 in this run)",
        "  0.0900  AWS: data transfer out to Google (1,073,741,824 bytes in this run)",
    ]


@pytest.mark.parametrize(("counts", "records"), [({"s3_put_requests": 4.0}, 0), ({}, 5)])
def test_a_demo_of_nothing_has_no_bill(counts: dict[str, float], records: int) -> None:
    assert list(report.bill(counts, prices.load(), records=records)) == []
