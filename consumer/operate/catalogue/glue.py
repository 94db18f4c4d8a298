"""The Glue Data Catalog: databases and tables, as Athena finds them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from botocore.exceptions import ClientError

from consumer.daemon.prepare.aws import FORBIDDEN, Service, ask, client, code_of
from consumer.daemon.prepare.preparation import Mendable, Unusable
from consumer.daemon.prepare.rights import advice, refused_actions
from consumer.operate.errors import Refused
from consumer.settings import Settings

_MISSING = "EntityNotFoundException"
_CHANGED = frozenset(
    ("AlreadyExistsException", "ConcurrentModificationException", "VersionMismatchException", _MISSING)
)
_LAKE_FORMATION = "Lake Formation"
"""Refuses for grants of its own, which no policy of IAM gives."""


def glue_service(settings: Settings) -> Service:
    """In the region of the bucket, which is where Athena reads it."""
    return Service(
        name="Glue",
        endpoint_key="AWS_ENDPOINT_URL_GLUE",
        endpoint=None,
        region_key="s3.region",
        region=settings.text("s3.region"),
    )


class Catalogue:
    """Calls block and raise Trouble."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._service = glue_service(settings)
        self._glue = client(self._service)

    @property
    def members(self) -> Collection[str]:
        """Of a TableInput."""
        found: Collection[str] = self._glue.meta.service_model.shape_for("TableInput").members
        return found

    def has_database(self, name: str) -> bool:
        return self._found(lambda: self._glue.get_database(Name=name)) is not None

    def table(self, database: str, name: str) -> Mapping[str, Any] | None:
        """The Table of GetTable's answer; None where it, or its database, is not there."""
        found = self._found(lambda: self._glue.get_table(DatabaseName=database, Name=name))
        return None if found is None else found["Table"]

    def create_database(self, name: str) -> None:
        self._changed(lambda: self._glue.create_database(DatabaseInput={"Name": name}))

    def create_table(self, database: str, table_input: Mapping[str, Any]) -> None:
        """Raises Refused where one was made meanwhile."""
        self._changed(lambda: self._glue.create_table(DatabaseName=database, TableInput=table_input))

    def update_table(self, database: str, table_input: Mapping[str, Any], version: str | None) -> None:
        """Raises Refused where it has another version by now. The former version stays in Glue."""
        known = {} if version is None else {"VersionId": version}
        self._changed(lambda: self._glue.update_table(DatabaseName=database, TableInput=table_input, **known))

    def _found(self, question: Callable[[], Any]) -> Any:
        try:
            return ask(question, self._service)
        except ClientError as error:
            if code_of(error) == _MISSING:
                return None
            raise self._refusal(error) from error

    def _changed(self, call: Callable[[], Any]) -> None:
        try:
            ask(call, self._service)
        except ClientError as error:
            if code_of(error) in _CHANGED:
                raise Refused(
                    f"somebody else has changed the catalogue meanwhile: start this again ({error})"
                ) from error
            raise self._refusal(error) from error

    def _refusal(self, error: ClientError) -> Unusable:
        """One line for what Glue refuses."""
        if code_of(error) in FORBIDDEN and _LAKE_FORMATION not in str(error):
            actions = refused_actions(error, f"glue:{error.operation_name}")
            return Mendable(f"Glue: not allowed: {advice(self._settings, *actions)}")
        return Unusable(f"Glue: {error}")
