"""Two reports of one kind, A and B, side by side: what changed, and whether that is more than chance."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lite_toolkit.documents import Report
from lite_toolkit.errors import ReportError, UsageError
from lite_toolkit.measurement import loss
from lite_toolkit.measurement.accuracy import Rate
from lite_toolkit.measurement.intervals import difference
from lite_toolkit.measurement.latency import NAMES, Benchmark, Benchmarks, Measurement
from lite_toolkit.measurement.loss import Loss, Validation
from lite_toolkit.reports import reading
from lite_toolkit.reports.evaluation import Evaluation, Evaluations
from lite_toolkit.reports.manifest import Manifest

RESAMPLES, SEED = 10_000, 0
FEWEST_RUNS = 6  # the range of n runs holds the true median with probability 1 - 2^(1-n): 95% from here
HOST = ("board", "cpu", "machine", "processors", "system", "os")
KINDS = (Benchmark, Benchmarks, Evaluation, Evaluations, Manifest, Validation)

Direction = Literal["lower", "higher", "unclear"]
Content = Benchmark | Evaluation | Loss


@dataclass(frozen=True)
class LatencyChange:
    """A measurement of A and one of B, with the same number of threads and the same delegate."""

    a: Measurement
    b: Measurement

    @property
    def ratio(self) -> float:
        """The median of B over that of A."""
        return self.b.times.p50_ms / self.a.times.p50_ms

    @cached_property
    def interval(self) -> tuple[float, float]:
        """Of the ratio: see `ratio_interval`."""
        return ratio_interval(self.a.latency.raw_ms, self.b.latency.raw_ms)

    @property
    def direction(self) -> Direction:
        """Of the change, where the interval excludes a ratio of 1."""
        return _direction(self.interval, 1)


@dataclass(frozen=True)
class RateChange:
    """A share of the images: those that are right ("top-1"), or the same as with the float model ("agreement")."""

    name: str
    a: Rate
    b: Rate

    @property
    def points(self) -> float:
        """B less A."""
        return self.b.percent - self.a.percent

    @property
    def interval_points(self) -> tuple[float, float]:
        """Of the change, 95%, as if each report had images of its own: see `intervals.difference`."""
        low, high = difference(self.b.correct_images, self.b.images, self.a.correct_images, self.a.images)
        return 100 * low, 100 * high

    @property
    def direction(self) -> Direction:
        """Of the change, where the interval excludes 0."""
        return _direction(self.interval_points, 0)


@dataclass(frozen=True)
class FigureChange:
    """A figure in percent that is no share of the images, so that it has no interval: mean average precision, F1."""

    name: str
    a_percent: float
    b_percent: float

    @property
    def points(self) -> float:
        """B less A."""
        return self.b_percent - self.a_percent


@dataclass(frozen=True)
class Changes:
    """What changed on one device; a gate is for the first of `rates`, or else of `figures`."""

    latencies: tuple[LatencyChange, ...] = ()
    rates: tuple[RateChange, ...] = ()
    figures: tuple[FigureChange, ...] = ()
    losses: tuple[Loss, Loss] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """Two files, the kind of both, what changed by devices' names, and notes on the whole.

    The name is "" where the kind is not one of several devices.
    """

    a: Path
    b: Path
    kind: str
    devices: Mapping[str, Changes]
    notes: tuple[str, ...]

    @property
    def timed(self) -> bool:
        """Whether they are reports of `benchmark`."""
        return any(changes.latencies for changes in self.devices.values())


def compare(a: Path, b: Path, *, across_hosts: bool = False) -> Comparison:
    """Compare two reports of `benchmark`, `evaluate` or `validate`, or two manifests.

    Devices are matched by name where the reports are of several. Measurements are matched by model, threads and
    delegate: models by name where any name is in both reports, else in their order.

    Args:
        a, b: the files.
        across_hosts: compare latencies of different machines too.

    Raises:
        ReportError: a file is no such report or damaged, they are of different kinds, of different machines, or have
            nothing in common.
    """
    reports = [reading.read(path, KINDS).report for path in (a, b)]
    kinds = [report.KIND for report in reports]
    if kinds[0] != kinds[1]:
        raise ReportError(f"{a} is of kind {kinds[0]}, {b} of kind {kinds[1]}: both must be of one kind")
    first, second = (_by_device(path, report) for path, report in zip((a, b), reports, strict=True))
    shared = [name for name in first if name in second]
    if not shared:
        raise ReportError(f"{a} and {b} have no device in common: they have {_listed(first)} and {_listed(second)}")
    devices = {name: _changes(first[name], second[name], across_hosts) for name in shared}
    return Comparison(a, b, kinds[0], devices, tuple(_only("device", first, second)))


def ratio_interval(a: Sequence[float], b: Sequence[float]) -> tuple[float, float]:
    """The 95% interval of median(b) / median(a), by the percentile bootstrap over runs.

    Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13. Runs are resampled as if each were
    independent of the others; that another process of the same model may have another median is not in it.
    """
    generator = np.random.default_rng(SEED)
    whole = (np.rint(1e6 * np.asarray(runs)) for runs in (a, b))  # nanoseconds, as they were measured
    first, second = (_resampled_medians(np.sort(runs), generator) for runs in whole)
    low, high = np.percentile(second / first, (2.5, 97.5))
    return float(low), float(high)


def latency_regressions(found: Comparison, limit_percent: float) -> Iterator[str]:
    """One sentence for each median that is higher by more than the limit, where the interval lies above 1 too.

    Raises:
        UsageError: the reports have no latencies, and the gate would hold nothing.
    """
    if not found.timed:
        raise UsageError(f"--max-latency-regression is for reports of benchmark, not {found.kind}")
    for device, changes in found.devices.items():
        for one in changes.latencies:
            increase = 100 * (one.ratio - 1)
            if one.direction == "higher" and increase > limit_percent:
                what = f"{one.b.model}, threads {one.b.threads}, {one.b.delegate}{_on(device)}"
                yield f"the median latency of {what} is {increase:.1f}% higher, more than {limit_percent:g}%"


def drops(found: Comparison, limit_points: float) -> Iterator[str]:
    """One sentence for each device whose top-1, agreement or mean average precision is lower by more than the limit.

    Raises:
        UsageError: the reports have neither, and the gate would hold nothing.
    """
    if found.timed:
        raise UsageError(f"--max-drop is for reports of evaluate or validate, or manifests, not {found.kind}")
    for device, changes in found.devices.items():
        told = [(one.name, -one.points) for one in changes.rates] + [(one.name, -one.points) for one in changes.figures]
        for name, drop in told[:1]:
            if drop > limit_points:
                yield f"{name}{_on(device)} is {drop:.2f} points lower, more than {limit_points:g}"


def _on(device: str) -> str:
    return f" on {device}" if device else ""


def _by_device(path: Path, report: Report) -> dict[str, Content]:
    """What can be compared, by devices' names; "" is the name of one where the kind is not one of several."""
    match report:
        case Benchmarks() | Evaluations():
            return {one.device: one for one in report.devices}
        case Manifest(loss=None):
            raise ReportError(f"{path} has no held-out images: a float32 model has none, nor has one without data")
        case Manifest(loss=Loss() as loss) | Validation(loss=loss):
            return {"": loss}
        case Benchmark() | Evaluation():
            return {"": report}
    raise AssertionError("KINDS are of these types")


