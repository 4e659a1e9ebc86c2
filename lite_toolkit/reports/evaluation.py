"""What `evaluate` counted, as a document."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from lite_toolkit.datasets.ground_truth import MAXIMUM_INDEX
from lite_toolkit.decoding import Count, between
from lite_toolkit.documents import OfDevice, Several
from lite_toolkit.measurement import evaluation
from lite_toolkit.measurement.accuracy import Accuracy, Pairing, Rate

TIE_RULE = "of equal scores the lowest class index wins"
INTERVALS = "95%: Wilson's score interval; of a change, Newcombe's for paired proportions (method 10)"

Index = Annotated[int, between(0, MAXIMUM_INDEX - 1)]


@dataclass(frozen=True)
class Top(Rate):
    """Images whose true class is among the best k; in `tied_images` the k-th score is equal to the next."""

    k: Count
    tied_images: Count

    def to_json(self) -> dict[str, Any]:
        """Counts, and what they say."""
        return {"k": self.k, **super().to_json(), "tied_images": self.tied_images}


@dataclass(frozen=True)
class Class:
    """One of the model's outputs: its index, and its name where that is known."""

    index: int
    name: str | None

    def __str__(self) -> str:
        return str(self.index) if self.name is None else f"{self.index} {self.name}"


@dataclass(frozen=True)
class OfClass(Rate):
    """The top-1 of the images of one class."""

    class_: Index
    name: str | None

    @property
    def truth(self) -> Class:
        """The images' class."""
        return Class(self.class_, self.name)

    def to_json(self) -> dict[str, Any]:
        """The class, counts, and what they say."""
        return {"class": self.class_, "name": self.name, **super().to_json()}


@dataclass(frozen=True)
class Confusion:
    """A class that is taken for another, and of how many images."""

    class_: Index
    name: str | None
    predicted_class: Index
    predicted_name: str | None
    images: Count

    @property
    def pair(self) -> tuple[Class, Class]:
        """The images' class, and what they are taken for."""
        return Class(self.class_, self.name), Class(self.predicted_class, self.predicted_name)


@dataclass(frozen=True)
class Subject:
    """The model's file."""

    file: str
    sha256: str


@dataclass(frozen=True)
class Reference(Subject):
    """The model that it is compared with, and what that gets right."""

    top: tuple[Top, ...]


@dataclass(frozen=True)
class GroundTruth:
    """Where the true classes come from, and what was added to each."""

    source: str
    offset: Count


@dataclass(frozen=True, kw_only=True)
class Evaluation(OfDevice):
    """What a model gets right on one device; two that found the same are equal, however long they took.

    Attributes:
        delegate, delegate_options: as `--delegate` and `--delegate-option`; None where an old report does not tell.
        data: the name of the folder of images.
        images: number of images that were read.
        unreadable_images: one message for each that could not be.
        top: every k that was counted.
        classes: those of the images, whatever the ground truth calls them.
        confusions: the most frequent first.
        workers: number of processes; None or 0 in an old report of a board: one for each processor.
        seconds: wall time of each step.
        images_per_second: of those that were not taken from a file to resume.
    """

    KIND = "evaluate"

    model: Subject
    delegate: str | None = None
    delegate_options: Mapping[str, str] = field(default_factory=dict)
    data: str
    images: Count
    unreadable_images: tuple[str, ...]
    preprocessing: Mapping[str, Any]
    ground_truth: GroundTruth
    ties: str = TIE_RULE
    intervals: str = INTERVALS
    top: tuple[Top, ...]
    classes: tuple[OfClass, ...]
    confusions: tuple[Confusion, ...]
    reference: Reference | None
    pairing: Pairing | None
    notes: tuple[str, ...]
    workers: Count | None = field(compare=False)
    resumed_images: Count = field(compare=False)
    seconds: Mapping[str, float] = field(compare=False)
    images_per_second: float = field(compare=False)

    def __post_init__(self) -> None:
        for top in (self.top, *([self.reference.top] if self.reference else [])):
            if not any(row.k == 1 for row in top):
                raise ValueError("top has no k 1: must have one")
        if (self.reference is None) != (self.pairing is None):
            raise ValueError("reference and pairing: must be there both, or null")

    @property
    def rates(self) -> dict[int, Top]:
        """By k, ascending."""
        return {row.k: row for row in sorted(self.top, key=lambda row: row.k)}

    @classmethod
    def of(cls, device: str, found: evaluation.Evaluation) -> "Evaluation":
        """What was found on a device of that name."""
        request, results = found.request, found.results
        name = found.names.get
        reference = None
        if request.reference:
            reference = Reference(request.reference.name, found.sha256[1], _top(results[1]))
        done = found.images + len(found.unreadable) - found.resumed
        return cls(
            device=device,
            model=Subject(request.model.name, found.sha256[0]),
            delegate=request.delegate,
            delegate_options=dict(request.delegate_options),
            data=request.data.resolve().name,
            images=found.images,
            unreadable_images=found.unreadable,
            preprocessing=found.preprocessing.to_json(),
            ground_truth=GroundTruth(found.truth.source, found.truth.offset),
            top=_top(results[0]),
            classes=tuple(
                OfClass(rate.correct_images, rate.images, index, name(index))
                for index, rate in results[0].classes.items()
            ),
            confusions=tuple(
                Confusion(one.truth, name(one.truth), one.predicted, name(one.predicted), one.images)
                for one in results[0].confusions
            ),
            reference=reference,
            pairing=found.pairing,
            notes=found.notes,
            workers=found.workers,
            resumed_images=found.resumed,
            seconds=dict(found.seconds),
            images_per_second=done / found.seconds["images"],
        )


def _top(found: Accuracy) -> tuple[Top, ...]:
    return tuple(Top(rate.correct_images, rate.images, k, found.tied[k]) for k, rate in found.top.items())


@dataclass(frozen=True)
class Evaluations(Several):
    """Those of several devices."""

    KIND = "evaluate-devices"

    devices: tuple[Evaluation, ...]
