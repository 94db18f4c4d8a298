"""What stands in a folder of compacted objects, and how far its compaction has come.

```
<into><path>/_manifest-00000.json                        what the object of this number is made of
<into><path>/<stream>-compacted-00000.parquet
<into><path>/_SUCCESS                                    all that was to be compacted is
```

Each is put once, on the condition that nothing is there, and never written again. The manifest comes first, so the
content of an object is settled before it is there; readers pass over names that begin with `_`. An object whose
manifest cannot be fulfilled any more is put empty instead: then no writer, however late, puts it with its records.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from consumer.operate.bucket import Bucket
from consumer.operate.errors import Refused

SUCCESS = "_SUCCESS"

_MANIFEST = re.compile(r"_manifest-([0-9]{5})\.json")
_OBJECT = re.compile(r"-compacted-([0-9]{5})\.([a-z.]+)$")


class Source(msgspec.Struct, frozen=True):
    """An object, by its file name, as it was read; `records` of it are in the compacted object."""

    name: str
    etag: str
    records: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a compacted object holds: the records of its sources, one source after the other."""

    version: int = 1
    object: str
    """Its file name."""
    bytes: int
    records: int
    sources: tuple[Source, ...]


@dataclass(slots=True)
class Folder:
    """Of one path. `sizes` are those of the objects that are there, by number."""

    key: str
    """With a slash at its end."""
    manifests: dict[int, Manifest] = field(default_factory=dict)
    sizes: dict[int, int] = field(default_factory=dict)
    formats: set[str] = field(default_factory=set)
    complete: bool = False

    @classmethod
    def read(cls, bucket: Bucket, key: str) -> Folder:
        """Raises Refused for what compaction has not made, and DeliveryError."""
        folder = cls(key)
        names: list[str] = []
        for listed in bucket.objects(key):
            name = listed.key.removeprefix(key)
            if "/" in name:
                continue
            if _MANIFEST.fullmatch(name):
                names.append(listed.key)
            elif name == SUCCESS:
                folder.complete = True
            elif found := _OBJECT.search(name):
                folder.sizes[int(found[1])] = listed.size
                folder.formats.add(found[2])
        for name, stored in bucket.get_each(names, at_once=4):
            try:
                assert stored is not None
                manifest = msgspec.json.decode(stored.body, type=Manifest)
            except (AssertionError, msgspec.MsgspecError) as error:
                raise Refused(f"s3://{bucket.name}/{name} is no manifest of a compaction") from error
            folder.manifests[int(name[-10:-5])] = manifest
        for number in folder.sizes.keys() - folder.manifests.keys():
            raise Refused(
                f"s3://{bucket.name}/{key} holds the compacted object {number:05} and no manifest of it: what it is"
                " made of is not known"
            )
        return folder

    @property
    def open(self) -> list[int]:
        """Numbers of objects that have a manifest and are not there yet."""
        return sorted(self.manifests.keys() - self.sizes.keys())

    @property
    def published(self) -> Iterator[tuple[int, Manifest]]:
        """Of the objects that hold what their manifests say."""
        for number, manifest in sorted(self.manifests.items()):
            if self.sizes.get(number) == manifest.bytes:
                yield number, manifest

    def taken(self) -> dict[str, str]:
        """The last ETag of each source that is in an object, or in one that is to be put yet."""
        return {
            source.name: source.etag
            for number, manifest in sorted(self.manifests.items())
            if self.sizes.get(number, manifest.bytes) == manifest.bytes
            for source in manifest.sources
        }

    @property
    def next_number(self) -> int:
        return 1 + max(self.manifests, default=-1)

    def manifest_key(self, number: int) -> str:
        return f"{self.key}_manifest-{number:05}.json"


def object_name(stream: str, number: int, form: str) -> str:
    """None of those that the daemon gives."""
    return f"{stream}-compacted-{number:05}.{form}"
