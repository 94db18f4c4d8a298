"""An S3 client that keeps what is put, or fails as it is told to."""

from dataclasses import dataclass, field
from typing import Any

from isal import igzip


@dataclass
class FakeS3:
    """As much of boto3's client as the sinks use; keyword arguments only, as boto3 wants them."""

    puts: list[dict[str, Any]] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)

    def put_object(self, **arguments: Any) -> dict[str, Any]:
        if self.failures:
            raise self.failures.pop(0)
        self.puts.append(arguments)
        return {"ETag": '"tag"'}

    @property
    def bodies(self) -> dict[str, bytes]:
        return {put["Key"]: igzip.decompress(put["Body"]) for put in self.puts}
