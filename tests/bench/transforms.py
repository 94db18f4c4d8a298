"""The functions of consumer.transforms.ready as `transform` names them, for payloads of a visit."""

from typing import Any

from consumer.transforms.pseudonyms import Key
from consumer.transforms.ready import (
    chain,
    drop,
    pseudonym,
    referrer,
    rename,
    to_types,
    user_agent,
)


def nothing(record: dict[str, Any]) -> dict[str, Any]:
    return record


dropped = drop("k1")
renamed = rename({"k1": "level"})
typed = to_types({"since": "number"})
referred = referrer("referrer")
agents = user_agent("user_agent")
pseudonyms = pseudonym("player_id", key=Key.parse("bench 000102030405060708090a0b0c0d0e0f"))
everything = chain(dropped, rename({"k2": "level"}), typed, referred, agents, pseudonyms)
