"""How long a model takes, measured in this process, which should do nothing else.

An inference is `invoke()` of the interpreter and nothing else: inputs were set before, outputs are not read. The clock
is `time.perf_counter_ns`, and the garbage collector rests.
"""

from __future__ import annotations

import gc
import time
from array import array
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lite_toolkit.board import machine
from lite_toolkit.board.distribution import Distribution
from lite_toolkit.board.job import Job
from lite_toolkit.errors import DelegateError, ModelError
from lite_toolkit.images.files import read_image
from lite_toolkit.images.preprocessing import PreprocessingSpec
from lite_toolkit.runtime import delegates, interpreter
from lite_toolkit.runtime.nodes import Partition, delegate_nodes, partition
from lite_toolkit.runtime.rehearsal import rehearse

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
    from typing import Any

    from lite_toolkit.board.job import Event

    Measuring = Generator[Event, None, Sequence[int]]

SEED = 0  # of the random inputs
WINDOW_SECONDS, WINDOW_RUNS = 0.1, 3
STEADY_WINDOWS, STEADY_RANGE = 3, 0.03
WARM_UP_SECONDS = 10.0
MOST_RUNS = 10_000  # whose times are told one by one: five kinds of them are half a megabyte of JSON
MOST_SECONDS = 3600  # of sustained runs that are told one by one; of a day, 24 at a time
_CHUNK_SECONDS = 0.5  # between two reports of progress
_COUNTABLE_SECONDS = 0.5  # the kernel counts processor time in steps of 0.01 seconds


@dataclass(frozen=True)
class LatencyJob(Job):
    """A model to measure with one number of threads.

    Attributes:
        threads: for the kernels.
        delegate, delegate_options: for `delegates.choose`, on the machine that measures.
        minimum_runtime: of an Edge TPU, for a model that is compiled for it; None for any other.
        require_full_delegation: fail where the delegate leaves a node to others.
        runs, seconds: at least so many inferences, for at least so long,
        max_seconds: but not longer.
        sustained_seconds: run on for so long; 0 for not at all.
        preprocessing: of the image, where there is one, as `PreprocessingSpec.to_json` writes it.
    """

    NAME = "benchmark"

    threads: int
    delegate: str
    delegate_options: Mapping[str, str]
    minimum_runtime: int | None
    require_full_delegation: bool
    runs: int
    seconds: float
    max_seconds: float
    sustained_seconds: float
    preprocessing: Mapping[str, Any] | None


@dataclass(frozen=True)
class Times:
    """Wall times of runs.

    Attributes:
        distribution: of all runs.
        runs_ns: of each in their order, or of evenly spaced ones, see `spaced`.
    """

    distribution: Distribution
    runs_ns: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.runs_ns or min(self.runs_ns) <= 0:
            raise ValueError("runs_ns must hold a run, and each takes time")


@dataclass(frozen=True)
class Pipeline:
    """The stages of the way from an image file to the scores.

    `prepare` reads and decodes the file, crops, resizes and normalises; `quantize` turns that into the input's type and
    sets it; `invoke` is the inference; `total` all three.
    """

    prepare: Times
    quantize: Times
    invoke: Times
    total: Times


@dataclass(frozen=True)
class Memory:
    """Resident memory before the model, and at most until the last run; None where the system does not tell."""

    before_bytes: int | None
    peak_bytes: int | None


@dataclass(frozen=True)
class Second(machine.State):
    """The runs since the machine's state was read last: when that was, in seconds since the start."""

    seconds: float
    distribution: Distribution


@dataclass(frozen=True)
class LatencyResult:
    """What was measured; "_ns" are whole nanoseconds.

    Attributes:
        delegate, library, library_version: the delegate as it was chosen, and what it is.
        load_average, before, after: the machine before the model was loaded, and after the runs.
        init_ns, first_ns: from the file to allocated tensors, the runtime imported before; the first inference.
        nodes: who runs them.
        threads_started: how many threads came with the model.
        warm_up_ns, steady: see `warm_up`.
        latency: of the runs that count.
        others_busy: how many processors worked for other programs during the runs; None after too short a time.
        memory: see there.
        pipeline: of the way from an image file.
        sustained: see `Second`.
    """

    delegate: str
    library: str | None
    library_version: str | None
    environment: machine.Environment
    load_average: float | None
    before: machine.State
    init_ns: int
    nodes: Partition
    first_ns: int
    threads_started: int | None
    warm_up_ns: tuple[int, ...]
    steady: bool
    latency: Times
    others_busy: float | None
    memory: Memory
    after: machine.State
    pipeline: Pipeline | None
    sustained: tuple[Second, ...]


