"""An S3 that lives in memory: conditional requests, pages, and faults at any request."""

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

BEGIN = datetime(2026, 1, 31, 12, tzinfo=UTC)


def answer(code: str, status: int, operation: str = "PutObject") -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": "as told"}, "ResponseMetadata": {"HTTPStatusCode": status}},
        operation,
    )


class Killed(BaseException):
    """The process ends at this moment."""


@dataclass(frozen=True)
class Stored:
    body: bytes
    etag: str
    modified: datetime
    options: dict[str, Any]


class FakeS3:
    """`before` and `after` are called with the operation and the key, and may raise; time goes on with each put."""

    def __init__(self, page: int = 1000) -> None:
        self.objects: dict[str, Stored] = {}
        self.requests: list[tuple[str, str]] = []
        self.before: Callable[[str, str], None] = lambda operation, key: None
        self.after: Callable[[str, str], None] = lambda operation, key: None
        self._page = page
        self._puts = 0

    def killing(self, number: int, run: Callable[[], object]) -> bool:
        """Kills what runs at its request of this number, before it or behind it in turn; whether it came so far."""
        count, dead = 0, False

        def before(operation: str, key: str) -> None:
            nonlocal count, dead
            count += 1
            if dead or (number % 2 == 0 and count > number // 2):
                dead = True
                raise Killed

        def after(operation: str, key: str) -> None:
            nonlocal dead
            if number % 2 == 1 and count > number // 2:
                dead = True
                raise Killed

        self.before, self.after = before, after
        try:
            run()
        except Killed:
            return True
        finally:
            self.before = self.after = lambda operation, key: None
        return False

    def body(self, key: str) -> bytes:
        return self.objects[key].body

    def keys(self, prefix: str = "") -> list[str]:
        return sorted(key for key in self.objects if key.startswith(prefix))

    def put_object(self, **options: Any) -> dict[str, Any]:
        del options["Bucket"]
        key, body = options.pop("Key"), options.pop("Body")
        body = body if isinstance(body, bytes | bytearray) else body.read()
        self._begin("put", key)
        old = self.objects.get(key)
        if options.pop("IfNoneMatch", None) == "*" and old is not None:
            raise answer("PreconditionFailed", 412)
        match = options.pop("IfMatch", None)
        if match is not None and old is None:
            raise answer("NoSuchKey", 404)
        if match is not None and old is not None and old.etag != match:
            raise answer("PreconditionFailed", 412)
        self._puts += 1
        etag = f'"{hashlib.md5(body).hexdigest()}"'
        self.objects[key] = Stored(bytes(body), etag, BEGIN + timedelta(seconds=self._puts), options)
        self.after("put", key)
        return {"ETag": etag}

    def get_object(self, **request: Any) -> dict[str, Any]:
        key = request["Key"]
        self._begin("get", key)
        stored = self._stored(key)
        return {"Body": io.BytesIO(stored.body), "ETag": stored.etag, "LastModified": stored.modified}

    def head_object(self, **request: Any) -> dict[str, Any]:
        key = request["Key"]
        self._begin("head", key)
        if key not in self.objects:
            raise answer("404", 404)
        stored = self._stored(key)
        return {"ETag": stored.etag, "LastModified": stored.modified, "ContentLength": len(stored.body)}

    def delete_object(self, **request: Any) -> dict[str, Any]:
        key = request["Key"]
        self._begin("delete", key)
        match = request.get("IfMatch")
        if match is not None and self._stored(key).etag != match:
            raise answer("PreconditionFailed", 412, "DeleteObject")
        self.objects.pop(key, None)
        self.after("delete", key)
        return {}

    def list_objects_v2(self, **request: Any) -> dict[str, Any]:
        prefix, delimiter = request["Prefix"], request.get("Delimiter")
        self._begin("list", prefix)
        found: dict[str, bool] = {}
        for key in self.keys(prefix):
            rest = key[len(prefix) :]
            common = delimiter is not None and delimiter in rest
            name = prefix + rest[: rest.index(delimiter) + 1] if common and delimiter else key
            found[name] = common
        names = [name for name in sorted(found) if name > request.get("ContinuationToken", "")]
        page, more = names[: self._page], len(names) > self._page
        return {
            "Contents": [
                {
                    "Key": name,
                    "Size": len(self.objects[name].body),
                    "LastModified": self.objects[name].modified,
                    "ETag": self.objects[name].etag,
                }
                for name in page
                if not found[name]
            ],
            "CommonPrefixes": [{"Prefix": name} for name in page if found[name]],
            "IsTruncated": more,
            **({"NextContinuationToken": page[-1]} if more else {}),
        }

    def _begin(self, operation: str, key: str) -> None:
        self.requests.append((operation, key))
        self.before(operation, key)

    def _stored(self, key: str) -> Stored:
        if key not in self.objects:
            raise answer("NoSuchKey", 404)
        return self.objects[key]
