"""What part of a stream is delivered again, as every process of a replay knows it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from consumer.domain.names import REPLAY_VARIABLE


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """Chunks whose first record arrived before `until_ms` (milliseconds since the epoch), of these shards, or of all
    where `shards` is None."""

    until_ms: int
    shards: frozenset[str] | None = None

    def end_of(self, shard: str) -> int:
        """The arrival from which on no chunk of the shard is delivered."""
        return self.until_ms if self.shards is None or shard in self.shards else 0

    def environment(self) -> dict[str, str]:
        """What makes a daemon and its shard processes part of the replay."""
        return {REPLAY_VARIABLE: msgspec.json.encode(self).decode()}

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Replay | None:
        """None for a daemon that reads on. Raises msgspec.MsgspecError."""
        text = environment.get(REPLAY_VARIABLE)
        return None if text is None else msgspec.json.decode(text, type=cls)
