"""Whether and how what goes to BigQuery is packed: egress from AWS costs more than the CPU time of a fast gzip."""

from isal import isal_zlib

from consumer.settings import Settings
from consumer.sinks.json.lines import GZIP_WINDOW_BITS

WORTH_IT_BYTES = 1024
"""What is smaller goes in one packet anyway."""


def compresses(settings: Settings, endpoint: str) -> bool:
    """`endpoint` is the setting that names another than Google's."""
    chosen = settings.text("bigquery.compression")
    return chosen == "gzip" or (chosen == "auto" and settings.optional_text(endpoint) is None)


def pack(body: bytes | bytearray) -> bytes:
    return isal_zlib.compress(body, level=1, wbits=GZIP_WINDOW_BITS)