def _changes(a: Content, b: Content, across_hosts: bool) -> Changes:
    match a, b:
        case Benchmark(), Benchmark():
            return _of_benchmarks(a, b, across_hosts)
        case Evaluation(), Evaluation():
            return _of_evaluations(a, b)
        case Loss(), Loss():
            return _of_losses(a, b)
    raise AssertionError("reports of one kind have contents of one type")


def _of_benchmarks(a: Benchmark, b: Benchmark, across_hosts: bool) -> Changes:
    first, second = a.environment.facts, b.environment.facts
    both = {name: (first.get(name, "null"), second.get(name, "null")) for name in NAMES}
    differing = {name: f"{name} ({one} and {other})" for name, (one, other) in both.items() if one != other}
    hosts = ", ".join(told for name, told in differing.items() if name in HOST)
    if hosts and not across_hosts:
        raise ReportError(f"the latencies are of different hosts, by {hosts}: pass --across-hosts to compare them")
    pairs, notes = _matched(a.measurements, b.measurements)
    if differing:
        notes.append(f"The environments differ in {', '.join(differing.values())}.")
    doubtful = [sum(bool(one.doubts) for one in side.measurements) for side in (a, b)]
    if any(doubtful):
        notes.append(f"By the reports themselves, {doubtful[0]} measurements of A and {doubtful[1]} of B are doubtful.")
    return Changes(latencies=pairs, notes=tuple(notes))


