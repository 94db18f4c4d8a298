"""Generated player logs."""

import json
import re
from datetime import UTC, datetime, timedelta

from consumer.local.generate import Logs, midnight_today

BASE = datetime(2026, 3, 1, 12, tzinfo=UTC)


def logs(count: int = 300, *, seed: int = 1, players: int = 50) -> list[bytes]:
    return list(Logs(count=count, seed=seed, base_time=BASE, players=players).lines())


def test_the_same_seed_makes_the_same_bytes() -> None:
    assert logs() == logs()
    assert logs()[:100] == logs(100)
    assert logs(seed=2) != logs()


def test_a_log_is_one_line_of_about_a_kilobyte() -> None:
    lines = logs()
    assert all(b"\n" not in line for line in lines)
    assert 800 < sum(map(len, lines)) / len(lines) < 1200


def test_every_log_has_an_id_of_its_own_and_a_player_of_the_pool() -> None:
    parsed = [json.loads(line) for line in logs()]
    assert len({log["log_id"] for log in parsed}) == 300
    players = {log["player_id"] for log in parsed}
    assert 30 < len(players) <= 50
    assert all(re.fullmatch("[0-9a-f]{32}", player) for player in players)


def test_players_spread_over_all_leading_digits() -> None:
    assert {json.loads(line)["player_id"][0] for line in logs(2000, players=1000)} == set("0123456789abcdef")


def test_times_are_iso_8601_in_utc_and_start_at_the_base_time() -> None:
    times = [json.loads(line)["time"] for line in logs()]
    assert all(re.fullmatch(r"2026-03-01T12:00:00\.\d{3}Z", time) for time in times)
    assert datetime.fromisoformat(times[-1]) - BASE < timedelta(seconds=1)


def test_the_default_base_time_stays_the_same_through_a_day() -> None:
    early, late = datetime(2026, 3, 1, 0, 1, tzinfo=UTC), datetime(2026, 3, 1, 23, 59, tzinfo=UTC)
    assert midnight_today(early) == midnight_today(late) == datetime(2026, 3, 1, tzinfo=UTC)
