"""Python processes that find modules where this one does, and nowhere else."""

from __future__ import annotations

import json
import signal
import sys


def command(module: str, *arguments: str) -> list[str]:
    """The command that calls `main` of a module of the toolkit with `arguments`, and exits with what it returns.

    This process's modules may be in a zip file, or where an environment variable says. Python's -m would look for them
    in the current folder first, whatever lies there.
    """
    program = (
        "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
        f"from {module} import main; sys.exit(main(*sys.argv[2:]))"
    )
    return [sys.executable, "-I", "-c", program, json.dumps(sys.path), *arguments]


def ending(code: int) -> str:
    """How a process ended, by the exit code that `subprocess` gives: "with exit code 3", or "by SIGSEGV"."""
    if code >= 0:
        return f"with exit code {code}"
    try:
        return f"by {signal.Signals(-code).name}"
    except ValueError:  # most real-time signals have no name
        return f"by signal {-code}"
