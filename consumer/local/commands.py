"""The entry points of `bin/local`, `bin/put`, `bin/demo`, `bin/chaos` and `bin/bench`; each imports what it needs."""

import os
from collections.abc import Sequence

from consumer.local.loopback import without_proxy


def local_main(argv: Sequence[str]) -> int:
    """`bin/local`; returns the exit code."""
    _ask_the_stack_directly()
    from consumer.local import serve

    return serve.local_main(argv)


def put_main(argv: Sequence[str]) -> int:
    """`bin/put`; returns the exit code."""
    _ask_the_stack_directly()
    from consumer.local import put

    return put.put_main(argv)


def demo_main(argv: Sequence[str]) -> int:
    """`bin/demo`; returns the exit code."""
    _ask_the_stack_directly()
    from consumer.local import demo

    return demo.demo_main(argv)


def chaos_main(argv: Sequence[str]) -> int:
    """`bin/chaos`; returns the exit code."""
    _ask_the_stack_directly()
    from consumer.local.chaos import command

    return command.chaos_main(argv)


def bench_main(argv: Sequence[str]) -> int:
    """`bin/bench`; returns the exit code."""
    _ask_the_stack_directly()
    from consumer.local.bench import command

    return command.bench_main(argv)


def _ask_the_stack_directly() -> None:
    """Also in the processes that are started from here."""
    os.environ.update(without_proxy(os.environ))
