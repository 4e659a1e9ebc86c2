"""Results of many files, brought together by model and by machine."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any, TypeVar

from lite_toolkit.devices.profiles import HERE
from lite_toolkit.edgetpu.compiled import Compiled
from lite_toolkit.edgetpu.forecast import Forecast
from lite_toolkit.measurement.accuracy import Rate
from lite_toolkit.measurement.latency import Benchmark, Environment, Measurement, Profile
from lite_toolkit.measurement.loss import Loss, Validation
from lite_toolkit.reports.comparison import HOST
from lite_toolkit.reports.evaluation import Class, Evaluation, Reference, Subject
from lite_toolkit.reports.manifest import Manifest
from lite_toolkit.reports.reading import Source
from lite_toolkit.runtime.delegates import XNNPACK
from lite_toolkit.training.contents import Survey

T = TypeVar("T")

CONFUSIONS_SHOWN = 12
LABELS_SHOWN = 40


@dataclass(frozen=True)
class Machine:
    """What measured: the device's name in the report, and what it is."""

    device: str
    environment: Environment


@dataclass(frozen=True)
class Timing:
    """A measurement of latency, and where it was made."""

    machine: Machine
    measured: Measurement


@dataclass(frozen=True)
class Model:
    """Everything that is known of one model, by the name of its file.

    Attributes:
        losses: those that `validate` measured or, where there are none, the manifests'.
        judged: where it was evaluated, or was the reference of another model: then without classes.
        chips: what the Edge TPU compiler will do with it, or did.
    """

    name: str
    origins: tuple[Manifest, ...]
    losses: tuple[Loss, ...]
    judged: tuple[Evaluation, ...]
    timings: tuple[Timing, ...]
    chips: tuple[Forecast | Compiled, ...]

    @property
    def title(self) -> str:
        """What people call it."""
        return title(self.name)

    @property
    def sizes_bytes(self) -> list[int]:
        """The sizes of the file that results tell, each once."""
        told = [one.model.size_bytes for one in self.origins] + [one.size_bytes for one in self.chips]
        return list(dict.fromkeys(told + [timing.measured.size_bytes for timing in self.timings]))

    @property
    def sha256(self) -> list[str]:
        """The hashes of the file that results tell, each once."""
        told = [one.model.sha256 for one in self.origins] + [one.model.sha256 for one in self.judged]
        return list(dict.fromkeys(told + [one.sha256 for one in self.chips]))

    @property
    def top1(self) -> Rate | None:
        """Of the evaluation with the most images."""
        rates = [judged.rates[1] for judged in self.judged if judged.rates]
        return max(rates, key=lambda rate: rate.images) if rates else None


@dataclass(frozen=True)
class Confusion:
    """A class that is taken for another: of how many images of each model, in the order of `Confusions.judged`."""

    truth: Class
    predicted: Class
    images: tuple[int, ...]


@dataclass(frozen=True)
class Confusions:
    """The most frequent confusions of all models that were evaluated on the same classes of images.

    Attributes:
        title: of the images: their folder's name, numbered where images of other classes have it too.
        judged: one column each.
        pairs: one row each.
        count: how many pairs there are in all.
    """

    title: str
    judged: tuple[Evaluation, ...]
    pairs: tuple[Confusion, ...]
    count: int

    @property
    def data(self) -> str:
        """The name of the images' folder."""
        return self.judged[0].data

    @property
    def columns(self) -> list[str]:
        """What was judged."""
        return [title(one.model.file) + ran(one) for one in self.judged]


@dataclass(frozen=True)
class Overview:
    """What a page shows.

    Attributes:
        models: in the order in which the files name them.
        machines: what they are called, each once.
        profiles: models operator by operator, and where they were measured.
        surveys: of folders of images.
        notes: what does not belong together, a sentence each.
    """

    sources: tuple[Source, ...]
    models: tuple[Model, ...]
    machines: dict[Machine, str]
    profiles: tuple[tuple[Machine, Profile], ...]
    confusions: tuple[Confusions, ...]
    surveys: tuple[Survey, ...]
    notes: tuple[str, ...]

    def place(self, timing: Timing) -> str:
        """Where and how a model was timed, such as "raspberry-pi-4, 4 threads"."""
        measured = timing.measured
        threads = f"{measured.threads} thread{'s' if measured.threads > 1 else ''}"
        return f"{self.machines[timing.machine]}, {threads}" + _by(measured.delegate)


def title(file: str) -> str:
    """A model's name: its file's without the suffix."""
    return file.removesuffix(".tflite") or file


def ran(judged: Evaluation) -> str:
    """Where an evaluation ran, and by which delegate, to be added to a name; nothing where that is the usual."""
    where = "" if judged.device == HERE else f" on {judged.device}"
    return where + _by(judged.delegate)


def _by(delegate: str | None) -> str:
    """A delegate, to be added to where something ran; nothing where that is the usual or not told."""
    return "" if delegate is None or delegate == XNNPACK.name else f", {PurePosixPath(delegate).name}"


