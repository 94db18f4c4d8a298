"""DuckDB looks for its extensions beneath $HOME: they stand in a folder of the environment, where no user's files are.

bin/setup runs this file once in each environment for development.
"""

import os
import sys
from pathlib import Path

HOME = Path(sys.prefix) / "share" / "duckdb-home"
_NAMES = ("ducklake", "icu", "spatial")


def main() -> None:
    """Takes them from packages. Raises duckdb.Error and OSError."""
    from duckdb_extensions import import_extension

    HOME.mkdir(parents=True, exist_ok=True)
    os.environ["HOME"] = str(HOME)
    for name in _NAMES:
        import_extension(name)


if __name__ == "__main__":
    main()
