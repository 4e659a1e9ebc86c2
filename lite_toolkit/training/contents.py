"""What is in a folder of labelled images, as a document."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lite_toolkit.datasets.labelled import Part
from lite_toolkit.decoding import Count
from lite_toolkit.documents import Report

TINY_PX = 64  # of the shorter side: networks of this family see 224 pixels and more
DOUBTFUL_PERCENT = 10.0  # a label that is less probable is told of


@dataclass(frozen=True)
class OfClass:
    """A class: how many images there are in all, and in each part."""

    class_: str
    images: Count
    train: Count
    validation: Count
    test: Count


@dataclass(frozen=True)
class Tiny:
    """An image whose shorter side has few pixels."""

    image: str
    width_px: Count
    height_px: Count


@dataclass(frozen=True)
class Copies:
    """Images that are copies of one another.

    Attributes:
        same_file: whether all have the same bytes; otherwise they differ in size or compression.
        classes, parts: of each image.
    """

    images: tuple[str, ...]
    same_file: bool
    classes: tuple[str, ...]
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Spread:
    """The least, the median and the largest value."""

    least: float
    median: float
    most: float


@dataclass(frozen=True)
class Sizes:
    """Of the images, upright; the ratio is width to height."""

    width_px: Spread
    height_px: Spread
    aspect_ratio: Spread


@dataclass(frozen=True)
class Label:
    """What a classifier that has not learnt from an image says of its label.

    Attributes:
        probability_percent: of the class that is given.
        likeliest, likeliest_percent: the class that is most probable.
    """

    image: str
    class_: str
    probability_percent: float
    likeliest: str
    likeliest_percent: float


@dataclass(frozen=True, kw_only=True)
class Survey(Report):
    """What is in a folder of labelled images.

    Attributes:
        data: the folder's name.
        ground_truth: what told the classes.
        images: number that can be read.
        unreadable_images: one message for each that cannot be; they count nowhere.
        tiny_images: those with a side of less than 64 pixels.
        copies: groups of images.
        labels: of every image, the least probable first; empty where nobody looked.
        agreement_percent: of images whose likeliest class is the given one; None where nobody looked.
        backbone: the sha256 of the network that the labels were judged upon.
        seed: of the split and the folds.
        seconds: wall time of each step.
    """

    KIND = "data"

    data: str
    ground_truth: str
    images: Count
    classes: tuple[OfClass, ...]
    unreadable_images: tuple[str, ...]
    tiny_images: tuple[Tiny, ...]
    copies: tuple[Copies, ...]
    sizes: Sizes
    labels: tuple[Label, ...]
    agreement_percent: float | None
    backbone: str | None
    seed: Count
    notes: tuple[str, ...]
    seconds: Mapping[str, float] = field(compare=False)

    @property
    def imbalance(self) -> float:
        """How many times as many images the largest class has as the smallest."""
        counts = [one.images for one in self.classes]
        return max(counts) / max(min(counts), 1)

    @property
    def doubtful(self) -> tuple[Label, ...]:
        """The labels that are likely wrong."""
        return tuple(one for one in self.labels if one.probability_percent < DOUBTFUL_PERCENT)

    def content(self) -> dict[str, Any]:
        """What stands below the header, with what follows from it."""
        return super().content() | {"imbalance": self.imbalance, "doubtful_labels": len(self.doubtful)}
