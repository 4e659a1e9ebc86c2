"""Work on several devices at the same time."""

from collections.abc import Callable, Mapping, Sequence
from concurrent import futures
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

from lite_toolkit.devices import jobs
from lite_toolkit.devices.profiles import Profile
from lite_toolkit.errors import JobError, LiteToolkitError

T = TypeVar("T")


def side_by_side(devices: Sequence[Profile], work: Callable[[Profile, jobs.Run], T]) -> list[T | LiteToolkitError]:
    """What the work gives on each device, all at the same time; its error where it fails.

    Args:
        devices: where to work.
        work: is given a device, and what runs jobs there.
    """
    if len(devices) == 1:
        return [_outcome(work, devices[0], devices[0].run)]
    stop = Event()
    with futures.ThreadPoolExecutor(len(devices)) as pool:
        running = [pool.submit(_outcome, work, device, _until(stop, device.run)) for device in devices]
        try:
            return [future.result() for future in running]
        finally:
            stop.set()  # Ctrl-C comes to this thread alone


def _until(stop: Event, run: jobs.Run) -> jobs.Run:
    """What runs jobs that end when they are told to."""

    def stoppable(job: Mapping[str, Any], files: Mapping[str, Path]) -> jobs.Events:
        with closing(run(job, files)) as events:
            for event in events:
                if stop.is_set():
                    raise JobError("stopped")
                yield event

    return stoppable


def _outcome(work: Callable[[Profile, jobs.Run], T], device: Profile, run: jobs.Run) -> T | LiteToolkitError:
    try:
        return work(device, run)
    except LiteToolkitError as error:
        return error
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        if device.host is None:
            raise
        return JobError(f"{device.name} answered what this toolkit does not understand: {error!r}")
