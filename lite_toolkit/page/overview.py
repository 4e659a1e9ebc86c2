"""Results of many files, brought together by model and by machine."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TypeVar

from lite_toolkit.devices.profiles import HERE
from lite_toolkit.measurement.accuracy import Rate
from lite_toolkit.reports.comparison import HOST
from lite_toolkit.reports.results import Chip, Class, Judged, Loss, Machine, Origin, Profile, Source, Timing
from lite_toolkit.runtime.delegates import XNNPACK

T = TypeVar("T")

CONFUSIONS_SHOWN = 12


@dataclass(frozen=True)
class Model:
    """Everything that is known of one model, by the name of its file.

    Attributes:
        losses: those that `validate` measured or, where there are none, the manifests'.
    """

    name: str
    origins: tuple[Origin, ...]
    losses: tuple[Loss, ...]
    judged: tuple[Judged, ...]
    timings: tuple[Timing, ...]
    chips: tuple[Chip, ...]

    @property
    def title(self) -> str:
        """What people call it."""
        return title(self.name)

    @property
    def sizes_bytes(self) -> list[int]:
        """The sizes of the file that results tell, each once."""
        told = [one.size_bytes for one in self.origins] + [one.size_bytes for one in self.chips]
        return list(dict.fromkeys(told + [timing.measured.size_bytes for timing in self.timings]))

    @property
    def sha256(self) -> list[str]:
        """The hashes of the file that results tell, each once."""
        told = [one.sha256 for one in self.origins] + [one.sha256 for one in self.judged]
        return list(dict.fromkeys(told + [one.sha256 for one in self.chips]))

    @property
    def top1(self) -> Rate | None:
        """Of the evaluation with the most images."""
        rates = [judged.evaluated.top[1] for judged in self.judged]
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
    judged: tuple[Judged, ...]
    pairs: tuple[Confusion, ...]
    count: int

    @property
    def data(self) -> str:
        """The name of the images' folder."""
        return self.judged[0].evaluated.data

    @property
    def columns(self) -> list[str]:
        """What was judged."""
        return [title(one.evaluated.model) + ran(one) for one in self.judged]


@dataclass(frozen=True)
class Overview:
    """What a page shows.

    Attributes:
        models: in the order in which the files name them.
        machines: what they are called, each once.
        notes: what does not belong together, a sentence each.
    """

    sources: tuple[Source, ...]
    models: tuple[Model, ...]
    machines: dict[Machine, str]
    profiles: tuple[Profile, ...]
    confusions: tuple[Confusions, ...]
    notes: tuple[str, ...]

    def place(self, timing: Timing) -> str:
        """Where and how a model was timed, such as "raspberry-pi-4, 4 threads"."""
        measured = timing.measured
        threads = f"{measured.threads} thread{'s' if measured.threads > 1 else ''}"
        return f"{self.machines[timing.machine]}, {threads}" + _by(measured.delegate)


def title(file: str) -> str:
    """A model's name: its file's without the suffix."""
    return file.removesuffix(".tflite") or file


def ran(judged: Judged) -> str:
    """Where an evaluation ran, and by which delegate, to be added to a name; nothing where that is the usual."""
    where = "" if judged.device == HERE else f" on {judged.device}"
    return where + _by(judged.delegate)


def _by(delegate: str | None) -> str:
    """A delegate, to be added to where something ran; nothing where that is the usual or not told."""
    return "" if delegate is None or delegate == XNNPACK.name else f", {PurePosixPath(delegate).name}"


def overview(sources: Sequence[Source]) -> Overview:
    """Bring the results of all files together; what two files tell alike counts once."""
    models = tuple(_models(sources))
    judged = [one for model in models for one in model.judged]
    return Overview(
        sources=tuple(sources),
        models=models,
        machines=_titles(_all(sources, Machine)),
        profiles=tuple(_all(sources, Profile)),
        confusions=tuple(_confusions(judged)),
        notes=tuple(_notes(models)),
    )


def _all(sources: Sequence[Source], kind: type[T]) -> list[T]:
    found: list[T] = []
    for source in sources:
        found += [value for value in source.of(kind) if value not in found]
    return found


def _models(sources: Sequence[Source]) -> Iterator[Model]:
    origins, chips = _all(sources, Origin), _all(sources, Chip)
    losses, judged, timings = _all(sources, Loss), _all(sources, Judged), _all(sources, Timing)
    whole = [one for one in judged if one.classes]
    # A reference brings its top-1 alone; its own evaluation on the same images tells more.
    known = {(one.sha256, one.evaluated.data, one.device) for one in whole}
    judged = whole + [
        one for one in judged if not one.classes and (one.sha256, one.evaluated.data, one.device) not in known
    ]
    names = dict.fromkeys(
        [*(origin.model for origin in origins), *(timing.measured.model for timing in timings)]
        + [*(loss.quantized.model for loss in losses), *(one.evaluated.model for one in judged)]
        + [chip.model for chip in chips]
    )
    for name in names:
        mine = [loss for loss in losses if loss.quantized.model == name]
        yield Model(
            name=name,
            origins=tuple(origin for origin in origins if origin.model == name),
            losses=tuple([loss for loss in mine if loss.reference] or mine),
            judged=tuple(one for one in judged if one.evaluated.model == name),
            timings=tuple(timing for timing in timings if timing.measured.model == name),
            chips=tuple(chip for chip in chips if chip.model == name),
        )


def _titles(machines: Sequence[Machine]) -> dict[Machine, str]:
    """The devices' names; this machine's own is what it is, and several of a name are numbered."""
    hosts: dict[str, list[tuple[str, ...]]] = {}
    titles = {}
    for machine in machines:
        known = dict(machine.environment)
        told = known.get("board") or known.get("cpu") or known.get("machine", machine.device)
        name = told if machine.device == HERE else machine.device
        host = tuple(known.get(fact, "") for fact in HOST)
        alike = hosts.setdefault(name, [])
        if host not in alike:
            alike.append(host)
        number = alike.index(host)
        titles[machine] = f"{name} #{number + 1}" if number else name
    return titles


def _confusions(judged: Sequence[Judged]) -> Iterator[Confusions]:
    numbers: Counter[str] = Counter()
    for data, classes in dict.fromkeys((one.evaluated.data, one.classes) for one in judged if one.confusions):
        group = [one for one in judged if (one.evaluated.data, one.classes) == (data, classes) and one.confusions]
        counts = [{(truth, predicted): images for truth, predicted, images in one.confusions} for one in group]
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
