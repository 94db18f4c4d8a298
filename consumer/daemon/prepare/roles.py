"""The role with which the stream is read, when that is not the daemon's own."""

from __future__ import annotations

from consumer.settings import Settings

_LONGEST_SESSION = 64
"""https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html"""


def role_session(settings: Settings) -> str:
    """The name under which the other account's log shows the daemon: its application."""
    return settings.text("applicationName")[:_LONGEST_SESSION].ljust(2, "-")


def assume_role_request(settings: Settings) -> dict[str, str] | None:
    """Arguments of AssumeRole; None where the daemon reads the stream as itself."""
    role = settings.optional_text("kinesis.role_arn")
    if role is None:
        return None
    request = {"RoleArn": role, "RoleSessionName": role_session(settings)}
    external_id = settings.optional_text("kinesis.role_external_id")
    return request if external_id is None else {**request, "ExternalId": external_id}
