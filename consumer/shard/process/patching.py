"""gevent in place of the standard library's sockets, threads and sleeps."""

from gevent import events, monkey


def patch_all() -> None:
    """As gevent.monkey has it, but for plugins, for which that looks through all installed packages some forty times:
    a quarter of what the start of a shard process costs. gevent's own is the only one, and warns of patches that are
    not complete."""
    events.notify_and_call_entry_points = events.notify
    monkey.patch_all()