def benchmark(job: LatencyJob, files: Mapping[str, str]) -> Iterator[Event]:
    """The runner's job "benchmark".

    Args:
        job: what to do.
        files: "model" and, where the way from an image file to the scores is wanted too, "image".

    Yields:
        Progress, and one `LatencyResult`, as JSON.

    Raises:
        ModelError, DelegateError, ImageError: the model, delegate or image cannot be used.
    """
    model, threads = Path(files["model"]), job.threads
    delegate = delegates.choose(job.delegate, job.delegate_options)
    version = rehearse(model, threads, delegate, job.minimum_runtime)
    result: Event = {"event": "result", "delegate": delegate.name, "library": delegate.library}
    result["library_version"] = version
    result["environment"] = {**machine.environment(), "runtime": interpreter.runtime_version(), "numpy": np.__version__}
    result["load_average"], result["before"] = machine.load_average(), machine.state()
    resident, _ = machine.resident_bytes()
    alone = machine.threads()
    loaded, result["init_ns"], nodes = _load(model, threads, delegate)
    if job.require_full_delegation:
        _require_full(nodes, delegate)
    result["nodes"] = asdict(nodes)
    fill(loaded)
    result["first_ns"] = run_for(loaded.invoke, 0)[0]
    result["threads_started"] = None if alone is None else (machine.threads() or alone) - alone
    warming, result["steady"] = warm_up(loaded.invoke)
    result["warm_up_ns"] = spaced(warming)
    runs, result["others_busy"] = yield from _runs(loaded.invoke, job)
    result["latency"] = times(runs)
    result["pipeline"] = None
    result["memory"] = {"before_bytes": resident, "peak_bytes": machine.resident_bytes()[1]}
    if job.preprocessing:
        spec = PreprocessingSpec.from_json(job.preprocessing)
        result["pipeline"] = yield from _pipeline(loaded, job, Path(files["image"]), spec)
    result["after"] = machine.state()
    result["sustained"] = yield from _sustained(loaded.invoke, job.sustained_seconds)
    yield result


def run_for(run: Callable[[], object], seconds: float, least: int = 1) -> list[int]:
    """Wall times of runs one after another, in nanoseconds: at least `least`, and for at least `seconds`."""
    clock = time.perf_counter_ns
    taken: list[int] = []
    resting = gc.isenabled()
    gc.disable()
    try:
        now = clock()
        end = now + int(seconds * 1e9)
        while now < end or len(taken) < least:
            before = clock()
            run()
            now = clock()
            taken.append(now - before)
    finally:
        if resting:
            gc.enable()
    return taken


def times(nanoseconds: Sequence[int], most: int = MOST_RUNS) -> Event:
    """Runs as a result tells them: "distribution" of all, and "runs_ns" as `spaced` has them."""
    return {"distribution": asdict(Distribution.of(nanoseconds)), "runs_ns": spaced(nanoseconds, most)}


