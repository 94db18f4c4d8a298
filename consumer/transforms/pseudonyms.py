"""Pseudonyms: a keyed digest in place of a value, the same for the same value and key, with the key's name before it.

Whoever has no key can neither compute one nor try out all values. A bare hash of an id hides nothing.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3

from consumer.transforms.numbers import encode

_DIGEST_BYTES = 16
_LEAST_KEY_BYTES, _MOST_KEY_BYTES = 16, 64


@dataclass(frozen=True, slots=True)
class Key:
    """`name` stands before each pseudonym, so that those of another key can be told."""

    name: str
    secret: bytes = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> "Key":
        """A name without a colon, white space, and 16 to 64 bytes in hex digits. Raises ValueError, which quotes none
        of it."""
        words = text.split()
        try:
            name, secret = words[0], bytes.fromhex(words[1])
        except (IndexError, ValueError):
            raise ValueError("a key is a name, white space, and hex digits") from None
        if len(words) != 2 or ":" in name or not _LEAST_KEY_BYTES <= len(secret) <= _MOST_KEY_BYTES:
            raise ValueError(
                f"a key is a name without a colon and {_LEAST_KEY_BYTES} to {_MOST_KEY_BYTES} bytes in hex"
            )
        return cls(name, secret)


def key_from_file(path: str) -> Key:
    return Key.parse(Path(path).read_text(encoding="utf-8"))


def key_from_secret(name: str, *, region: str | None = None) -> Key:
    """From Secrets Manager: needs secretsmanager:GetSecretValue, and is read once a process."""
    client = boto3.client("secretsmanager", region_name=region)
    return Key.parse(client.get_secret_value(SecretId=name)["SecretString"])


def pseudonym(*names: str, key: Key) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """`KEY'S NAME:32 hex digits` in place of each of these fields; null and what is missing stay. A number has the
    pseudonym of the text that is spelled so."""
    head, keyed = f"{key.name}:", hashlib.blake2b(key=key.secret, digest_size=_DIGEST_BYTES)

    def pseudonymised(record: dict[str, Any]) -> dict[str, Any]:
        for name in names:
            value = record.get(name)
            if value is not None:
                digest = keyed.copy()
                digest.update(value.encode() if isinstance(value, str) else encode(value))
                record[name] = head + digest.hexdigest()
        return record

    return pseudonymised
