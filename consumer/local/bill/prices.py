"""The one table of list prices, prices.toml, and what a quantity costs by it."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Literal

import msgspec

_OWN = Path(__file__).with_name("prices.toml")

type Kind = Literal["delivery", "storage", "option"]


class PricesError(Exception):
    """The file is no table of prices; the message says why."""


class Price(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of one item; prices.toml says what each field is."""

    item: str
    label: str
    price: float
    unit: str
    per: float
    page: str
    checked: Literal["vendor", "price list", "third party", "no"]
    free: float = 0.0
    tiers: Sequence[tuple[float, float]] = ()
    kind: Kind = "delivery"
    note: str = ""

    def units(self, quantity: float) -> float:
        return quantity / self.per

    def of_a_month(self, quantity: float) -> float:
        """What a month's quantity costs, with what is free and with the lower prices of more."""
        units = self.units(quantity)
        steps = [(self.free, self.price), *self.tiers, (float("inf"), 0.0)]
        return sum(
            price * max(0.0, min(units, until) - since) for (since, price), (until, _) in pairwise(steps)
        )

    def at_list(self, quantity: float) -> float:
        """What more of it costs where nothing is free any more."""
        return self.price * self.units(quantity)


class Prices(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    currency: str
    date: str
    hours_a_month: float
    regions: Mapping[str, str]
    price: Sequence[Price]

    def __getitem__(self, item: str) -> Price:
        """Raises KeyError for what costs nothing."""
        found = next((price for price in self.price if price.item == item), None)
        if found is None:
            raise KeyError(item)
        return found

    @property
    def described(self) -> str:
        places = ", ".join(f"{vendor} {region}" for vendor, region in self.regions.items())
        return f"list prices of {self.date} in {self.currency} ({places})"


def load(file: Path = _OWN) -> Prices:
    """Raises PricesError."""
    try:
        prices = msgspec.toml.decode(file.read_bytes(), type=Prices)
    except (OSError, msgspec.DecodeError) as error:
        raise PricesError(f"{file}: {error}") from error
    items = [price.item for price in prices.price]
    if twice := {item for item in items if items.count(item) > 1}:
        raise PricesError(f"{file}: priced twice: {', '.join(sorted(twice))}")
    return prices
