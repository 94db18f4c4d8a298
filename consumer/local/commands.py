"""The entry points of `bin/local`, `bin/put` and `bin/demo`; each imports what it needs."""

import os
import sys
from collections.abc import Sequence

from consumer.local.loopback import without_proxy
from consumer.operate.progress import Teller


def local_main(argv: Sequence[str]) -> int:
    """`bin/local`; returns the exit code."""
    ask_the_stack_directly()
    if argv[:1] in (["sql"], ["s3"]):
        from consumer.local import look

        return look.look_main(argv)
    from consumer.local import serve

    return serve.local_main(argv)


def put_main(argv: Sequence[str]) -> int:
    """`bin/put`; returns the exit code."""
    ask_the_stack_directly()
    from consumer.local import put

    return put.put_main(argv)


def demo_main(argv: Sequence[str]) -> int:
    """`bin/demo`; returns the exit code."""
    ask_the_stack_directly()
    progress = Teller(sys.stderr)
    if not {"-h", "--help"} & set(argv):
        progress.say("loading")  # which takes seconds where nothing is in the cache yet
    from consumer.local import demo

    return demo.demo_main(argv, progress)


def ask_the_stack_directly() -> None:
    """Also in the processes that are started from here."""
    os.environ.update(without_proxy(os.environ))
