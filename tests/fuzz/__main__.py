"""What bin/fuzz runs."""

import sys

from tests.fuzz.command import main

sys.exit(main())
