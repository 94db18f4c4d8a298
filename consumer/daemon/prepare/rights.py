"""What the daemon has to be allowed, by backend and setting: the one table of it.

Messages about a missing right are made from it. Tests hold it against the calls that are made, and the policies in
deploy/ and docs/permissions.md against it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from consumer.settings import BACKENDS, Backend, Settings
from consumer.sinks.aws import error_code

ROLE = "google/role.json"
"""Google's role of a daemon with the settings as they are shipped."""
LATER = "gcloud iam roles update"
"""The command of docs/ec2.md that adds the rest to it."""

_PAGE = "docs/permissions.md"
_NAMED = re.compile(r"not authorized to perform: ([\w-]+:\w+)|\b(bigquery\.(?:datasets|jobs|tables)\.\w+)")
"""In most refusals of AWS: "User: … is not authorized to perform: kms:GenerateDataKey on resource: …"; of Google:
"Permission bigquery.tables.get denied on …", or "User does not have bigquery.jobs.create permission in …"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """Actions on one resource, and what asks for them.

    It is wanted where one of the settings `keys` has one of `values`, or any but false where these are empty; always
    without keys. `outside` is what asks for it that no setting tells.
    """

    actions: tuple[str, ...]
    on: str
    granted_by: str
    keys: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    outside: str = ""
    backends: tuple[Backend, ...] = BACKENDS

    def is_wanted(self, settings: Settings) -> bool:
        """Whether the settings say that the daemon needs it; never for what only the world outside tells."""
        if settings.backend not in self.backends or self.outside:
            return False
        return not self.keys or self.key_of(settings) is not None

    def key_of(self, settings: Settings) -> str | None:
        """The setting that asks for it, if any does."""
        for key in self.keys if settings.backend in self.backends else ():
            value = settings[key]
            if value in self.values if self.values else value not in (None, False):
                return key
        return None


_READ = (
    "kinesis:DescribeStreamSummary",
    "kinesis:GetRecords",
    "kinesis:GetShardIterator",
    "kinesis:ListShards",
)
_KEEP = tuple(
    f"dynamodb:{operation}"
    for operation in (
        "CreateTable",
        "DeleteItem",
        "DescribeTable",
        "GetItem",
        "PutItem",
        "Scan",
        "UpdateItem",
    )
)
_OWN = "iam/BACKEND.json"
_BIGQUERY: tuple[Backend, ...] = ("bigquery",)
_S3: tuple[Backend, ...] = ("s3",)

RIGHTS = (
    Right(actions=_READ, on="the stream", granted_by=_OWN),
    Right(
        actions=("sts:AssumeRole",),
        on="the role that reads the stream",
        granted_by="iam/assume-role.json",
        keys=("kinesis.role_arn",),
    ),
    Right(
        actions=("kms:Decrypt",),
        on="the key of the stream",
        granted_by="iam/stream-kms.json",
        outside="a stream that is encrypted with a key of yours",
    ),
    Right(
        actions=("kinesis:DescribeStreamConsumer", "kinesis:RegisterStreamConsumer"),
        on="the stream and its consumers",
        granted_by="iam/fanout.json",
        keys=("retrievalMode",),
        values=("FANOUT", "DEFAULT"),
    ),
    Right(
        actions=("kinesis:SubscribeToShard",),
        on="the stream's consumers",
        granted_by="iam/fanout.json",
        keys=("retrievalMode",),
        values=("FANOUT", "DEFAULT"),
    ),
    Right(actions=_KEEP, on="the KCL's three tables", granted_by=_OWN),
    Right(actions=("dynamodb:UpdateTable",), on="the lease table", granted_by=_OWN),
    Right(
        actions=("dynamodb:Query",),
        on="the lease table's index LeaseOwnerToLeaseKeyIndex",
        granted_by=_OWN,
    ),
    Right(
        actions=("dynamodb:TagResource",),
        on="the KCL's tables of load and coordinator",
        granted_by="iam/table-options.json",
        keys=("workerMetricsTags", "coordinatorStateTags"),
    ),
    Right(
        actions=("dynamodb:UpdateContinuousBackups",),
        on="the KCL's three tables",
        granted_by="iam/table-options.json",
        keys=(
            "leaseTablePitrEnabled",
            "workerMetricsPointInTimeRecoveryEnabled",
            "coordinatorStatePointInTimeRecoveryEnabled",
        ),
    ),
    Right(
        actions=("cloudwatch:PutMetricData",),
        on="metrics of the namespace applicationName",
        granted_by=_OWN,
        keys=("metricsLevel",),
        values=("SUMMARY", "DETAILED"),
    ),
    Right(
        actions=("cloudwatch:PutMetricData",),
        on="metrics by OTLP, which have no namespace",
        granted_by="iam/metrics.json",
        keys=("metrics.otlp_endpoint",),
        values=("cloudwatch",),
    ),
    Right(actions=("s3:PutObject",), on="objects below s3.prefix", granted_by=_OWN, backends=_S3),
    Right(actions=("s3:PutObject",), on="objects below deadletter.prefix", granted_by=_OWN),
    Right(actions=("s3:ListBucket",), on="the buckets", granted_by=_OWN),
    Right(
        actions=("s3:DeleteObject", "s3:GetObject"), on="objects of bin/check below _check/", granted_by=_OWN
    ),
    Right(
        actions=("s3:PutObjectTagging",),
        on="objects below s3.prefix",
        granted_by="iam/tags.json",
        keys=("s3.tags",),
        backends=_S3,
    ),
    Right(
        actions=("kms:Decrypt", "kms:GenerateDataKey"),
        on="the key of the objects",
        granted_by="iam/kms.json",
        keys=("s3.sse",),
        values=("aws:kms", "aws:kms:dsse"),
    ),
    Right(
        actions=("kms:Decrypt", "kms:GenerateDataKey"),
        on="the key of the objects",
        granted_by="iam/kms.json",
        outside="a bucket whose default encryption is a KMS key",
    ),
    Right(
        actions=("secretsmanager:GetSecretValue",),
        on="the secret with the key of pseudonyms",
        granted_by="iam/pseudonyms.json",
        outside="a transform that calls key_from_secret",
    ),
    Right(
        actions=(
            "glue:CreateDatabase",
            "glue:CreateTable",
            "glue:GetDatabase",
            "glue:GetTable",
            "glue:UpdateTable",
        ),
        on="the Glue Data Catalog, the database and its table",
        granted_by="iam/catalogue.json",
        outside="bin/athena-ddl --register",
        backends=_S3,
    ),
    Right(
        actions=(
            "dynamodb:CreateTable",
            "dynamodb:DeleteItem",
            "dynamodb:DescribeTable",
            "dynamodb:PutItem",
            "dynamodb:Query",
            "dynamodb:Scan",
            "dynamodb:UpdateItem",
        ),
        on="bigquery.positions_table",
        granted_by=_OWN,
        keys=("bigquery.method",),
        values=("storage_write",),
        backends=_BIGQUERY,
    ),
    Right(
        actions=("bigquery.datasets.create", "bigquery.datasets.get"),
        on="the project and the dataset",
        granted_by=ROLE,
        backends=_BIGQUERY,
    ),
    Right(
        actions=("bigquery.tables.create", "bigquery.tables.get", "bigquery.tables.updateData"),
        on="the dataset",
        granted_by=ROLE,
        backends=_BIGQUERY,
    ),
    Right(
        actions=("bigquery.tables.update",),
        on="the dataset",
        granted_by=LATER,
        keys=("bigquery.add_columns",),
        backends=_BIGQUERY,
    ),
    Right(
        actions=("bigquery.tables.getData", "bigquery.tables.update"),
        on="the dataset",
        granted_by=LATER,
        keys=("bigquery.view",),
        backends=_BIGQUERY,
    ),
    Right(
        actions=("bigquery.jobs.create",),
        on="the project",
        granted_by=LATER,
        keys=("bigquery.method",),
        values=("load",),
        backends=_BIGQUERY,
    ),
    Right(
        actions=("bigquery.tables.update",),
        on="the dataset",
        granted_by=LATER,
        keys=("bigquery.method",),
        values=("load",),
        backends=_BIGQUERY,
    ),
    Right(
        actions=("iam.serviceAccounts.getAccessToken",),
        on="the service account (roles/iam.workloadIdentityUser)",
        granted_by="gcloud iam service-accounts add-iam-policy-binding",
        keys=("bigquery.service_account",),
        backends=_BIGQUERY,
    ),
)


def advice(settings: Settings, *actions: str) -> str:
    """What to grant, for a message: each action with the setting that asks for it, where one does."""
    return f"give the role {' and '.join(_with_setting(settings, action) for action in actions)} ({_PAGE})"


def _with_setting(settings: Settings, action: str) -> str:
    rights = [right for right in RIGHTS if action in right.actions]
    keys = [key for right in rights if (key := right.key_of(settings)) is not None]
    if keys:
        return f"{action} (for {keys[0]})"
    if any(right.is_wanted(settings) for right in rights):
        return action
    return next((f"{action} (for {right.outside})" for right in rights if right.outside), action)


def put_actions(settings: Settings, key: str) -> list[str]:
    """What a put of an object into the bucket of setting `key` needs, as far as the settings tell."""
    actions = ["s3:PutObject"]
    if key == "s3.bucket" and settings["s3.tags"] is not None:
        actions.append("s3:PutObjectTagging")
    if settings["s3.sse"] not in (None, "AES256"):
        actions.append("kms:GenerateDataKey")
    return actions


def refused_actions(error: Exception, *otherwise: str) -> tuple[str, ...]:
    """The action that a service says is not allowed; `otherwise` where it names none."""
    if error_code(error) == "KMSAccessDeniedException":
        return ("kms:Decrypt",)
    named = _NAMED.search(str(error))
    return (named[1] or named[2],) if named else otherwise
