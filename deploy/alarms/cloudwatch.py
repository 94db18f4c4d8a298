"""The alarms of CloudWatch, as templates of CloudFormation, one for each form in which metrics get there:

python -m deploy.alarms.cloudwatch emf > deploy/cloudwatch/alarms.yml
python -m deploy.alarms.cloudwatch otlp > deploy/cloudwatch/alarms-otlp.yml
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from consumer.daemon.metrics.emf import NAMESPACE
from consumer.settings import BACKENDS
from deploy.alarms.table import (
    ALARMS,
    HALF_OF_RETENTION_SECONDS,
    LATE,
    LATE_SECONDS,
    THROTTLED,
    THROTTLED_MEANS,
    THROTTLED_METRIC,
    Alarm,
    Classic,
    Scope,
    Watched,
)
from deploy.alarms.yaml import document

RUNBOOK = "docs/runbook.md"
EVALUATION_SECONDS = 60
DIMENSIONS = {"application": {"Ref": "Application"}, "backend": {"Ref": "Backend"}}
LATE_OR_DEFAULT = {
    "Fn::If": [
        "LateIsGiven",
        {"Ref": "Late"},
        {"Fn::FindInMap": ["LateSeconds", {"Ref": "Backend"}, "Default"]},
    ]
}
_THRESHOLDS = {"Late": LATE_OR_DEFAULT, "HalfOfRetention": {"Ref": "HalfOfRetention"}}
_READS_REFUSED = "ReadsRefused"


def template(form: str) -> dict[str, Any]:
    """For the metrics of one application, that are there by `emf` or by `otlp`."""
    source, criteria = _FORMS[form]
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"Alarms of one application of the consumer, on metrics that CloudWatch has by {source}",
        "Parameters": PARAMETERS,
        "Mappings": LATE_MAPPINGS,
        "Conditions": LATE_CONDITIONS,
        "Resources": {alarm.name: _alarm(alarm, criteria(alarm)) for alarm in ALARMS} | _throttled(),
    }


APPLICATION_PARAMETERS: dict[str, Any] = {
    "Application": {"Type": "String", "Description": "applicationName"},
    "Backend": {"Type": "String", "AllowedValues": list(BACKENDS)},
    "Late": {
        "Type": "Number",
        "Default": 0,
        "Description": "Seconds of freshness that are late; 0 for what fits the default of chunk.window",
    },
}
PARAMETERS: dict[str, Any] = APPLICATION_PARAMETERS | {
    "StreamName": {"Type": "String", "Description": "streamName"},
    "PageTopic": {"Type": "String", "Description": "ARN of the SNS topic that wakes someone"},
    "TicketTopic": {"Type": "String", "Description": "ARN of the SNS topic that is read in the morning"},
    "HalfOfRetention": {
        "Type": "Number",
        "Default": HALF_OF_RETENTION_SECONDS,
        "Description": "Half of the stream's retention, in seconds",
    },
}
LATE_MAPPINGS = {"LateSeconds": {backend: {"Default": seconds} for backend, seconds in LATE_SECONDS.items()}}
LATE_CONDITIONS = {"LateIsGiven": {"Fn::Not": [{"Fn::Equals": [{"Ref": "Late"}, "0"]}]}}


def _named(name: str, means: str, topic: str) -> dict[str, Any]:
    action = [{"Ref": topic}]
    return {
        "AlarmName": {"Fn::Sub": f"${{Application}}-{name}"},
        "AlarmDescription": f"{means} {RUNBOOK}#{name.lower()}",
        "AlarmActions": action,
        "OKActions": action,
    }


def _alarm(alarm: Alarm, criteria: Mapping[str, Any]) -> dict[str, Any]:
    topic = "PageTopic" if alarm.severity == "page" else "TicketTopic"
    return {
        "Type": "AWS::CloudWatch::Alarm",
        "Properties": {**_named(alarm.name, alarm.means, topic), **criteria},
    }


def _throttled() -> dict[str, Any]:
    """An alarm without an action on what Kinesis tells, and one for when the application is late as well."""
    refused = {
        "AlarmName": {"Fn::Sub": f"${{Application}}-{_READS_REFUSED}"},
        "AlarmDescription": f"The stream refuses reads. Tells nobody: {THROTTLED} does.",
        "Namespace": "AWS/Kinesis",
        "MetricName": THROTTLED_METRIC,
        "Dimensions": dimensions({"StreamName": {"Ref": "StreamName"}}),
        "Statistic": "Sum",
        "Period": 60,
        "EvaluationPeriods": 5,
        "DatapointsToAlarm": 3,
        "Threshold": 0,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching",
    }
    both = f'ALARM("${{Application}}-{_READS_REFUSED}") AND ALARM("${{Application}}-{LATE.name}")'
    return {
        _READS_REFUSED: {"Type": "AWS::CloudWatch::Alarm", "Properties": refused},
        THROTTLED: {
            "Type": "AWS::CloudWatch::CompositeAlarm",
            "DependsOn": [_READS_REFUSED, LATE.name],
            "Properties": {
                **_named(THROTTLED, THROTTLED_MEANS, "TicketTopic"),
                "AlarmRule": {"Fn::Sub": both},
            },
        },
    }


def dimensions(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """As CloudFormation wants them."""
    return [{"Name": name, "Value": value} for name, value in values.items()]


def _metric(watched: Watched) -> dict[str, Any]:
    state = {} if watched.state is None else {"state": watched.state.value}
    return {
        "Namespace": NAMESPACE,
        "MetricName": watched.metric,
        "Dimensions": dimensions(DIMENSIONS | state),
    }


def _of_emf(alarm: Alarm) -> dict[str, Any]:
    classic = alarm.classic
    return {
        **_watched(classic),
        "EvaluationPeriods": classic.periods,
        "Threshold": _THRESHOLDS[classic.threshold]
        if isinstance(classic.threshold, str)
        else classic.threshold,
        "ComparisonOperator": classic.comparison,
        "TreatMissingData": classic.missing,
    }


def _watched(classic: Classic) -> dict[str, Any]:
    if classic.expression is None:
        (watched,) = classic.watched
        return {
            **_metric(watched),
            "Statistic": watched.statistic,
            "Period": classic.period_seconds,
        }
    queries = [
        {
            "Id": f"m{place}",
            "MetricStat": {
                "Metric": _metric(watched),
                "Period": classic.period_seconds,
                "Stat": watched.statistic,
            },
            "ReturnData": False,
        }
        for place, watched in enumerate(classic.watched, 1)
    ]
    return {"Metrics": [{"Id": "value", "Expression": classic.expression}, *queries]}


def _of_otlp(alarm: Alarm) -> dict[str, Any]:
    scope = Scope(
        matchers=('application="${Application}"', 'backend="${Backend}"'),
        late_seconds="${LateSeconds}",
        half_of_retention_seconds="${HalfOfRetention}",
        named=True,
    )
    query = alarm.promql(scope)
    variables = [{"LateSeconds": LATE_OR_DEFAULT}] if "${LateSeconds}" in query else []
    text = {"Fn::Sub": [query, *variables] if variables else query}
    return {
        "EvaluationCriteria": {
            "PromQLCriteria": {
                "Query": text,
                "PendingPeriod": alarm.minutes * 60,
                "RecoveryPeriod": alarm.minutes * 60,
            }
        },
        "EvaluationInterval": EVALUATION_SECONDS,
    }


_FORMS: dict[str, tuple[str, Callable[[Alarm], dict[str, Any]]]] = {
    "emf": ("lines of the embedded metric format (metrics.emf)", _of_emf),
    "otlp": ("OTLP (metrics.otlp_endpoint = cloudwatch)", _of_otlp),
}


def page(form: str) -> str:
    """The whole file."""
    return document(
        template(form), f"Made from deploy/alarms/table.py by python -m deploy.alarms.cloudwatch {form}"
    )


if __name__ == "__main__":
    sys.stdout.write(page(sys.argv[1]))
