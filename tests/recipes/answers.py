"""What the recipes ask, answered from the records in plain Python, one record or day after the other."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from zoneinfo import ZoneInfo

from tests.recipes.records import CHANGES_FIRST_DAY, GAP, LAST_DAY, Arrived, of_type

type Row = tuple[object, ...]

_DAY = timedelta(days=1)


def action_logs() -> list[Arrived]:
    return of_type("action_logs")


def _once(events: Iterable[Arrived]) -> list[Arrived]:
    return list({each.fields["event_id"]: each for each in events}.values())


def _by_player() -> dict[str, list[Arrived]]:
    """Each event once, in the order of their times."""
    found = defaultdict(list)
    for each in sorted(_once(action_logs()), key=lambda each: each.time):
        found[each.fields["player_id"]].append(each)
    return dict(sorted(found.items()))


def _days(first: date, last: date) -> list[date]:
    return [first + n * _DAY for n in range((last - first).days + 1)]


def by_player_and_hour() -> list[Row]:
    hours = Counter(
        (each.fields["player_id"], each.time.replace(minute=0, second=0, microsecond=0))
        for each in _once(action_logs())
    )
    return [(*place, count) for place, count in sorted(hours.items())]


def by_day_of_tokyo() -> list[Row]:
    days = Counter(each.time.astimezone(ZoneInfo("Asia/Tokyo")).date() for each in _once(action_logs()))
    return sorted(days.items())


def sessions() -> list[Row]:
    found: list[Row] = []
    for player, events in _by_player().items():
        runs: list[list[datetime]] = []
        for each in events:
            if not runs or each.time - runs[-1][-1] > GAP:
                runs.append([])
            runs[-1].append(each.time)
        found += [(player, number, run[0], run[-1], len(run)) for number, run in enumerate(runs, 1)]
    return found


def retention() -> list[Row]:
    seen = {player: {each.time.date() for each in events} for player, events in _by_player().items()}
    first = {
        player: each.time.date()
        for player, events in _by_player().items()
        for each in events
        if each.fields["event"] == "install"
    }
    found: list[Row] = []
    for day in sorted(set(first.values())):
        players = [player for player in first if first[player] == day]
        back = [
            sum(day + n * _DAY in seen[player] for player in players) if day + n * _DAY <= LAST_DAY else None
            for n in (1, 7)
        ]
        found.append((day, len(players), *back))
    return found


def funnel() -> list[Row]:
    steps = ("install", "tutorial_done", "match", "purchase")
    reached = Counter[int]()
    for events in _by_player().values():
        step, end, last = 0, None, None
        for each in events:
            if step < len(steps) and each.fields["event"] == steps[step]:
                if (end is not None and each.time > end) or each.time == last:
                    continue
                end = end or each.time + 7 * _DAY
                step, last = step + 1, each.time
        reached.update(range(step))
    return [(number + 1, event, reached[number]) for number, event in enumerate(steps)]


def customer_days() -> set[Row]:
    """Day after day: whoever has changed is as the last change says, the others as on the day before."""
    changes: dict[date, list[Arrived]] = defaultdict(list)
    for each in of_type("customer_changes"):
        changes[each.time.date()].append(each)
    state: dict[str, Arrived] = {}
    rows: set[Row] = set()
    for day in _days(CHANGES_FIRST_DAY, LAST_DAY):
        for each in sorted(changes[day], key=lambda each: (each.time, each.fields["version"])):
            state[each.fields["player_id"]] = each
        rows |= {
            (day, player, each.fields["plan"], each.fields["country"])
            for player, each in state.items()
            if each.fields["status"] != "closed"
        }
    return rows


def days_late() -> list[Row]:
    found = Counter(
        (each.time.date(), (each.arrived.date() - each.time.date()).days) for each in action_logs()
    )
    return [(*place, count) for place, count in sorted(found.items())]


def days_that_arrived(day: date) -> list[Row]:
    return [
        (each,) for each in sorted({each.time.date() for each in action_logs() if each.arrived.date() == day})
    ]


def copies() -> list[Row]:
    """Of events that came more than once: how often, and on how many days."""
    found: list[Row] = []
    events = sorted(action_logs(), key=lambda each: str(each.fields["event_id"]))
    for event_id, group in groupby(events, key=lambda each: str(each.fields["event_id"])):
        days = [each.arrived.astimezone(UTC).date() for each in group]
        if len(days) > 1:
            found.append((event_id, len(days), len(set(days))))
    return found


def each_once() -> list[Row]:
    names = ("event_id", "player_id", "time", "event", "level", "amount")
    events = sorted(_once(action_logs()), key=lambda each: str(each.fields["event_id"]))
    return [
        tuple(each.time if name == "time" else each.fields.get(name) for name in names) for each in events
    ]


def by_day_and_event() -> list[Row]:
    found: list[Row] = []
    events = sorted(action_logs(), key=lambda each: (each.time.date(), str(each.fields["event"])))
    for (day, event), group in groupby(events, key=lambda each: (each.time.date(), each.fields["event"])):
        these = list(group)
        amounts = [each.fields["amount"] for each in these if "amount" in each.fields]
        amount = round(sum(amounts), 2) if amounts else None
        found.append((day, event, len(these), len({each.fields["player_id"] for each in these}), amount))
    return found
