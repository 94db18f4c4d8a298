"""The plan: a function of its options, with every kind of fault in it."""

from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tests.chaos.catalogue import KINDS
from tests.chaos.plan import MOST_OPEN_SHARDS, Options, lane_of, lines, plan
from tests.chaos.requests import FIRST_HIT_SECONDS, Places, rules_of

PLACES = Places(
    bucket="bucket",
    prefixes={
        "s3": "player-log/",
        "dead letters s3": "deadletter/s3/",
        "dead letters bigquery": "deadletter/bigquery/",
    },
    applications={"s3": "app-s3", "bigquery": "app-bigquery"},
    table_prefix="player_log",
    bigquery_writes="insertAll",
    read_timeout_seconds=8,
)

options = st.builds(
    Options,
    seed=st.integers(0, 2**32),
    faults=st.integers(0, 120),
    scale=st.floats(0.1, 10),
    shards=st.integers(2, MOST_OPEN_SHARDS),
)


@given(options)
def test_a_plan_depends_on_its_options_alone(chosen: Options) -> None:
    planned = plan(chosen)
    assert planned == plan(chosen)
    assert len(planned) == len(lines(planned)) == chosen.faults


def test_another_seed_is_another_plan() -> None:
    assert plan(Options(seed=1, faults=10)) != plan(Options(seed=2, faults=10))


@given(options)
def test_every_kind_comes_before_any_comes_again(chosen: Options) -> None:
    planned = sorted(plan(chosen), key=lambda fault: fault.number)
    reshards = {"split", "merge"}
    for start in range(0, len(planned) - len(KINDS) + 1, len(KINDS)):
        drawn = Counter(fault.kind.name for fault in planned[start : start + len(KINDS)])
        assert {kind.name for kind in KINDS} - reshards <= drawn.keys()
        assert sum(drawn[name] for name in reshards) == 2


@given(options)
def test_between_two_and_six_shards_are_open(chosen: Options) -> None:
    open_shards = chosen.shards
    for fault in plan(chosen):
        open_shards += fault.kind.open_shards
        assert 2 <= open_shards <= MOST_OPEN_SHARDS


@given(options)
def test_faults_of_one_lane_follow_one_another(chosen: Options) -> None:
    lanes: dict[str, list[tuple[float, float]]] = {}
    for fault in plan(chosen):
        lanes.setdefault(lane_of(fault.kind, fault.target), []).append(
            (fault.at_seconds, fault.at_seconds + fault.seconds)
        )
    for spans in lanes.values():
        assert all(end <= begin + 0.2 for (_, end), (begin, _) in pairwise(spans))


@given(options)
def test_every_fault_of_requests_has_rules_that_end_with_it(chosen: Options) -> None:
    for fault in plan(chosen):
        if fault.kind.group != "requests":
            continue
        rules = rules_of(fault, PLACES)
        assert rules
        assert len({name for _, name, _ in rules}) == len(rules)
        for endpoint, _, rule in rules:
            assert rule.seconds == fault.seconds + FIRST_HIT_SECONDS
            assert (endpoint == "bigquery") is (rule.service == "bigquery")


def test_a_fault_of_one_backend_leaves_the_requests_of_the_other_alone() -> None:
    for fault in plan(Options(seed=1, faults=len(KINDS) * 10)):
        if fault.kind.group != "requests" or fault.target != "s3":
            continue
        for _, _, rule in rules_of(fault, PLACES):
            assert rule.service in ("s3", "dynamodb")
            told_apart = rule.path or rule.body or rule.operation or ""
            assert "bigquery" not in told_apart


def test_a_plan_may_draw_from_some_kinds_only() -> None:
    kinds = tuple(kind for kind in KINDS if kind.name in ("kill_jvm", "slow"))
    assert Counter(fault.kind.name for fault in plan(Options(seed=1, faults=6, kinds=kinds))) == {
        "kill_jvm": 3,
        "slow": 3,
    }
