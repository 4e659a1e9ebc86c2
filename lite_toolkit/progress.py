"""The steps of a job: named, timed, and shown by whoever wants to show them."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


class Steps:
    """Times the steps of one job; the command line's subclass shows them while they run.

    Attributes:
        seconds: name of a finished step -> wall time in seconds; a repeated step adds up.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time the block under `name`."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started

    def track(self, items: Iterable[T], total: int) -> Iterable[T]:  # noqa: ARG002  # for those who show it
        """The items of the running step, of which `total` are expected."""
        return items

    def progress(self, done: int, total: int) -> None:
        """How far the running step is; for those who show it."""