def spaced(nanoseconds: Sequence[int], most: int = MOST_RUNS) -> list[int]:
    """The times of runs in their order; where there are more than `most`, of every second, third, ... run."""
    return list(nanoseconds[:: -(-len(nanoseconds) // most)])


def warm_up(run: Callable[[], object]) -> tuple[list[int], bool]:
    """Run until times are steady: caches, clocks and a delegate's own preparations need some runs.

    A window is 0.1 seconds and 3 runs, at least. Times are steady as soon as the medians of three windows in a row lie
    within 3% of the least of them. After 10 seconds it ends all the same.

    Returns:
        The wall times of all its runs in nanoseconds, and whether they became steady.
    """
    taken: list[int] = []
    medians: list[float] = []
    while sum(taken) < WARM_UP_SECONDS * 1e9:
        window = run_for(run, WINDOW_SECONDS, WINDOW_RUNS)
        taken += window
        medians = [*medians, float(np.median(window))][-STEADY_WINDOWS:]
        if len(medians) == STEADY_WINDOWS and max(medians) <= min(medians) * (1 + STEADY_RANGE):
            return taken, True
    return taken, False


def fill(loaded: Any) -> None:
    """Give an interpreter random inputs, always the same.

    Bytes are drawn for the integers of quantized tensors, so that their whole range occurs; floats lie in -1..1, as
    images do after normalisation. Other types, which may be indices, are zero.
    """
    generator = np.random.RandomState(SEED)  # newer generators need numpy 1.17
    for details in loaded.get_input_details():
        shape, dtype = tuple(details["shape"]), np.dtype(details["dtype"])
        if dtype in (np.uint8, np.int8, np.int16):
            size = int(np.prod(shape))
            values = np.frombuffer(generator.bytes(size * dtype.itemsize), dtype).reshape(shape)
        elif dtype.kind == "f":
            values = generator.uniform(-1, 1, shape).astype(dtype)
        else:
            values = np.zeros(shape, dtype)
        loaded.set_tensor(details["index"], values)


def _load(model: Path, threads: int, delegate: delegates.Delegate) -> Any:
    """An interpreter, the nanoseconds that it took, and who runs its nodes."""
    clock = time.perf_counter_ns
    started = clock()
    loaded = interpreter.unallocated(model, threads, delegate)
    created = clock()
    early = delegate_nodes(loaded)
    resumed = clock()
    interpreter.allocate(loaded, model)
    ended = clock()
    return loaded, created - started + ended - resumed, partition(loaded, delegate, early)


def _require_full(nodes: Any, delegate: delegates.Delegate) -> None:
    taken = nodes.taken(delegate)
    if taken < nodes.nodes:
        kernels = ", ".join(f"{count} {name}" for name, count in nodes.kernels.items()) or "none"
        message = f"{delegate.title} took {taken} of {nodes.nodes} nodes, but all are required"
        raise DelegateError(f"{message}: the runtime's own kernels run {kernels}")


def _runs(run: Callable[[], object], job: LatencyJob) -> Generator[Event, None, tuple[Sequence[int], float | None]]:
    """The runs that count, and how many processors worked for other programs in the meantime."""
    started, busy, own = time.perf_counter(), machine.busy_seconds(), time.process_time()
    taken = yield from _measure(run, job)
    elapsed, own = time.perf_counter() - started, time.process_time() - own
    now = machine.busy_seconds()
    if busy is None or now is None or elapsed < _COUNTABLE_SECONDS:
        return taken, None
    return taken, max(0.0, (now - busy - own) / elapsed)


def _measure(run: Callable[[], object], job: LatencyJob) -> Measuring:
    """At least as many runs, and for as long, as the job says, but no longer than its maximum."""
    taken = array("q")
    runs, seconds, limit = job.runs, job.seconds, job.max_seconds
    started = time.perf_counter()
    while True:
        elapsed = time.perf_counter() - started
        done = min(len(taken) / runs, elapsed / seconds if seconds else 1.0)
        if taken and (done >= 1 or elapsed >= limit):
            return taken
        yield {"event": "progress", "done": int(100 * done), "total": 100}
        rest = max(seconds - elapsed, 0) if len(taken) >= runs else _CHUNK_SECONDS
        taken.extend(run_for(run, min(rest, limit - elapsed, _CHUNK_SECONDS)))


def _pipeline(
    loaded: Any, job: LatencyJob, image: Path, spec: PreprocessingSpec
) -> Generator[Event, None, dict[str, Event]]:
    """Times of each stage, see `Pipeline`."""
    details = loaded.get_input_details()[0]
    info = interpreter.tensor_info(details)
    if info.shape != (1, *spec.shape):
        raise ModelError(f"the model's input has shape {info.shape}: an image needs {(1, *spec.shape)}")
    stages: list[tuple[int, int, int]] = []

    def once() -> None:
        started = time.perf_counter_ns()
        pixels = spec.apply(read_image(image))
        prepared = time.perf_counter_ns()
        loaded.set_tensor(details["index"], info.quantize(pixels)[np.newaxis])
        quantized = time.perf_counter_ns()
        loaded.invoke()
        stages.append((prepared - started, quantized - prepared, time.perf_counter_ns() - quantized))

    warm_up(once)
    stages.clear()
    total = yield from _measure(once, job)
    columns = (*zip(*stages), total)
    return dict(zip(("prepare", "quantize", "invoke", "total"), map(times, columns)))


def _sustained(run: Callable[[], object], seconds: float) -> Generator[Event, None, list[dict[str, Any]]]:
    """Run without a pause; the machine's state is read once a second, or `MOST_SECONDS` times, between two runs.

    Returns:
        For each time that it was read: "seconds" since the start, the "distribution" of the runs since it was read
        last, and the state (see `machine.state`).
    """
    least = max(1.0, seconds / MOST_SECONDS)
    found: list[dict[str, Any]] = []
    started, elapsed = time.perf_counter(), 0.0
    while elapsed < seconds:
        taken = run_for(run, min(least, seconds))
        elapsed = time.perf_counter() - started
        found.append({"seconds": elapsed, "distribution": asdict(Distribution.of(taken)), **machine.state()})
        yield {"event": "progress", "done": int(min(elapsed, seconds)), "total": int(seconds)}
    return found
