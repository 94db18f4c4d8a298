"""The alarms, the dashboard and the scaling, against those who read them: promtool, CloudWatch's model, the metrics
that are really sent."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import botocore.session
import botocore.validate
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.daemon.metrics.emf import NAMESPACE, EmfLines
from consumer.daemon.metrics.metric import COMMON_LABELS
from consumer.daemon.metrics.table import METRICS
from consumer.daemon.report.health import State
from consumer.settings import BACKENDS, PROJECT_ROOT, Backend
from deploy.alarms import cloudwatch, grafana, prometheus, scaling
from deploy.alarms.table import ALARMS, LATE_SECONDS, THROTTLED, Alarm
from deploy.alarms.yaml import document
from tests.unit.daemon.statuses import snapshot
from tests.unit.deploy.alarm_cases import CASES, Case

DEPLOY = PROJECT_ROOT / "deploy"
MADE: dict[str, tuple[str, Callable[[], str]]] = {
    "prometheus/rules.yml": ("prometheus", prometheus.page),
    "cloudwatch/alarms.yml": ("cloudwatch emf", lambda: cloudwatch.page("emf")),
    "cloudwatch/alarms-otlp.yml": ("cloudwatch otlp", lambda: cloudwatch.page("otlp")),
    "grafana/dashboard.json": ("grafana", grafana.page),
    "ecs/scaling.yml": ("scaling", scaling.page),
}
TEMPLATES = [name for name in MADE if name.startswith(("cloudwatch/", "ecs/"))]
APPLICATION = "app"
GIVEN: dict[str, Any] = {
    "Application": APPLICATION,
    "StreamName": "logs",
    "PageTopic": "arn:aws:sns:eu-west-1:123456789012:page",
    "TicketTopic": "arn:aws:sns:eu-west-1:123456789012:ticket",
    "Cluster": "my-cluster",
    "Service": "consumer-s3",
    "OpenShards": 8,
}
GRAFANA_VARIABLES = {
    "$__rate_interval": "1m",
    "$application": APPLICATION,
    "$backend": "s3",
}
NEEDS_PROMTOOL = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed (apt-get install prometheus)"
)
BY_NAME = {alarm.name: alarm for alarm in ALARMS}


@pytest.mark.parametrize("name", MADE)
def test_a_made_file_is_made_from_the_table(name: str) -> None:
    command, page = MADE[name]
    committed = (DEPLOY / name).read_text(encoding="utf-8")
    assert committed == page(), f"make it anew: python -m deploy.alarms.{command} > deploy/{name}"


@pytest.mark.parametrize("name", [name for name in MADE if name.endswith(".yml")])
def test_what_is_written_is_read_back_alike(name: str) -> None:
    made = {
        "prometheus/rules.yml": prometheus.rules,
        "cloudwatch/alarms.yml": lambda: cloudwatch.template("emf"),
        "cloudwatch/alarms-otlp.yml": lambda: cloudwatch.template("otlp"),
        "ecs/scaling.yml": scaling.template,
    }
    assert msgspec.yaml.decode((DEPLOY / name).read_bytes()) == made[name]()


_TEXTS = st.text(st.characters(codec="ascii", categories=("L", "N", "P", "S", "Zs")), max_size=12)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | _TEXTS | st.sampled_from(["yes", "Null", "on", "a:", "y"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(_TEXTS, _VALUES, min_size=1, max_size=3))
def test_yaml_that_is_written_is_read_back_alike(value: dict[str, Any]) -> None:
    assert msgspec.yaml.decode(document(value, "made")) == value


def test_lateness_follows_from_the_settings_defaults() -> None:
    assert LATE_SECONDS == {"s3": 5 * 60, "bigquery": 1 + 10 + 60}


@pytest.mark.parametrize("goes_off", [True, False])
def test_every_alarm_has_cases_and_its_table_row_is_its_own(goes_off: bool) -> None:
    assert len(BY_NAME) == len(ALARMS)
    assert {case.alarm for case in CASES if case.goes_off is goes_off} == set(BY_NAME)


# ---- Prometheus ----


def promtool(*arguments: str | Path) -> None:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]


def with_labels(series: str, case: Case) -> str:
    name, _, own = series.rstrip("}").partition("{")
    labels = [f'application="{APPLICATION}"', f'backend="{case.backend}"', *([own] if own else [])]
    return f"{name}{{{','.join(labels)}}}"


def rule_test(case: Case, annotations: Mapping[str, str]) -> dict[str, Any]:
    labels = {"application": APPLICATION, "backend": case.backend, "severity": BY_NAME[case.alarm].severity}
    fired = {"exp_labels": labels, "exp_annotations": annotations}
    return {
        "name": f"{case.alarm} at {case.at} min, {case.series}",
        "interval": "1m",
        "input_series": [
            {"series": with_labels(series, case), "values": values} for series, values in case.series.items()
        ],
        "alert_rule_test": [
            {
                "eval_time": f"{case.at * 60:.0f}s",
                "alertname": case.alarm,
                "exp_alerts": [fired] if case.goes_off else [],
            }
        ],
    }


def run_rule_tests(rules: Path, tests: list[dict[str, Any]], folder: Path) -> None:
    """JSON is YAML."""
    written = folder / "tests.json"
    written.write_text(json.dumps({"rule_files": [str(rules)], "evaluation_interval": "30s", "tests": tests}))
    promtool("test", "rules", written)


@NEEDS_PROMTOOL
def test_every_rule_goes_off_when_it_has_to_and_only_then(tmp_path: Path) -> None:
    rules = DEPLOY / "prometheus" / "rules.yml"
    promtool("check", "rules", rules)
    tests = [
        rule_test(
            case,
            {
                "summary": f"{APPLICATION}: {BY_NAME[case.alarm].means}",
                "runbook": f"docs/runbook.md#{BY_NAME[case.alarm].anchor}",
            },
        )
        for case in CASES
    ]
    run_rule_tests(rules, tests, tmp_path)


# ---- CloudWatch ----


def resolved(template: Mapping[str, Any], backend: Backend, more: Mapping[str, Any] | None = None) -> Any:
    """Its resources, as CloudFormation makes them of these parameters."""
    defaults = {name: one["Default"] for name, one in template["Parameters"].items() if "Default" in one}
    values = {**defaults, **GIVEN, "Backend": backend, **(more or {})}
    late_is_given = str(values["Late"]) != "0"

    def substituted(text: str, variables: Mapping[str, Any]) -> str:
        return re.sub(r"\$\{(\w+)\}", lambda match: str({**values, **variables}[match[1]]), text)

    def resolve(value: Any) -> Any:
        match value:
            case {"Ref": name}:
                return values.get(name, f"<{name}>")
            case {"Fn::Sub": [text, variables]}:
                return substituted(text, resolve(variables))
            case {"Fn::Sub": text}:
                return substituted(text, {})
            case {"Fn::FindInMap": place}:
                mapping, first, second = map(resolve, place)
                return template["Mappings"][mapping][first][second]
            case {"Fn::If": ["LateIsGiven", yes, no]}:
                return resolve(yes if late_is_given else no)
            case dict():
                return {name: resolve(inner) for name, inner in value.items()}
            case list():
                return [resolve(inner) for inner in value]
            case _:
                return value

    return resolve(template["Resources"])


def assert_taken(service: str, operation: str, parameters: Mapping[str, Any]) -> None:
    """By the model of the AWS SDK, with its words where a parameter takes one of some."""
    shape = botocore.session.get_session().get_service_model(service).operation_model(operation).input_shape
    assert botocore.validate.ParamValidator().validate(parameters, shape).generate_report() == ""
    for name, value in parameters.items():
        words = getattr(shape.members[name], "enum", None)
        assert not words or value in words, (name, value)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("form", ["emf", "otlp"])
def test_cloudwatch_takes_the_alarms(form: str, backend: Backend) -> None:
    resources = resolved(cloudwatch.template(form), backend)
    assert set(resources) == {*BY_NAME, THROTTLED, "ReadsRefused"}
    for resource in resources.values():
        kind = resource["Type"].removeprefix("AWS::CloudWatch::")
        operation = {"Alarm": "PutMetricAlarm", "CompositeAlarm": "PutCompositeAlarm"}[kind]
        assert_taken("cloudwatch", operation, resource["Properties"])


@pytest.mark.parametrize("form", ["emf", "otlp"])
def test_who_is_told_follows_from_the_severity(form: str) -> None:
    resources = resolved(cloudwatch.template(form), "s3")
    for alarm in ALARMS:
        told = resources[alarm.name]["Properties"]["AlarmActions"]
        assert told == [GIVEN["PageTopic" if alarm.severity == "page" else "TicketTopic"]]
    assert "AlarmActions" not in resources["ReadsRefused"]["Properties"]


def test_reads_that_are_refused_tell_somebody_only_where_the_application_is_late() -> None:
    resources = resolved(cloudwatch.template("emf"), "s3")
    named = {resource["Properties"]["AlarmName"] for resource in resources.values()}
    rule = resources[THROTTLED]["Properties"]["AlarmRule"]
    both = re.findall(r'ALARM\("([^"]+)"\)', rule)
    assert both == ["app-ReadsRefused", "app-ConsumerLate"]
    assert set(both) < named


def metrics_of(properties: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if "MetricName" in properties:
        yield properties
    for query in properties.get("Metrics", ()):
        if "MetricStat" in query:
            yield query["MetricStat"]["Metric"]


@pytest.mark.parametrize("template", [cloudwatch.template("emf"), scaling.template()], ids=["alarms", "ecs"])
def test_every_metric_that_is_watched_is_in_a_line_with_these_dimensions(template: dict[str, Any]) -> None:
    sent = set()
    for text in EmfLines().lines(snapshot(2, application=APPLICATION)):
        line = json.loads(text)
        for directive in line["_aws"]["CloudWatchMetrics"]:
            assert directive["Namespace"] == NAMESPACE
            for names in directive["Dimensions"]:
                dimensions = tuple((name, line[name]) for name in sorted(names))
                sent |= {(one["Name"], dimensions) for one in directive["Metrics"]}
    watched = {
        (metric["MetricName"], tuple(sorted((one["Name"], one["Value"]) for one in metric["Dimensions"])))
        for resource in resolved(template, "s3").values()
        for metric in metrics_of(resource["Properties"])
        if metric["Namespace"] == NAMESPACE
    }
    assert watched
    assert watched <= sent, watched - sent


@pytest.mark.parametrize("case", [case for case in CASES if case.values], ids=lambda case: case.alarm)
def test_the_alarm_of_cloudwatch_goes_off_for_the_same_as_the_rule(case: Case) -> None:
    properties = resolved(cloudwatch.template("emf"), case.backend)[case.alarm]["Properties"]
    if None in case.values:
        assert properties["TreatMissingData"] == "breaching"
        return
    names = {f"m{place}": value for place, value in enumerate(case.values, 1)}
    expression = properties["Metrics"][0]["Expression"] if "Metrics" in properties else "m1"
    functions = {"IF": lambda condition, yes, no: yes() if condition else no(), "ABS": abs}
    python = re.sub(r"IF\((.*), (.*), (.*)\)", r"IF(\1, lambda: \2, lambda: \3)", expression)
    value = eval(python, {**functions, **names})
    breaches = {
        "GreaterThanThreshold": value > properties["Threshold"],
        "LessThanThreshold": value < properties["Threshold"],
    }
    assert breaches[properties["ComparisonOperator"]] is case.goes_off


@pytest.mark.parametrize("alarm", ALARMS, ids=lambda alarm: alarm.name)
def test_both_wait_for_the_same_time(alarm: Alarm) -> None:
    properties = resolved(cloudwatch.template("emf"), "s3")[alarm.name]["Properties"]
    metrics = [query["MetricStat"] for query in properties.get("Metrics", ()) if "MetricStat" in query]
    (period,) = {metric["Period"] for metric in metrics or [properties]}
    over = re.findall(r"\[(\d+)m\]", prometheus.expression(alarm))
    if over:
        assert {int(minutes) * 60 for minutes in over} == {period * properties["EvaluationPeriods"]}
    else:
        assert alarm.minutes * 60 == period * properties["EvaluationPeriods"]


def test_what_is_late_can_be_given() -> None:
    for form in ("emf", "otlp"):
        resources = resolved(cloudwatch.template(form), "s3", {"Late": 1234})
        assert "1234" in json.dumps(resources["ConsumerLate"])
    assert resolved(scaling.template(), "s3", {"Late": 1234})["IsLate"]["Properties"]["Threshold"] == 1234


def test_cloudwatchs_queries_look_back_for_minutes_and_miss_an_application_that_never_came() -> None:
    resources = resolved(cloudwatch.template("otlp"), "s3")
    queries = {
        alarm.name: resources[alarm.name]["Properties"]["EvaluationCriteria"]["PromQLCriteria"]["Query"]
        for alarm in ALARMS
    }
    ranges = [one for query in queries.values() for one in re.findall(r"\[(\w+)\]", query)]
    assert ranges
    assert all(one.endswith("m") for one in ranges)  # CloudWatch scans 24 hours at most
    assert queries["ConsumerSilent"].startswith("absent(")


@NEEDS_PROMTOOL
@pytest.mark.parametrize("backend", BACKENDS)
def test_cloudwatchs_queries_go_off_for_the_same_as_the_rules(backend: Backend, tmp_path: Path) -> None:
    resources = resolved(cloudwatch.template("otlp"), backend)
    rules = []
    for alarm in ALARMS:
        criteria = resources[alarm.name]["Properties"]["EvaluationCriteria"]["PromQLCriteria"]
        rules.append(
            {
                "alert": alarm.name,
                "expr": criteria["Query"],
                "for": f"{criteria['PendingPeriod']}s",
                "labels": {"severity": alarm.severity},
            }
        )
    written = tmp_path / "rules.json"
    written.write_text(json.dumps({"groups": [{"name": "consumer", "rules": rules}]}))
    run_rule_tests(written, [rule_test(case, {}) for case in CASES if case.backend == backend], tmp_path)


@pytest.mark.skipif(
    shutil.which("cfn-lint") is None, reason="cfn-lint is not installed (pip install cfn-lint)"
)
@pytest.mark.parametrize("name", TEMPLATES)
def test_cloudformation_takes_the_templates(name: str) -> None:
    without = ["--ignore-checks", "E3014"] if "otlp" in name else []  # it wants a metric also beside PromQL
    done = subprocess.run(
        ["cfn-lint", DEPLOY / name, *without],
        stdin=subprocess.DEVNULL,  # of which it would read a template
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_fits_into_a_request(name: str) -> None:
    assert (DEPLOY / name).stat().st_size <= 51_200  # bytes of TemplateBody


# ---- scaling ----


@pytest.mark.parametrize("backend", BACKENDS)
def test_ecs_takes_the_scaling_and_it_ends_at_the_open_shards(backend: Backend) -> None:
    resources = resolved(scaling.template(), backend)
    target = resources["Workers"]["Properties"]
    assert_taken("application-autoscaling", "RegisterScalableTarget", target)
    assert target["MaxCapacity"] == GIVEN["OpenShards"]
    by_comparison = {"Out": "GreaterThanThreshold", "In": "LessThanOrEqualToThreshold"}
    for alarm in ("IsLate", "IsInTime"):
        properties = resources[alarm]["Properties"]
        assert_taken("cloudwatch", "PutMetricAlarm", {"AlarmName": alarm, **properties})
        assert properties["Threshold"] == LATE_SECONDS[backend]
        assert properties["Statistic"] == "Maximum"
        (policy,) = (one.strip("<>") for one in properties["AlarmActions"])
        assert properties["ComparisonOperator"] == by_comparison[policy]
    for policy, change, bound in (("Out", 1, "LowerBound"), ("In", -1, "UpperBound")):
        properties = dict(resources[policy]["Properties"])
        assert properties.pop("ScalingTargetId") == "<Workers>"
        named = {name: target[name] for name in ("ServiceNamespace", "ScalableDimension", "ResourceId")}
        assert_taken("application-autoscaling", "PutScalingPolicy", {**properties, **named})
        steps = properties["StepScalingPolicyConfiguration"]["StepAdjustments"]
        assert steps == [{f"MetricInterval{bound}": 0, "ScalingAdjustment": change}]


# ---- names ----


def expressions() -> Iterator[str]:
    yield from map(prometheus.expression, ALARMS)
    for panel in (grafana.FRESHNESS, *grafana.OF_BACKEND):
        yield from (expression for _, expression in panel.queries)


def test_every_expression_names_metrics_and_labels_that_are_declared() -> None:
    declared: dict[str, set[str]] = {}
    for metric in METRICS:
        labels = {*COMMON_LABELS, *metric.labels}
        if metric.kind == "histogram":
            declared[f"{metric.name}_bucket"] = {*labels, "le"}
        else:
            declared[metric.name] = labels
    for expression in expressions():
        selectors = re.findall(r"(consumer_\w+)(?:\{([^}]*)\})?", expression)
        assert selectors, expression
        for name, matchers in selectors:
            assert name in declared, name
            assert set(re.findall(r"(\w+)=", matchers.replace("=~", "="))) <= declared[name], expression
        for labels in re.findall(r"by \(([^)]*)\)", expression):
            for name, _ in selectors:
                assert set(re.split(r",\s*", labels)) <= declared[name], expression
    states = {state for one in expressions() for state in re.findall(r'state="([^"]*)"', one)}
    assert states
    assert states <= {state.value for state in State}


@NEEDS_PROMTOOL
def test_prometheus_understands_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    rules = []
    for number, (_, expression) in enumerate(
        query for panel in (grafana.FRESHNESS, *grafana.OF_BACKEND) for query in panel.queries
    ):
        filled = expression
        for variable, value in GRAFANA_VARIABLES.items():
            filled = filled.replace(variable, value)
        assert "$" not in filled
        rules.append({"record": f"panel:{number}", "expr": filled})
    written = tmp_path / "rules.json"
    written.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", written)


def test_the_dashboard_begins_with_freshness_and_has_a_row_for_each_backend() -> None:
    made = grafana.dashboard()
    first, row, *others = made["panels"]
    assert "consumer_freshness_seconds" in first["targets"][0]["expr"]
    assert (row["type"], row["repeat"]) == ("row", "backend")
    assert {variable["name"] for variable in made["templating"]["list"]} == {
        "source",
        "application",
        "backend",
    }
    assert len({panel["id"] for panel in made["panels"]}) == len(made["panels"])
    assert all('backend="$backend"' in target["expr"] for panel in others for target in panel["targets"])
    placed = {
        (x, y)
        for panel in made["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    }
    areas = [panel["gridPos"]["w"] * panel["gridPos"]["h"] for panel in made["panels"]]
    assert len(placed) == sum(areas), "two panels lie on one another"
    assert max(x for x, _ in placed) < 24


# ---- the runbook ----


def test_the_runbook_says_of_every_alarm_what_it_means_and_what_to_do() -> None:
    runbook = (PROJECT_ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## (\S+)\n(.*?)(?=^#|\Z)", runbook, re.MULTILINE | re.DOTALL))
    alarms = {name for name in sections if name.startswith("Consumer")}
    assert alarms == {*BY_NAME, THROTTLED}
    for name in alarms:
        for part in ("**Means.**", "**Look at**", "**Do.**", "**Over**"):
            assert sections[name].count(part) == 1, (name, part)
    late = f"{LATE_SECONDS['s3']} s for S3, {LATE_SECONDS['bigquery']} s for BigQuery"
    assert late in sections["ConsumerLate"]
    for alarm in ALARMS:
        wait = {0: "", 1: ", after a minute", 60: ", after an hour"}.get(
            alarm.minutes, f", after {alarm.minutes} minutes"
        )
        first = sections[alarm.name].strip().partition("\n")[0]
        assert first == f"{alarm.severity.capitalize()}{wait}.", alarm.name
