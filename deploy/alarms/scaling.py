"""Scaling of an ECS service by freshness: python -m deploy.alarms.scaling > deploy/ecs/scaling.yml

Steps, and no target tracking: freshness does not fall in proportion to workers. One worker more where the application
has been late for minutes, one less where it has been in time for an hour, never more than the stream has open shards,
since one shard is read by one worker.
"""

from __future__ import annotations

import sys
from typing import Any

from consumer.daemon.metrics.emf import NAMESPACE
from deploy.alarms.cloudwatch import (
    APPLICATION_PARAMETERS,
    DIMENSIONS,
    LATE_CONDITIONS,
    LATE_MAPPINGS,
    LATE_OR_DEFAULT,
    dimensions,
)
from deploy.alarms.table import LATE
from deploy.alarms.yaml import document

_HEAD = "Made from deploy/alarms/table.py by python -m deploy.alarms.scaling"
LATE_MINUTES = LATE.minutes
IN_TIME_MINUTES = 60
COOLDOWN_SECONDS = {"Out": 600, "In": 3600}
"""A worker that has come needs minutes to get shards and to catch up; one that has gone costs its shards a minute."""


def template() -> dict[str, Any]:
    """For one service. Its metrics have to be there by EMF: Application Auto Scaling knows no others."""
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "Scales an ECS service of the consumer by the maximum of freshness, up to the open shards",
        "Parameters": {
            **APPLICATION_PARAMETERS,
            "Cluster": {"Type": "String"},
            "Service": {"Type": "String", "Description": "Of tasks that have no worker.id"},
            "OpenShards": {
                "Type": "Number",
                "MinValue": 1,
                "Description": "Open shards of the stream: more workers would have nothing to read",
            },
        },
        "Mappings": LATE_MAPPINGS,
        "Conditions": LATE_CONDITIONS,
        "Resources": {
            "Workers": {
                "Type": "AWS::ApplicationAutoScaling::ScalableTarget",
                "Properties": {
                    "ServiceNamespace": "ecs",
                    "ScalableDimension": "ecs:service:DesiredCount",
                    "ResourceId": {"Fn::Sub": "service/${Cluster}/${Service}"},
                    "MinCapacity": 1,
                    "MaxCapacity": {"Ref": "OpenShards"},
                },
            },
            "Out": _policy("Out", 1, "MetricIntervalLowerBound"),
            "In": _policy("In", -1, "MetricIntervalUpperBound"),
            "IsLate": _alarm("Out", "GreaterThanThreshold", LATE_MINUTES),
            "IsInTime": _alarm("In", "LessThanOrEqualToThreshold", IN_TIME_MINUTES),
        },
    }


def _policy(name: str, workers: int, bound: str) -> dict[str, Any]:
    return {
        "Type": "AWS::ApplicationAutoScaling::ScalingPolicy",
        "Properties": {
            "PolicyName": {"Fn::Sub": f"${{Service}}-{name}"},
            "PolicyType": "StepScaling",
            "ScalingTargetId": {"Ref": "Workers"},
            "StepScalingPolicyConfiguration": {
                "AdjustmentType": "ChangeInCapacity",
                "Cooldown": COOLDOWN_SECONDS[name],
                "MetricAggregationType": "Maximum",
                "StepAdjustments": [{bound: 0, "ScalingAdjustment": workers}],
            },
        },
    }


def _alarm(policy: str, comparison: str, minutes: int) -> dict[str, Any]:
    """A missing sample moves nothing: nobody knows then how many workers are needed."""
    return {
        "Type": "AWS::CloudWatch::Alarm",
        "Properties": {
            "AlarmDescription": {"Fn::Sub": f"Scales ${{Service}} {policy.lower()}; nobody has to act"},
            "Namespace": NAMESPACE,
            "MetricName": "consumer_freshness_seconds",
            "Dimensions": dimensions(DIMENSIONS),
            "Statistic": "Maximum",
            "Period": 60,
            "EvaluationPeriods": minutes,
            "Threshold": LATE_OR_DEFAULT,
            "ComparisonOperator": comparison,
            "TreatMissingData": "ignore",
            "AlarmActions": [{"Ref": policy}],
        },
    }


def page() -> str:
    """The whole file."""
    return document(template(), _HEAD)


if __name__ == "__main__":
    sys.stdout.write(page())
