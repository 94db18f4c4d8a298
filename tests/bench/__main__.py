"""`python -m tests.bench …`, which bin/bench runs."""

import sys

from consumer.local.commands import ask_the_stack_directly

if __name__ == "__main__":
    ask_the_stack_directly()
    from tests.bench.command import bench_main

    sys.exit(bench_main(sys.argv[1:]))
