"""`python -m polybackfill` and the `polybackfill` command."""

from __future__ import annotations

import sys

from polybackfill import cli, streams, terminal


def main() -> None:
    """Exit with the code of the command."""
    streams.take_over()
    terminal.take_over()
    sys.exit(cli.main())


if __name__ == "__main__":
    main()
