"""What BigQuery's rows take in memory."""

from consumer.domain.chunks import Footprint
from consumer.settings import Settings

_COPIES = 4
"""A row stands beside its record: it holds the record with escapes, and is copied on its way out."""

_ROW_BYTES, _METADATA_BYTES = 300, 250
"""A row's identity and what the request has around it; the metadata columns with their names."""


def footprint(settings: Settings) -> Footprint:
    metadata = _METADATA_BYTES if settings.flag("bigquery.metadata_columns") else 0
    return Footprint(made_of_byte=_COPIES, made_of_record=_ROW_BYTES + metadata)
