"""Figures of accuracy, from the best classes of each image and the true one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lite_toolkit.measurement.intervals import mcnemar, paired_difference, wilson

Classes = NDArray[np.int32]


@dataclass(frozen=True)
class Rate:
    """How many of some images are right.

    Attributes:
        correct_images, images: counts; `images` is at least 1.
    """

    correct_images: int
    images: int

    def __post_init__(self) -> None:
        if not 0 <= self.correct_images <= self.images or not self.images:
            raise ValueError(
                f"{self.correct_images} of {self.images} images are right: must be 0 of 1, or more of more"
            )

    @property
    def percent(self) -> float:
        """The share that is right."""
        return 100 * self.correct_images / self.images

    @property
    def interval_percent(self) -> tuple[float, float]:
        """Wilson's interval of 95% confidence."""
        low, high = wilson(self.correct_images, self.images)
        return 100 * low, 100 * high

    def to_json(self) -> dict[str, Any]:
        """Counts, and what they say."""
        low, high = self.interval_percent
        counts = {"images": self.images, "correct_images": self.correct_images}
        return counts | {"accuracy_percent": self.percent, "low_percent": low, "high_percent": high}


@dataclass(frozen=True)
class Confusion:
    """A class that is taken for another: the top-1 of so many images of class `truth` is `predicted`."""

    truth: int
    predicted: int
    images: int


@dataclass(frozen=True)
class Accuracy:
    """What one model gets right.

    Attributes:
        top: k -> images whose true class is among the best k.
        tied: k -> images whose k-th score is equal to the next, so that the index decided which class is in.
        classes: true class -> top-1 of its images; classes without images are left out.
        confusions: the most frequent first, then by class; all together hold every error.
    """

    top: Mapping[int, Rate]
    tied: Mapping[int, int]
    classes: Mapping[int, Rate]
    confusions: tuple[Confusion, ...]


@dataclass(frozen=True)
class Pairing:
    """Two models on the same images, by their top-1.

    Attributes:
        same_images: for which both give the same class, right or wrong.
        both_correct_images, neither_correct_images, only_model_correct_images, only_reference_correct_images: that are
            right with both, none or one of them.
    """

    same_images: int
    both_correct_images: int
    only_model_correct_images: int
    only_reference_correct_images: int
    neither_correct_images: int

    def __post_init__(self) -> None:
        if not 0 <= self.same_images <= self.images or not self.images:
            raise ValueError(f"{self.same_images} of {self.images} images have the same class: must be 0 of 1, or more")

    @property
    def images(self) -> int:
        """Number of images."""
        alone = self.only_model_correct_images + self.only_reference_correct_images
        return self.both_correct_images + alone + self.neither_correct_images

    @property
    def agreement_percent(self) -> float:
        """Images for which both give the same class."""
        return 100 * self.same_images / self.images

    @property
    def change_points(self) -> float:
        """Top-1 of the model less that of the reference, in percentage points."""
        return 100 * (self.only_model_correct_images - self.only_reference_correct_images) / self.images

    @property
    def interval_points(self) -> tuple[float, float]:
        """Newcombe's interval of 95% confidence of the change, in percentage points."""
        low, high = paired_difference(
            self.both_correct_images,
            self.only_model_correct_images,
            self.only_reference_correct_images,
            self.neither_correct_images,
        )
        return 100 * low, 100 * high

    @property
    def mcnemar_p(self) -> float:
        """The exact two-sided p of McNemar's test."""
        return mcnemar(self.only_model_correct_images, self.only_reference_correct_images)

    def to_json(self) -> dict[str, Any]:
        """Counts, and what they say."""
        low, high = self.interval_points
        return {
            "same_images": self.same_images,
            "agreement_percent": self.agreement_percent,
            "both_correct_images": self.both_correct_images,
            "only_model_correct_images": self.only_model_correct_images,
            "only_reference_correct_images": self.only_reference_correct_images,
            "neither_correct_images": self.neither_correct_images,
            "top1_change_points": self.change_points,
            "low_points": low,
            "high_points": high,
            "mcnemar_p": self.mcnemar_p,
        }


def accuracy(best: Classes, tied: NDArray[np.bool_], truth: Classes, top: Sequence[int]) -> Accuracy:
    """The figures of one model.

    Args:
        best: (images, k), the best classes of each image, best first.
        tied: of the same shape: whether the score is equal to the next.
        truth: (images,), the true classes.
        top: every k to count; at most that of `best`.
    """
    hits = best == truth[:, np.newaxis]
    right = hits[:, 0]
    counts, correct = np.bincount(truth), np.bincount(truth[right], minlength=int(truth.max()) + 1)
    return Accuracy(
        top={k: Rate(int(hits[:, :k].any(axis=1).sum()), len(truth)) for k in top},
        tied={k: int(tied[:, k - 1].sum()) for k in top},
        classes={int(index): Rate(int(correct[index]), int(counts[index])) for index in np.flatnonzero(counts)},
        confusions=_confusions(truth[~right], best[~right, 0]),
    )


def pairing(model: Classes, reference: Classes, truth: Classes) -> Pairing:
    """Two models by their top-1 classes; all (images,)."""
    right, expected = model == truth, reference == truth
    return Pairing(
        same_images=int((model == reference).sum()),
        both_correct_images=int((right & expected).sum()),
        only_model_correct_images=int((right & ~expected).sum()),
        only_reference_correct_images=int((~right & expected).sum()),
        neither_correct_images=int((~right & ~expected).sum()),
    )


def shifted(best: Classes, truth: Classes) -> int | None:
    """-1 or 1, if adding that to every true class makes top-1 drastically better; otherwise None.

    Drastically: at least twice as good, and the two Wilson intervals have nothing in common.
    """
    return next((shift for shift in (-1, 1) if _fits_better(best[:, 0], truth, truth + shift)), None)


def exchanged(best: Classes, truth: Classes) -> bool:
    """Whether top-1 of two classes is drastically better with each taken for the other."""
    return _fits_better(best[:, 0], truth, 1 - truth)


def alphabetical(best: Classes, truth: Classes, classes: int) -> bool:
    """Whether top-1 is drastically better with the numbers of the classes taken as names in alphabetical order, 0, 1,
    10, 11, 2, which is that of Keras for the folders of a data set."""
    order = np.argsort(sorted(range(classes), key=str)).astype(np.int32)
    return _fits_better(best[:, 0], truth, order[truth])


def _fits_better(predicted: Classes, truth: Classes, other: Classes) -> bool:
    here, there = (Rate(int((predicted == one).sum()), len(one)) for one in (truth, other))
    return there.correct_images >= 2 * here.correct_images and there.interval_percent[0] > here.interval_percent[1]


def _confusions(truth: Classes, predicted: Classes) -> tuple[Confusion, ...]:
    pairs, counts = np.unique(np.stack([truth, predicted], axis=1), axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")  # unique pairs are in order of class
    return tuple(Confusion(int(pairs[i, 0]), int(pairs[i, 1]), int(counts[i])) for i in order)
