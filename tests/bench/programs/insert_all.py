"""insertAll by Google's client, as straightforward programs call it."""

import json
from typing import TYPE_CHECKING

from google.auth.credentials import AnonymousCredentials

if TYPE_CHECKING:
    from google.cloud import bigquery

type Row = dict[str, str]

DATASET = "project.dataset"


def client(url: str) -> "bigquery.Client":
    from google.cloud import bigquery

    return bigquery.Client(
        project="project",
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
        client_options={"api_endpoint": url},
    )


def row(data: bytes) -> Row:
    """The row of a record, of the shape `bigquery.row = log`."""
    text = data.decode()
    log = json.loads(text)
    return {"player_id": log["player_id"], "time": log["time"], "log": text}
