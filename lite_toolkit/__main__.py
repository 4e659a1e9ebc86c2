"""The installed command, and `python -m lite_toolkit`."""

import sys

from lite_toolkit.cli.interrupts import INTERRUPTED


def main() -> None:
    """Run the command line; Ctrl-C is one line from the first moment on, while modules are still being loaded."""
    try:
        from lite_toolkit.cli import main as cli
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(INTERRUPTED)
    cli.main()


if __name__ == "__main__":
    main()
