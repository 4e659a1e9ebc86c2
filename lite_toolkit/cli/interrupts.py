"""Ctrl-C that native code cannot swallow."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

INSISTENCE = 1.0  # seconds until an interrupt that had no effect is raised again
INTERRUPTED = 130  # the exit code: 128 + SIGINT, as shells count


@contextmanager
def noticed() -> Iterator[list[int]]:
    """The interrupts that came: TensorFlow's native code turns some into errors of other types, and swallows others."""
    came: list[int] = []

    def interrupt(number: int, _frame: object) -> None:
        came.append(number)
        _ring(INSISTENCE)
        raise KeyboardInterrupt

    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN  # as in a background job
    previous = {number: signal.signal(number, interrupt) for number in (() if ignored else _signals())}
    try:
        yield came
    finally:
        _ring(0)
        for number, handler in previous.items():
            signal.signal(number, handler)


def _signals() -> tuple[signal.Signals, ...]:
    return (signal.SIGINT,) if sys.platform == "win32" else (signal.SIGINT, signal.SIGALRM)


def _ring(seconds: float) -> None:
    """Send SIGALRM after that time, or not at all for 0; Windows has no such clock."""
    if sys.platform != "win32":
        signal.setitimer(signal.ITIMER_REAL, seconds)
