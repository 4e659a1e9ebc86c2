"""The installed command, and `python -m lite_toolkit`."""

import gc
import sys

from lite_toolkit.cli.interrupts import INTERRUPTED


def main() -> None:
    """Run the command line; Ctrl-C is one line from the first moment on, while modules are still being loaded."""
    gc.disable()  # modules stay: looking through them for garbage takes a tenth of the time to start
    try:
        from lite_toolkit.cli import main as cli
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(INTERRUPTED)
    gc.freeze()
    gc.enable()
    cli.main()


if __name__ == "__main__":
    main()
