"""How long models take, as values; times are milliseconds."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Self

from lite_toolkit.board import latency as board
from lite_toolkit.board import machine
from lite_toolkit.board.distribution import Distribution
from lite_toolkit.board.machine import SINCE_START, THROTTLED
from lite_toolkit.decoding import UNTOLD, Count, Limit, between, encode_fields
from lite_toolkit.documents import OfDevice, Several
from lite_toolkit.runtime.nodes import Partition

NAMES = (  # of what an environment tells, in the order of interest
    *("board", "cpu", "machine", "processors", "governors"),
    *("system", "kernel", "os", "runtime", "numpy", "python"),
)

Milliseconds = Annotated[float, Limit(lambda ms: 0 < ms < 1e12, "above 0 and below 1e12")]  # 64 bits of nanoseconds
Runs = Annotated[tuple[Milliseconds, ...], Limit(len, "with a run at least")]


@dataclass(frozen=True)
class Times:
    """Wall times of some runs.

    Attributes:
        runs, mean_ms, ...: the figures of `Distribution`, of all runs; where one is not told, as the 5th percentile was
            not once, every run is.
        raw_ms: of each run in their order, or of evenly spaced ones (see `latency.spaced`); of sustained runs none.
    """

    runs: Count | None = None
    mean_ms: Milliseconds | None = None
    std_ms: Annotated[float, between(0, 1e12)] | None = None
    min_ms: Milliseconds | None = None
    p5_ms: Milliseconds | None = None
    p50_ms: Milliseconds | None = None
    p90_ms: Milliseconds | None = None
    p95_ms: Milliseconds | None = None
    p99_ms: Milliseconds | None = None
    max_ms: Milliseconds | None = None
    raw_ms: Runs = ()

    def __post_init__(self) -> None:
        if not self.raw_ms and None in self._figures:
            raise ValueError("'raw_ms' is missing, and not all figures stand in its place")

    @classmethod
    def of(cls, found: board.Times, **beside: Any) -> Self:
        """Those that a board told."""
        return cls(**vars(found.distribution), raw_ms=_milliseconds(found.runs_ns), **beside)

    @property
    def _figures(self) -> list[Any]:
        return [getattr(self, figure.name) for figure in fields(Distribution)]

    @cached_property
    def distribution(self) -> Distribution:
        """In a few figures."""
        return Distribution.of_milliseconds(self.raw_ms) if None in self._figures else Distribution(*self._figures)

    def to_json(self) -> dict[str, Any]:
        """What is told."""
        return {name: value for name, value in encode_fields(self).items() if value not in (None, [])}


Told = Annotated[Times, Limit(lambda times: bool(times.raw_ms), "with raw_ms")]


class Environment(machine.Environment):
    """What measured."""

    @property
    def facts(self) -> dict[str, str]:
        """What it tells, by name, as people read it."""
        told = encode_fields(self) | {"governors": ", ".join(self.governors)}
        return {name: str(told[name]) for name in NAMES if told[name] is not None}

    @property
    def title(self) -> str:
        """The board, or else the processor."""
        return self.board or self.cpu or self.machine or "an unknown machine"


class State(machine.State):
    """How the machine fared at a moment."""

    @property
    def frequency_mhz(self) -> float | None:
        """The mean over the processors; None where it does not tell."""
        known = self.frequencies_khz
        return sum(known) / len(known) / 1e3 if known else None

    @property
    def hottest_celsius(self) -> float | None:
        """Of the hottest zone; None where it does not tell."""
        return max(self.temperatures_celsius.values(), default=None)

    @property
    def limits(self) -> list[str]:
        """What the board reports of now."""
        return throttling(self.throttled)


@dataclass(frozen=True)
class Second(State):
    """A second of sustained runs, or some in hours of them: when it ended, its runs, and the machine then."""

    seconds: float
    latency: Times

    @property
    def band_ms(self) -> tuple[float, float, float]:
        """The 5th, 50th and 95th percentile of the runs."""
        times = self.latency.distribution
        return times.p5_ms, times.p50_ms, times.p95_ms

    def to_json(self) -> dict[str, Any]:
        """The fields, the time first."""
        return {"seconds": self.seconds, **encode_fields(self)}


@dataclass(frozen=True)
class WarmUp:
    """Runs that do not count, and whether they became steady."""

    steady: bool
    raw_ms: tuple[float, ...]


class Memory(board.Memory):
    """Resident memory."""

    before_bytes: Count | None
    peak_bytes: Count | None

    @property
    def model_bytes(self) -> int | None:
        """What the model added; None where the system does not tell."""
        before, peak = self.before_bytes, self.peak_bytes
        return None if before is None or peak is None else peak - before

    def to_json(self) -> dict[str, Any]:
        """The fields, and the difference."""
        return {**encode_fields(self), "model_bytes": self.model_bytes}


@dataclass(frozen=True)
class Pipeline:
    """The stages of the way from an image file to the scores: see `latency.benchmark`."""

    prepare: Told
    quantize: Told
    invoke: Told
    total: Told

    @property
    def stages(self) -> dict[str, Times]:
        """By name, the total last."""
        return {stage.name: getattr(self, stage.name) for stage in fields(self)}


@dataclass(frozen=True)
class Measurement:
    """A model with a number of threads and a delegate.

    Attributes:
        threads_started: with the model; None where the system does not tell.
        delegate, delegate_library, delegate_library_version: the delegate as it was chosen, and what it is.
        nodes: who runs them.
        init_ms, first_ms: from the file to allocated tensors; the first inference.
        latency: of the runs that count.
        load_average, others_busy_processors: before; for other programs during the runs; None where not known.
        before, after: the machine before and after the runs.
        sustained: the seconds of sustained runs.
        doubts: one sentence for each reason to doubt the measurement.
        note: how the image's preprocessing was found, where that is not certain.
    """

    model: str
    size_bytes: Count
    threads: Count
    threads_started: int | None
    delegate: str
    delegate_library: str | None
    delegate_library_version: str | None
    nodes: Partition
    init_ms: float
    first_ms: float
    latency: Told
    warm_up: WarmUp
    memory: Memory
    pipeline: Pipeline | None
    load_average: float | None
    others_busy_processors: float | None
    before: State
    after: State
    sustained: tuple[Second, ...]
    doubts: tuple[str, ...]
    note: str | None = field(default=None, metadata=UNTOLD, compare=False)

    @property
    def times(self) -> Distribution:
        """Of the runs that count."""
        return self.latency.distribution

    @property
    def delegated_nodes(self) -> int:
        """How many nodes delegates took."""
        return sum(share.nodes for share in self.nodes.shares)

    @classmethod
    def of(cls, model: Path, threads: int, found: board.LatencyResult, note: str | None) -> "Measurement":
        """What a board measured of a model; what there is to doubt is not told yet."""
        stages = vars(found.pipeline).items() if found.pipeline else ()
        return cls(
            model=model.name,
            size_bytes=model.stat().st_size,
            threads=threads,
            threads_started=found.threads_started,
            delegate=found.delegate,
            delegate_library=found.library,
            delegate_library_version=found.library_version,
            nodes=found.nodes,
            init_ms=found.init_ns / 1e6,
            first_ms=found.first_ns / 1e6,
            latency=Times.of(found.latency),
            warm_up=WarmUp(found.steady, _milliseconds(found.warm_up_ns)),
            memory=Memory(**vars(found.memory)),
            pipeline=Pipeline(**{stage: Times.of(times) for stage, times in stages}) if stages else None,
            load_average=found.load_average,
            others_busy_processors=found.others_busy,
            before=State(**vars(found.before)),
            after=State(**vars(found.after)),
            sustained=tuple(map(_second, found.sustained)),
            doubts=(),
            note=note,
        )


@dataclass(frozen=True, kw_only=True)
class Operator(Times):
    """An operator, run as a model of its own."""

    index: Count
    layer: str
    operator: str

    def to_json(self) -> dict[str, Any]:
        """What it is, and its times."""
        return {"index": self.index, "layer": self.layer, "operator": self.operator, **super().to_json()}

    @property
    def median_ms(self) -> float:
        """Of its times."""
        return self.distribution.p50_ms


@dataclass(frozen=True)
class Profile:
    """A model operator by operator, and as a whole."""

    model: str
    threads: Count
    latency: Told
    operators: tuple[Operator, ...]

    @property
    def sum_ms(self) -> float:
        """Of the operators' medians."""
        return sum(operator.median_ms for operator in self.operators)

    def slowest(self, count: int) -> list[Operator]:
        """The operators that take longest, the slowest first."""
        return sorted(self.operators, key=lambda one: -one.median_ms)[:count]

    def to_json(self) -> dict[str, Any]:
        """The fields, and the sum."""
        content = encode_fields(self)
        operators = content.pop("operators")
        return {**content, "sum_ms": self.sum_ms, "operators": operators}


def throttling(flags: int | None, earlier: int | None = None) -> list[str]:
    """What the flags of a Raspberry Pi's firmware say of now, and of the time since they were `earlier`, if known."""
    since = 0 if flags is None or earlier is None else flags & ~earlier
    return [meaning for bit, meaning in THROTTLED.items() if ((flags or 0) | since >> SINCE_START) >> bit & 1]


def _milliseconds(nanoseconds: Sequence[int]) -> tuple[float, ...]:
    return tuple(value / 1e6 for value in nanoseconds)


def _second(found: board.Second) -> Second:
    told = dict(vars(found))
    return Second(latency=Times(**vars(told.pop("distribution"))), **told)


@dataclass(frozen=True)
class Benchmark(OfDevice):
    """All that was measured on one device, by its name."""

    KIND = "benchmark"

    environment: Environment
    measurements: tuple[Measurement, ...]
    profiles: tuple[Profile, ...]


@dataclass(frozen=True)
class Benchmarks(Several):
    """Those of several devices."""

    KIND = "benchmark-devices"

    devices: tuple[Benchmark, ...]
