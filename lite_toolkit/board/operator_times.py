"""How long each operator of a model takes."""

from __future__ import annotations

import time
import zipfile
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lite_toolkit.board import latency
from lite_toolkit.board.job import Job
from lite_toolkit.runtime import delegates
from lite_toolkit.runtime import interpreter as runtime

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lite_toolkit.board.job import Event

WARM_UP_SWEEPS, LEAST_SWEEPS = 3, 10
MOST_SWEEPS = 1000  # that are told one by one, of hundreds of operators


@dataclass(frozen=True)
class OperatorsJob(Job):
    """Operators to time: with one thread, for so many seconds at least.

    Attributes:
        seconds: the sweeps' time, at least.
        delegate, delegate_options: for `delegates.choose`, on the machine that runs them.
    """

    NAME = "profile"

    seconds: float
    delegate: str
    delegate_options: Mapping[str, str]


@dataclass(frozen=True)
class OperatorsResult:
    """The times of the sweeps, of the model and of each operator."""

    model: latency.Times
    operators: tuple[latency.Times, ...]


def profile(job: OperatorsJob, files: Mapping[str, str]) -> Iterator[Event]:
    """The runner's job "profile": the operators of a model, each a model of its own (`surgery.operators`).

    The interpreters of Python do not let a profiler in. A sweep runs the whole model and then all its operators, in its
    order, so that each finds the caches as full of its predecessors' data as in the model. Their sum lacks what the
    model gains by running them together, and has one call more for each. All have one thread: the waiting threads of
    one operator would take processors from the next.

    Args:
        job: what to do.
        files: "operators", a zip file of the models, whose names sort in their order, and "model", the whole.
    """
    delegate = delegates.choose(job.delegate, job.delegate_options)
    with zipfile.ZipFile(files["operators"]) as archive:
        models = [archive.read(name) for name in sorted(archive.namelist())]
    loaded = [runtime.interpreter(Path(files["model"]), 1, delegate)]
    loaded += [runtime.interpreter(model, 1, delegate) for model in models]
    for interpreter in loaded:
        latency.fill(interpreter)
    taken = [array("q") for _ in loaded]
    started, elapsed = time.perf_counter(), 0.0
    while len(taken[0]) < WARM_UP_SWEEPS + LEAST_SWEEPS or elapsed < job.seconds:
        loaded[0].invoke()  # the operators left it a cold cache
        for interpreter, times in zip(loaded, taken):
            times.extend(latency.run_for(interpreter.invoke, 0))
        elapsed = time.perf_counter() - started
    whole, *operators = (latency.times(times[WARM_UP_SWEEPS:], MOST_SWEEPS) for times in taken)
    yield {"event": "result", "model": whole, "operators": operators}