def _matched(a: Sequence[Measurement], b: Sequence[Measurement]) -> tuple[tuple[LatencyChange, ...], list[str]]:
    """Those of the same model, threads and delegate, and notes on the others."""
    models = [list(dict.fromkeys(one.model for one in side)) for side in (a, b)]
    notes = []
    names = {name: name for name in models[1]}
    if not set(models[0]) & set(models[1]) and len(models[0]) == len(models[1]):
        names = dict(zip(models[1], models[0], strict=True))
        notes.append("No model has the same name in A and B: they are matched in their order.")
    first, second = _by_key(a, {}), _by_key(b, names)
    pairs = tuple(LatencyChange(first[key], second[key]) for key in first if key in second)
    if not pairs:
        raise ReportError(
            f"no measurement of A has the model, threads and delegate of one of B: A has {_listed(first)}; "
            f"B has {_listed(second)}"
        )
    return pairs, [*notes, *_only("measurement", first, second)]


def _by_key(measurements: Iterable[Measurement], names: Mapping[str, str]) -> dict[str, Measurement]:
    """Measurements by what must be the same in A and B; `names` tells A's names of models that have others."""
    found: dict[str, Measurement] = {}
    for one in measurements:
        key = f"{names.get(one.model, one.model)} (threads {one.threads}, {one.delegate})"
        if key in found:
            raise ReportError(f"{key} was measured twice in one report: its models' names must differ")
        if one.times.runs < FEWEST_RUNS:
            raise ReportError(f"{key} has {one.times.runs} runs: an interval of 95% needs {FEWEST_RUNS}")
        found[key] = one
    return found


def _of_evaluations(a: Evaluation, b: Evaluation) -> Changes:
    rates = tuple(RateChange(f"top-{k}", rate, b.rates[k]) for k, rate in a.rates.items() if k in b.rates)
    figures: tuple[FigureChange, ...] = ()
    if a.multi_label and b.multi_label:
        figures = tuple(
            FigureChange(name, ours, theirs)
            for (name, ours), theirs in zip(a.multi_label.figures.items(), b.multi_label.figures.values(), strict=True)
            if ours is not None and theirs is not None
        )
    if not rates and not figures:
        raise ReportError("the evaluations have no figure in common: one is of any number of labels an image")
    return Changes(rates=rates, figures=figures, notes=tuple(_data(a, b, a.images, b.images)))


def _of_losses(a: Loss, b: Loss) -> Changes:
    first, second = a.comparison, b.comparison
    if first.measure != second.measure:
        raise ReportError(f"A tells images with the {first.measure} as float, B with the {second.measure}")
    rates = [RateChange("agreement", first.agreement, second.agreement)]
    if first.top5_agreement and second.top5_agreement:
        rates.append(RateChange("top-5 agreement", first.top5_agreement, second.top5_agreement))
    notes = [*_data(a, b, first.images, second.images), *_doubts(first, second)]
    return Changes(rates=tuple(rates), losses=(a, b), notes=tuple(notes))


def _doubts(*sides: loss.Comparison) -> Iterator[str]:
    """Why an agreement says little."""
    return (f"{side}: {found.doubt}" for side, found in zip("AB", sides, strict=True) if found.doubt)


def _data(a: Evaluation | Loss, b: Evaluation | Loss, images_a: int, images_b: int) -> Iterator[str]:
    if images_a != images_b or (a.data and b.data and a.data != b.data):
        first, second = a.data or "unknown origin", b.data or "unknown origin"
        yield f"The images differ: {images_a} of {first} in A, {images_b} of {second} in B."


def _resampled_medians(ordered: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.float64]:
    """Medians of resamples, each as large as the sorted values, drawn without drawing all of them.

    A draw with replacement is the value at floor(n u), u uniform in 0..1. Of n such u, the k-th smallest has the
    distribution Beta(k, n - k + 1), and the greatest of the k - 1 below it is that times a Beta(k - 1, 1): David and
    Nagaraja, Order Statistics (2003), chapter 2.
    """
    count = len(ordered)
    middle = count // 2
    upper = generator.beta(middle + 1, count - middle, RESAMPLES)
    found = _at(ordered, upper)
    if count % 2:
        return found
    return (_at(ordered, upper * generator.beta(middle, 1, RESAMPLES)) + found) / 2


def _at(ordered: NDArray[np.float64], places: NDArray[np.float64]) -> NDArray[np.float64]:
    # A beta variate may be rounded to 1.
    return ordered[np.minimum((places * len(ordered)).astype(np.intp), len(ordered) - 1)]


def _direction(interval: tuple[float, float], unchanged: float) -> Direction:
    low, high = interval
    if low > unchanged:
        return "higher"
    return "lower" if high < unchanged else "unclear"


def _only(what: str, a: Iterable[str], b: Iterable[str]) -> Iterator[str]:
    """One sentence for each side that has what the other has not."""
    a, b = list(a), list(b)
    for side, here, there in (("A", a, b), ("B", b, a)):
        missing = [name for name in here if name not in there]
        if missing:
            yield f"Only {side} has {what} {_listed(missing)}."


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
