"""What log lines are about: a closed list of names, each with its meaning, to search and to alarm by. They stay as they
are where the words of a message change.

docs/logs.md is made from this table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

type EventName = Literal[
    "note",
    "daemon_started",
    "daemon_stopping",
    "daemon_ended",
    "daemon_gave_up",
    "setting_warned",
    "prepared",
    "preparation_waits",
    "setup_blocked",
    "health_ill",
    "health_well",
    "jvm_started",
    "jvm_ended",
    "jvm_restarting",
    "jvm_killed",
    "jvm_output",
    "kcl_warning",
    "kcl_error",
    "fork_server_started",
    "fork_server_ended",
    "fork_server_output",
    "state_unwritable",
    "http_trouble",
    "metrics_push_failed",
    "metrics_push_works",
    "shard_started",
    "shard_ended",
    "shard_end_put_off",
    "shard_shut_down",
    "shard_crashed",
    "shard_superseded",
    "lease_lost",
    "checkpoint",
    "checkpoint_failed",
    "delivery_retried",
    "delivery_recovered",
    "dead_letter",
    "times_unread",
    "shard_held",
    "shard_released",
]

EVENTS: Mapping[EventName, str] = {
    "note": "anything else",
    "daemon_started": "the daemon runs: its application, worker and state directory",
    "daemon_stopping": "it was told to end, and ends in order, or at once when told again",
    "daemon_ended": "it has ended; a warning or an error where not in order",
    "daemon_gave_up": "the JVM ended too often soon after its start, or cannot be started: the daemon ends with an"
    " error",
    "setting_warned": "a setting or a variable that is allowed and probably not meant",
    "prepared": "one thing that delivery needs is there: the stream, a bucket, a table",
    "preparation_waits": "one thing is not there yet, and is asked for again",
    "setup_blocked": "someone has to mend something at the backend before delivery can begin",
    "health_ill": "the daemon has become ill, or has a further reason to be: /healthz answers 503. `reasons` has them",
    "health_well": "the daemon is well again; `seconds` is how long it was ill",
    "jvm_started": "the JVM with the KCL runs",
    "jvm_ended": "the JVM has ended by itself",
    "jvm_restarting": "the JVM is started again after a pause of so many `seconds`",
    "jvm_killed": "the JVM hangs, has failed, or does not end in time, and is killed",
    "jvm_output": "a line that is not the KCL's log: of the JVM, or of a shard process that says no more than that",
    "kcl_warning": "the KCL's log has a warning. Of one kind, the 1st, 2nd, 4th, 8th … are logged",
    "kcl_error": "the KCL's log has an error, thinned in the same way",
    "fork_server_started": "the process runs from which shard processes are forked",
    "fork_server_ended": "it has ended; a new one is started, and shard processes run on",
    "fork_server_output": "a line that the fork server wrote",
    "state_unwritable": "status.json cannot be written",
    "http_trouble": "connections to http.port cannot be accepted for now",
    "metrics_push_failed": "a push to metrics.otlp_endpoint failed; the 1st, 2nd, 4th, 8th … in a row are logged",
    "metrics_push_works": "pushes work again",
    "shard_started": "a shard process begins to read: where it reads on is in `position`",
    "shard_ended": "the KCL has read a shard to its end",
    "shard_end_put_off": "the end of a shard is not checkpointed, since not everything was delivered in time: the next"
    " owner does it",
    "shard_shut_down": "a shard is given up in order; `chunks_left` are delivered by the next owner",
    "shard_crashed": "a shard process ends by a fault of the daemon: its shard is read again from its checkpoint",
    "shard_superseded": "another process has taken the shard over: this one delivers nothing more",
    "lease_lost": "the KCL has lost the lease of a shard, or given it up",
    "checkpoint": "the KCL has confirmed a checkpoint at `position` (level DEBUG)",
    "checkpoint_failed": "the KCL has refused a checkpoint, or it was put off: it is asked for again",
    "delivery_retried": "a write failed and is repeated: `error` is transient, throttled or setup, `attempt` the"
    " number. The 1st, 2nd, 4th, 8th … are logged",
    "delivery_recovered": "writes work again, after so many `attempts`",
    "dead_letter": "records have become dead letters: the first of each reason at once, then how many, once a minute",
    "times_unread": "record.time_field holds no time in record.time_format; told once a process",
    "shard_held": "too many of a chunk's records would become dead letters, the first for this `reason`: the shard"
    " delivers nothing until someone acts",
    "shard_released": "the shard delivers again",
}
