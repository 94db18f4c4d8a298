"""One bucket, as the commands use it: whole objects, conditional writes, transient errors waited out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, BinaryIO

from consumer.domain.errors import DeliveryError, SetupError
from consumer.operate.patience import Patience
from consumer.sinks.aws import AWS_ERRORS, delivery_error, error_code

ABSENT = ""
"""In place of an ETag: where no object is."""

_CONFLICTS = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412", "409"})
_UNKNOWN = frozenset({"NotImplemented", "501"})
_MISSING = frozenset({"NoSuchKey", "404"})


class Changed(Exception):
    """Somebody else has written the object meanwhile."""


@dataclass(frozen=True, slots=True)
class Stored:
    body: bytes = field(repr=False)
    etag: str
    modified: datetime


@dataclass(frozen=True, slots=True)
class Listed:
    key: str
    size: int
    modified: datetime
    etag: str = ""


class Bucket:
    """`setting` is the one that names it, for errors; every method raises DeliveryError."""

    def __init__(
        self, client: Any, name: str, *, setting: str, put_options: Mapping[str, str], patience: Patience
    ) -> None:
        self._client = client
        self.name = name
        self._setting = setting
        self._put_options = dict(put_options)
        self._patience = patience
        self.conditional = True
        """Whether the store takes conditions."""

    def days(self, prefix: str) -> list[str]:
        """The days of the objects `<prefix>dt=YYYY-MM-DD/…`, in order."""
        found = self._pages(f"{prefix}dt=", "/")
        return sorted(
            one["Prefix"].rstrip("/").rpartition("dt=")[2]
            for page in found
            for one in page.get("CommonPrefixes", ())
        )

    def folders(self, prefix: str) -> list[str]:
        """The names of the folders right beneath the prefix, in order."""
        found = self._pages(prefix, "/")
        return [one["Prefix"][len(prefix) : -1] for page in found for one in page.get("CommonPrefixes", ())]

    def objects(self, prefix: str) -> Iterator[Listed]:
        """In the order of their keys."""
        for page in self._pages(prefix, None):
            for one in page.get("Contents", ()):
                yield Listed(one["Key"], one["Size"], one["LastModified"], one["ETag"])

    def get(self, key: str) -> Stored | None:
        """None where there is none."""

        def read() -> Stored:
            answer = self._client.get_object(Bucket=self.name, Key=key)
            return Stored(answer["Body"].read(), answer["ETag"], answer["LastModified"])

        return self._unless_missing(read)

    def get_each(self, keys: Iterable[str], *, at_once: int) -> Iterator[tuple[str, Stored | None]]:
        """As `get`, in order, with so many on their way while one is looked at."""
        coming: deque[tuple[str, Future[Stored | None]]] = deque()
        with ThreadPoolExecutor(at_once) as pool:
            for key in keys:
                coming.append((key, pool.submit(self.get, key)))
                if len(coming) > at_once:
                    first, stored = coming.popleft()
                    yield first, stored.result()
            for first, stored in coming:
                yield first, stored.result()

    def size(self, key: str) -> int | None:
        """Of the object that is there, in bytes."""
        return self._unless_missing(
            lambda: int(self._client.head_object(Bucket=self.name, Key=key)["ContentLength"])
        )

    def etag(self, key: str) -> str | None:
        """Of the object that is there."""
        return self._unless_missing(lambda: str(self._client.head_object(Bucket=self.name, Key=key)["ETag"]))

    def put(
        self,
        key: str,
        body: bytes | BinaryIO,
        *,
        match: str | None = None,
        options: Mapping[str, str] | None = None,
    ) -> str:
        """Returns the ETag. A file is put from its start. `match` is the ETag of the object that may be replaced,
        ABSENT for none; raises Changed where there is another one by now."""
        condition: dict[str, str] = {}
        if match is not None:
            condition = {"IfNoneMatch": "*"} if match == ABSENT else {"IfMatch": match}
        return str(
            self._conditionally(
                lambda asked: self._client.put_object(
                    Bucket=self.name,
                    Key=key,
                    Body=body if isinstance(body, bytes) else _rewound(body),
                    **(self._put_options if options is None else options),
                    **asked,
                ),
                key,
                condition,
            )["ETag"]
        )

    def delete(self, key: str, *, match: str | None = None) -> None:
        """`match` is the ETag of the object that may go; raises Changed where there is another one by now."""
        self._conditionally(
            lambda asked: self._client.delete_object(Bucket=self.name, Key=key, **asked),
            key,
            {} if match is None else {"IfMatch": match},
        )

    def _conditionally[T](
        self, call: Callable[[dict[str, str]], T], key: str, condition: dict[str, str]
    ) -> T:
        asked = condition if self.conditional else {}
        try:
            return self._asked(lambda: call(asked))
        except _Answered as error:
            if asked and error.code in _CONFLICTS | _MISSING:
                raise Changed(key) from error
            if asked and error.code in _UNKNOWN:
                self.conditional = False
                return self._conditionally(call, key, condition)
            raise error.meaning from error

    def _pages(self, prefix: str, delimiter: str | None) -> Iterator[dict[str, Any]]:
        request: dict[str, Any] = {"Bucket": self.name, "Prefix": prefix}
        if delimiter is not None:
            request["Delimiter"] = delimiter
        while True:
            page = self._plainly(lambda: self._client.list_objects_v2(**request))
            yield page
            if not page.get("IsTruncated"):
                return
            request["ContinuationToken"] = page["NextContinuationToken"]

    def _unless_missing[T](self, call: Callable[[], T]) -> T | None:
        try:
            return self._asked(call)
        except _Answered as error:
            if error.code in _MISSING:
                return None
            raise error.meaning from error

    def _plainly[T](self, call: Callable[[], T]) -> T:
        try:
            return self._asked(call)
        except _Answered as error:
            raise error.meaning from error

    def _asked[T](self, call: Callable[[], T]) -> T:
        """Raises _Answered for what repeating does not cure."""

        def attempt() -> T:
            try:
                return call()
            except AWS_ERRORS as error:
                meaning = delivery_error(error, setting=self._setting)
                if isinstance(meaning, SetupError) or error_code(error) in _CONFLICTS:
                    raise _Answered(error_code(error), meaning) from error
                raise meaning from error

        return self._patience.keep(attempt)


def _rewound(file: BinaryIO) -> BinaryIO:
    file.seek(0)  # an attempt before has read some of it
    return file


class _Answered(Exception):
    def __init__(self, code: str, meaning: DeliveryError) -> None:
        super().__init__(code)
        self.code = code
        self.meaning = meaning
