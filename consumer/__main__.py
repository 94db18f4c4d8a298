"""`python -m consumer COMMAND …`."""

import sys

from consumer.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
