"""The entry points of `bin/local`, `bin/put`, `bin/demo`, `bin/chaos` and `bin/bench`; each imports what it needs."""

from collections.abc import Sequence


def local_main(argv: Sequence[str]) -> int:
    """`bin/local`; returns the exit code."""
    from consumer.local import serve

    return serve.local_main(argv)


def put_main(argv: Sequence[str]) -> int:
    """`bin/put`; returns the exit code."""
    from consumer.local import put

    return put.put_main(argv)


def demo_main(argv: Sequence[str]) -> int:
    """`bin/demo`; returns the exit code."""
    from consumer.local import demo

    return demo.demo_main(argv)


def chaos_main(argv: Sequence[str]) -> int:
    """`bin/chaos`; returns the exit code."""
    from consumer.local.chaos import command

    return command.chaos_main(argv)


def bench_main(argv: Sequence[str]) -> int:
    """`bin/bench`; returns the exit code."""
    from consumer.local.bench import command

    return command.bench_main(argv)
