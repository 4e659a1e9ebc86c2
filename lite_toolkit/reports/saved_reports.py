"""Reports that the toolkit wrote, as values; the files are read without trust."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lite_toolkit.documents import Part, read_document, shown
from lite_toolkit.errors import ReportError
from lite_toolkit.measurement.accuracy import Rate
from lite_toolkit.measurement.distribution import Distribution

LONGEST_MS = 1e12  # of a run: 64 bits hold its nanoseconds
ENVIRONMENT = (
    *("board", "cpu", "machine", "processors", "governors"),
    *("system", "kernel", "os", "runtime", "numpy", "python"),
)


@dataclass(frozen=True)
class Measured:
    """One measurement of `benchmark`: a model, with a number of threads and a delegate.

    Attributes:
        runs_ns: wall time of each run that counts, in nanoseconds.
        init_ms, first_ms: from the file to allocated tensors; the first inference.
        peak_bytes, model_bytes: resident memory, and what the model added to it; None where the system does not tell.
        nodes, delegated_nodes: of the model, and how many of them delegates took.
        doubtful: whether the report says that the measurement is.
    """

    model: str
    threads: int
    delegate: str
    size_bytes: int
    runs_ns: tuple[int, ...]
    init_ms: float
    first_ms: float
    peak_bytes: int | None
    model_bytes: int | None
    nodes: int
    delegated_nodes: int
    doubtful: bool

    @cached_property
    def latency(self) -> Distribution:
        """Of the runs."""
        return Distribution.of(self.runs_ns)


@dataclass(frozen=True)
class Benchmarked:
    """What `benchmark` measured on one machine; its environment by the names of `ENVIRONMENT`, "null" where untold."""

    environment: Mapping[str, str]
    measurements: tuple[Measured, ...]


@dataclass(frozen=True)
class Evaluated:
    """What `evaluate` counted: k -> images whose true class is among the best k; `data` is a folder's name."""

    model: str
    data: str
    top: Mapping[int, Rate]


@dataclass(frozen=True)
class Quantized:
    """What quantization cost by `validate`, or by the manifest that `convert` wrote.

    Attributes:
        data: description of the images; None where a manifest does not tell.
        agreement, top5_agreement: images with the float model's top-1, or with that among their best five.
        sqnr_db: of the scores; None where they are equal.
        size_bytes: of the file; None where the report does not tell.
    """

    model: str
    data: str | None
    agreement: Rate
    top5_agreement: Rate
    sqnr_db: float | None
    kl_divergence_nats: float
    largest_difference: float
    size_bytes: int | None


Content = Benchmarked | Evaluated | Quantized


@dataclass(frozen=True)
class Report:
    """A report: its file, the schema's kind, such as "benchmark-devices", and its content by devices' names.

    The name is "" where the kind is not one of several devices.
    """

    path: Path
    kind: str
    devices: Mapping[str, Content]


def read(path: Path) -> Report:
    """Read a report.

    Raises:
        ReportError: the file is no report of these kinds, of another schema version, or damaged.
        OSError: it cannot be read.
    """
    document = read_document(path, KINDS)
    return Report(path, document.kind, KINDS[document.kind](document.whole))


def _several(read_one: Callable[[Part], Content]) -> Callable[[Part], dict[str, Content]]:
    def read_all(document: Part) -> dict[str, Content]:
        found = {part["device"].text: read_one(part) for part in document["devices"]}
        document["devices"].require(len(found) == len(document["devices"].content), "must have each device once")
        return found

    return read_all


def _alone(read_one: Callable[[Part], Content]) -> Callable[[Part], dict[str, Content]]:
    return lambda document: {"": read_one(document)}


def _benchmarked(part: Part) -> Benchmarked:
    environment = dict.fromkeys(ENVIRONMENT, "null") | facts(part["environment"], ENVIRONMENT)
    return Benchmarked(environment, tuple(measured(measurement) for measurement in part["measurements"]))


