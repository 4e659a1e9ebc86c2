"""Work on several devices at the same time."""

from collections.abc import Callable, Sequence
from concurrent import futures
from typing import TypeVar

from lite_toolkit.devices.jobs import STOP, Stop
from lite_toolkit.errors import LiteToolkitError

S = TypeVar("S")
T = TypeVar("T")


def side_by_side(tasks: Sequence[S], work: Callable[[S], T]) -> list[T | LiteToolkitError]:
    """What the work gives for each task, all at the same time; its error where it fails.

    Other exceptions are raised, and end what runs, as Ctrl-C does.
    """
    if len(tasks) == 1:
        return [_outcome(work, tasks[0])]
    stop = Stop()
    with futures.ThreadPoolExecutor(len(tasks), initializer=STOP.set, initargs=(stop,)) as pool:
        running = [pool.submit(_outcome, work, task) for task in tasks]
        try:
            return [future.result() for future in running]
        finally:
            stop()  # Ctrl-C comes to this thread alone


def _outcome(work: Callable[[S], T], task: S) -> T | LiteToolkitError:
    try:
        return work(task)
    except LiteToolkitError as error:
        return error
