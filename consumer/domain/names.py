"""Names that processes of the daemon share, and that stand nowhere else."""

SETTINGS_VARIABLE = "CONSUMER_SETTINGS"
"""The file with a shard process' settings."""

EVENTS_VARIABLE = "CONSUMER_EVENTS"
"""The socket that a shard process tells the supervisor about itself on."""

FORK_SERVER_VARIABLE = "CONSUMER_FORK_SERVER"
"""The socket on which a launcher finds the fork server."""

PAUSED_FILE = "paused.json"
"""Beside the settings' file, while the application is paused: shard processes look for it."""

TAPS_FOLDER = "taps"
"""Beside the settings' file, while somebody listens (consumer/domain/taps.py)."""

REPLAY_VARIABLE = "CONSUMER_REPLAY"
"""What part of the stream a replay delivers: a Replay (consumer.domain.replay) as JSON. Nobody else sets it."""

NATIVE_VARIABLE = "CONSUMER_NATIVE"
"""`off` makes a process and what it starts do without the C library."""

SETTING_PREFIX = "CONSUMER_SET_"
"""What begins the variable of a setting."""

POSITIONS_HASH_KEY, POSITIONS_RANGE_KEY = "shard", "item"
"""The keys of the DynamoDB table in which `bigquery.method = storage_write` keeps counts of rows."""