def overview(sources: Sequence[Source]) -> Overview:
    """Bring the results of all files together; what two files tell alike counts once."""
    found = [(Machine(one.device, one.environment), one) for one in _all(sources, Benchmark)]
    models = tuple(_models(sources, _once(Timing(where, time) for where, one in found for time in one.measurements)))
    return Overview(
        sources=tuple(sources),
        models=models,
        machines=_titles(_once(where for where, _ in found)),
        profiles=tuple(_once((where, profile) for where, one in found for profile in one.profiles)),
        confusions=tuple(_confusions([one for model in models for one in model.judged])),
        surveys=tuple(_all(sources, Survey)),
        notes=tuple(_notes(models)),
    )


def _once(values: Iterable[T]) -> list[T]:
    """Each of equal values once; not all can be hashed."""
    found: list[T] = []
    for value in values:
        if value not in found:
            found.append(value)
    return found


def _all(sources: Sequence[Source], kind: type[T]) -> list[T]:
    return _once(part for source in sources for part in source.of(kind))


def _models(sources: Sequence[Source], timings: Sequence[Timing]) -> Iterator[Model]:
    origins = _all(sources, Manifest)
    chips: list[Forecast | Compiled] = [*_all(sources, Forecast), *_all(sources, Compiled)]
    losses = [one.loss for one in origins if one.loss] + [one.loss for one in _all(sources, Validation)]
    judged = _judged(_all(sources, Evaluation))
    names = dict.fromkeys(
        [*(origin.model.file for origin in origins), *(timing.measured.model for timing in timings)]
        + [*(loss.model for loss in losses), *(one.model.file for one in judged)]
        + [chip.file for chip in chips]
    )
    for name in names:
        mine = [loss for loss in losses if loss.model == name]
        yield Model(
            name=name,
            origins=tuple(origin for origin in origins if origin.model.file == name),
            losses=tuple([loss for loss in mine if loss.reference] or mine),
            judged=tuple(one for one in judged if one.model.file == name),
            timings=tuple(timing for timing in timings if timing.measured.model == name),
            chips=tuple(chip for chip in chips if chip.file == name),
        )


def _judged(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """With the references, of which only the top-k is known; their own evaluation on the same images tells more."""
    known = {(one.model.sha256, one.data, one.device) for one in evaluations}
    references = _once(_as_judged(one, one.reference) for one in evaluations if one.reference)
    return [*evaluations, *(one for one in references if (one.model.sha256, one.data, one.device) not in known)]


def _as_judged(found: Evaluation, reference: Reference) -> Evaluation:
    model = Subject(reference.file, reference.sha256)
    nothing: dict[str, Any] = {"classes": (), "confusions": (), "reference": None, "pairing": None, "notes": ()}
    return replace(found, model=model, top=reference.top, multi_label=reference.multi_label, **nothing)


def _titles(machines: Sequence[Machine]) -> dict[Machine, str]:
    """The devices' names; this machine's own is what it is, and several of a name are numbered."""
    hosts: dict[str, list[tuple[str, ...]]] = {}
    titles = {}
    for machine in machines:
        known = machine.environment.facts
        told = known.get("board") or known.get("cpu") or known.get("machine", machine.device)
        name = told if machine.device == HERE else machine.device
        host = tuple(known.get(fact, "") for fact in HOST)
        alike = hosts.setdefault(name, [])
        if host not in alike:
            alike.append(host)
        number = alike.index(host)
        titles[machine] = f"{name} #{number + 1}" if number else name
    return titles


def _confusions(judged: Sequence[Evaluation]) -> Iterator[Confusions]:
    numbers: Counter[str] = Counter()
    groups: dict[tuple[str, tuple[Class, ...]], list[Evaluation]] = {}
    for one in judged:
        if one.confusions:
            groups.setdefault((one.data, tuple(row.truth for row in one.classes)), []).append(one)
    for (data, _), group in groups.items():
        counts = [{confusion.pair: confusion.images for confusion in one.confusions} for one in group]
        pairs = dict.fromkeys(pair for found in counts for pair in found)
        rows = [Confusion(*pair, tuple(found.get(pair, 0) for found in counts)) for pair in pairs]
        rows.sort(key=lambda row: (-sum(row.images), row.truth.index, row.predicted.index))
        numbers[data] += 1
        name = f"{data} #{numbers[data]}" if numbers[data] > 1 else data
        yield Confusions(name, tuple(group), tuple(rows[:CONFUSIONS_SHOWN]), len(rows))


def _notes(models: Sequence[Model]) -> Iterator[str]:
    for model in models:
        if len(model.sha256) > 1:
            hashes = ", ".join(digest[:12] for digest in model.sha256)
            yield f"{model.name} names {len(model.sha256)} different files: their sha256 begin with {hashes}."
        elif len(model.sizes_bytes) > 1:
            sizes = ", ".join(f"{size:,}" for size in model.sizes_bytes)
            yield f"{model.name} names {len(model.sizes_bytes)} different files, of {sizes} bytes."