def facts(part: Part, names: Iterable[str]) -> dict[str, str]:
    """What an object tells under `names`, without what is null there."""
    return {shown(name): part[name].fact for name in names if not part[name].missing}


def measured(part: Part) -> Measured:
    """One of the measurements of a benchmark."""
    memory, nodes, doubts = part["memory"], part["nodes"], part["doubts"]
    return Measured(
        model=part["model"].text,
        threads=part["threads"].count,
        delegate=part["delegate"].text,
        size_bytes=part["size_bytes"].count,
        runs_ns=runs(part["latency"]),
        init_ms=part["init_ms"].number,
        first_ms=part["first_ms"].number,
        peak_bytes=None if memory["peak_bytes"].missing else memory["peak_bytes"].count,
        model_bytes=None if memory["model_bytes"].missing else memory["model_bytes"].count,
        nodes=nodes["nodes"].count,
        delegated_nodes=sum(share["nodes"].count for share in nodes["shares"]),
        doubtful=bool(doubts.content),
    )


def runs(part: Part) -> tuple[int, ...]:
    """Wall times of the runs that a part with "raw_ms" holds, one at least, in nanoseconds."""
    raw = part["raw_ms"]
    raw.require(raw.content, "must hold a run")
    times = [value.positive for value in raw]
    raw.require(max(times) < LONGEST_MS, f"must be below {LONGEST_MS:g}")
    return tuple(max(1, round(time * 1e6)) for time in times)


def evaluated(part: Part) -> Evaluated:
    """The report of an evaluation on one device."""
    return Evaluated(part["model"]["file"].text, part["data"].text, top(part["top"]))


def top(part: Part) -> dict[int, Rate]:
    """k -> images whose true class is among the best k; 1 is always there."""
    found = {row["k"].count: _rate(row["correct_images"], row["images"].count) for row in part}
    part.require(1 in found, "must have k 1")
    return found


def _rate(correct: Part, images: int) -> Rate:
    correct.require(0 < images >= correct.count, f"must be at most the number of images, {images}, above 0")
    return Rate(correct.count, images)


def _of_manifest(part: Part) -> Quantized:
    model, held_out = part["model"], part["held_out"]
    if held_out.missing:
        raise ReportError(f"{part.file} has no held-out images: a float32 model has none, nor has one without data")
    data = None if part["calibration"].missing else part["calibration"]["description"].text
    return quantized(held_out["comparison"], model["file"].text, data, model["size_bytes"].count)


def _of_validation(part: Part) -> Quantized:
    return quantized(part["comparison"], part["quantized"].text, part["data"].text, None)


def quantized(part: Part, model: str, data: str | None, size_bytes: int | None) -> Quantized:
    """What the part "comparison" of a validation or a manifest tells; the rest is told beside it."""
    images = part["images"].count
    return Quantized(
        model=model,
        data=data,
        agreement=_share(part["agreement_percent"], images),
        top5_agreement=_share(part["top5_agreement_percent"], images),
        sqnr_db=None if part["sqnr_db"].missing else part["sqnr_db"].number,
        kl_divergence_nats=part["kl_divergence_nats"].number,
        largest_difference=part["largest_difference"].number,
        size_bytes=size_bytes,
    )


def _share(percent: Part, images: int) -> Rate:
    """The count behind a percentage."""
    percent.require(images and 0 <= percent.number <= 100, "must be from 0 to 100, of 1 image or more")
    return Rate(round(percent.number * images / 100), images)


KINDS: dict[str, Callable[[Part], dict[str, Content]]] = {
    "benchmark": _alone(_benchmarked),
    "benchmark-devices": _several(_benchmarked),
    "evaluate": _alone(evaluated),
    "evaluate-devices": _several(evaluated),
    "manifest": _alone(_of_manifest),
    "validate": _alone(_of_validation),
}
