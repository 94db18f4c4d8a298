"""`python -m tests.chaos …`, which bin/chaos runs."""

import sys

from consumer.local.commands import ask_the_stack_directly

if __name__ == "__main__":
    ask_the_stack_directly()
    from tests.chaos.command import chaos_main

    sys.exit(chaos_main(sys.argv[1:]))
