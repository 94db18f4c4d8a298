"""What requests to the embedded BigQuery cost by REST, and what is sent to Google at all."""

import gzip
import re
import threading
import zlib

import msgspec

from consumer.local.bill.layer import Exchange
from consumer.local.bill.meter import Meter
from consumer.local.bill.sizes import Columns, Field, columns, json_row_bytes

ROW_MINIMUM_BYTES = 1024
"""Of insertAll: https://cloud.google.com/bigquery/pricing#data_ingestion_pricing"""

_QUERY = re.compile(r".*/queries(/[^/]+)?")
"""What the tools ask, and the daemon does not."""

_INSERT = re.compile(r".*/tables/(?P<table>[^/]+)/insertAll")
_UPLOAD = re.compile(r"/upload/.*")
_GZIP = b"\x1f\x8b\x08"
_find_table = re.compile(rb'"tableId"\s*:\s*"(?P<table>[^"]+)"').search


class _Table(msgspec.Struct):
    class Reference(msgspec.Struct):
        table: str = msgspec.field(name="tableId")

    class Schema(msgspec.Struct):
        fields: list[Field] = []

    reference: Reference = msgspec.field(name="tableReference")
    schema: Schema = msgspec.field(default_factory=Schema)


class _Row(msgspec.Struct):
    json: dict[str, msgspec.Raw]


class _Rows(msgspec.Struct):
    rows: list[_Row]


class _Refused(msgspec.Struct):
    index: int


class _InsertAnswer(msgspec.Struct):
    errors: list[_Refused] = msgspec.field(name="insertErrors", default_factory=list)


_decode_table = msgspec.json.Decoder(_Table).decode
_decode_rows = msgspec.json.Decoder(_Rows).decode
_decode_answer = msgspec.json.Decoder(_InsertAnswer).decode
_decode_line = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Tables:
    """The columns of tables, by name, as answers have told them. Safe to call from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._columns: dict[str, Columns] = {}

    def learn(self, answer: bytes) -> None:
        try:
            table = _decode_table(answer)
        except msgspec.DecodeError:  # a list of tables, or of something else
            return
        with self._lock:
            self._columns[table.reference.table] = columns(table.schema.fields)

    def columns_of(self, table: str) -> Columns:
        with self._lock:
            return self._columns.get(table, {})


class BigQuery:
    """Counts exchanges by REST."""

    def __init__(self, meter: Meter, tables: Tables) -> None:
        self._meter = meter
        self._tables = tables
        self._uploads: dict[str, str] = {}
        """Tables by the uploads in which their files are to come."""

    def account(self, exchange: Exchange) -> None:
        if _QUERY.fullmatch(exchange.path):
            return
        self._meter.add(
            google_sent_bytes=exchange.sent_bytes(),
            google_received_bytes=exchange.received_bytes(),
            google_unsigned_requests=0 if exchange.header(b"authorization") else 1,
        )
        if exchange.status != 200:
            return
        if inserted := _INSERT.fullmatch(exchange.path):
            self._insert(inserted["table"], exchange)
        elif _UPLOAD.fullmatch(exchange.path):
            self._upload(exchange)
        elif "/tables" in exchange.path:
            self._tables.learn(exchange.answer_body)

    def _insert(self, table: str, exchange: Exchange) -> None:
        body = exchange.body
        rows = _decode_rows(gzip.decompress(body) if body.startswith(_GZIP) else body).rows
        refused = {error.index for error in _decode_answer(exchange.answer_body).errors}
        known = self._tables.columns_of(table)
        sizes = [json_row_bytes(row.json, known) for index, row in enumerate(rows) if index not in refused]
        self._meter.add(
            insert_all_rows=len(sizes),
            insert_all_bytes=sum(max(size, ROW_MINIMUM_BYTES) for size in sizes),
            bigquery_stored_bytes=sum(sizes),
        )

    def _upload(self, exchange: Exchange) -> None:
        """A load job with its file, or one whose file comes to the address of the answer."""
        job, magic, file = exchange.body.partition(_GZIP)
        named = _find_table(job)
        table = named["table"].decode() if named else self._uploads.pop(_upload_id(exchange.query), "")
        if not magic:
            self._uploads[_upload_id(exchange.answer_header(b"location"))] = table
            return
        known = self._tables.columns_of(table)
        lines = _unpacked(magic + file).splitlines()
        self._meter.add(
            load_jobs=1,
            load_rows=len(lines),
            load_bytes=len(magic) + len(file),
            bigquery_stored_bytes=sum(json_row_bytes(_decode_line(line), known) for line in lines),
        )


def _upload_id(query: str) -> str:
    return query.rpartition("upload_id=")[2].partition("&")[0]


def _unpacked(packed: bytes) -> bytes:
    """Whatever stands behind the end of the file."""
    return zlib.decompressobj(wbits=31).decompress(packed)
