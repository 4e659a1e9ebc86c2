"""How long each operator of a model takes, where the runtime does not tell."""

from __future__ import annotations

import time
import zipfile
from typing import TYPE_CHECKING

from lite_toolkit import delegates, latency, runtime

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

WARM_UP_SWEEPS, LEAST_SWEEPS = 3, 10


def profile(job: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The runner's job "profile": the operators of a model, each a model of its own (`isolation.operators`).

    The interpreters of Python do not let a profiler in. All operators are run in the model's order again and again, so
    that each finds the caches as full of its predecessors' data as in the model. What this leaves out is what the model
    gains by running them together; what it adds is one call for each operator.

    Args:
        job: "files" has "operators", a zip file of the models, whose names sort in their order. "threads", "delegate",
            "delegate_options", "seconds", all as for `latency.benchmark`.

    Yields:
        Progress in percent, and a result: "operators_ns", the nanoseconds of each sweep for each operator.
    """
    delegate = delegates.choose(job["delegate"], job["delegate_options"])
    with zipfile.ZipFile(job["files"]["operators"]) as archive:
        models = [archive.read(name) for name in sorted(archive.namelist())]
    loaded = [runtime.interpreter(model, int(job["threads"]), delegate) for model in models]
    for interpreter in loaded:
        latency.fill(interpreter)
    sweeps: list[list[int]] = []
    started = time.perf_counter()
    while len(sweeps) < WARM_UP_SWEEPS + LEAST_SWEEPS or time.perf_counter() - started < job["seconds"]:
        sweeps.append([latency.run_for(interpreter.invoke, 0)[0] for interpreter in loaded])
    yield {"event": "result", "operators_ns": [list(times) for times in zip(*sweeps[WARM_UP_SWEEPS:])]}
