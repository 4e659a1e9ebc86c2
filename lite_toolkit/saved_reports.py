"""Reports that the toolkit wrote, as values; the files are read without trust."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from lite_toolkit.accuracy import Rate
from lite_toolkit.distribution import Distribution
from lite_toolkit.errors import ReportError
from lite_toolkit.report import SCHEMA_VERSION

_LARGEST = 2**53  # a float holds every whole number up to here


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
    """What `benchmark` measured on one machine; its environment is told by names, such as "cpu"."""

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
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ReportError(f"{path} is no JSON file: {' '.join(str(error).split())}") from error
    schema = found.get("schema") if isinstance(found, dict) else None
    kind = schema.removeprefix("lite-toolkit/") if isinstance(schema, str) else ""
    if kind not in KINDS:
        raise ReportError(f"{path} has schema {schema!r}: must be lite-toolkit/ and one of {', '.join(KINDS)}")
    if found.get("schema_version") != SCHEMA_VERSION:
        raise ReportError(f"{path} has schema version {found.get('schema_version')!r}: must be {SCHEMA_VERSION}")
    return Report(path, kind, KINDS[kind](_Part(str(path), "", found)))


@dataclass(frozen=True)
class _Part:
    """A part of a document, which knows its place there."""

    file: str
    place: str
    content: Any

    def __getitem__(self, key: str) -> "_Part":
        self.require(isinstance(self.content, dict) and key in self.content, f"must have {key!r}")
        return _Part(self.file, f"{self.place}.{key}".lstrip("."), self.content[key])

    def __iter__(self) -> Iterator["_Part"]:
        self.require(isinstance(self.content, list), "must be a list")
        for index, value in enumerate(self.content):
            yield _Part(self.file, f"{self.place}[{index}]", value)

    def require(self, condition: object, what: str) -> None:
        if not condition:
            raise ReportError(f"{self.file} is damaged: {self.place or 'the document'} {what}")

    @property
    def text(self) -> str:
        self.require(isinstance(self.content, str), "must be a text")
        return str(self.content)

    @property
    def number(self) -> float:
        self.require(type(self.content) in (int, float) and abs(self.content) <= _LARGEST, "must be a finite number")
        return float(self.content)

    @property
    def positive(self) -> float:
        self.require(self.number > 0, "must be above 0")
        return self.number

    @property
    def count(self) -> int:
        self.require(type(self.content) is int and 0 <= self.content <= _LARGEST, "must be a whole number from 0")
        return int(self.content)

    @property
    def missing(self) -> bool:
        return self.content is None


def _several(read_one: Callable[[_Part], Content]) -> Callable[[_Part], dict[str, Content]]:
    def read_all(document: _Part) -> dict[str, Content]:
        found = {part["device"].text: read_one(part) for part in document["devices"]}
        document["devices"].require(len(found) == len(document["devices"].content), "must have each device once")
        return found

    return read_all


def _alone(read_one: Callable[[_Part], Content]) -> Callable[[_Part], dict[str, Content]]:
    return lambda document: {"": read_one(document)}


def _benchmarked(part: _Part) -> Benchmarked:
    environment = part["environment"]
    environment.require(isinstance(environment.content, dict), "must be an object")
    told = {name: json.dumps(value, ensure_ascii=False).strip('"') for name, value in environment.content.items()}
    return Benchmarked(told, tuple(_measured(measurement) for measurement in part["measurements"]))


def _measured(part: _Part) -> Measured:
    memory, nodes, doubts = part["memory"], part["nodes"], part["doubts"]
    return Measured(
        model=part["model"].text,
        threads=part["threads"].count,
        delegate=part["delegate"].text,
        size_bytes=part["size_bytes"].count,
        runs_ns=tuple(max(1, round(value.positive * 1e6)) for value in part["latency"]["raw_ms"]),
        init_ms=part["init_ms"].number,
        first_ms=part["first_ms"].number,
        peak_bytes=None if memory["peak_bytes"].missing else memory["peak_bytes"].count,
        model_bytes=None if memory["model_bytes"].missing else memory["model_bytes"].count,
        nodes=nodes["nodes"].count,
        delegated_nodes=sum(share["nodes"].count for share in nodes["shares"]),
        doubtful=bool(doubts.content),
    )


def _evaluated(part: _Part) -> Evaluated:
    top = {row["k"].count: _rate(row["correct_images"], row["images"].count) for row in part["top"]}
    part["top"].require(1 in top, "must have k 1")
    return Evaluated(part["model"]["file"].text, part["data"].text, top)


def _rate(correct: _Part, images: int) -> Rate:
    correct.require(0 < images >= correct.count, f"must be at most the number of images, {images}, above 0")
    return Rate(correct.count, images)


def _of_manifest(part: _Part) -> Quantized:
    model, held_out = part["model"], part["held_out"]
    if held_out.missing:
        raise ReportError(f"{part.file} has no held-out images: a float32 model has none, nor has one without data")
    data = None if part["calibration"].missing else part["calibration"]["description"].text
    return _quantized(held_out["comparison"], model["file"].text, data, model["size_bytes"].count)


def _of_validation(part: _Part) -> Quantized:
    return _quantized(part["comparison"], part["quantized"].text, part["data"].text, None)


def _quantized(part: _Part, model: str, data: str | None, size_bytes: int | None) -> Quantized:
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


def _share(percent: _Part, images: int) -> Rate:
    """The count behind a percentage."""
    percent.require(images and 0 <= percent.number <= 100, "must be from 0 to 100, of 1 image or more")
    return Rate(round(percent.number * images / 100), images)


KINDS: dict[str, Callable[[_Part], dict[str, Content]]] = {
    "benchmark": _alone(_benchmarked),
    "benchmark-devices": _several(_benchmarked),
    "evaluate": _alone(_evaluated),
    "evaluate-devices": _several(_evaluated),
    "manifest": _alone(_of_manifest),
    "validate": _alone(_of_validation),
}
