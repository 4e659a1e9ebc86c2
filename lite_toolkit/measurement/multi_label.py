"""Figures of models that give each label a probability of its own, from these and the labels that are true."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from lite_toolkit.datasets.ground_truth import MAXIMUM_INDEX
from lite_toolkit.decoding import Count, between, encode_fields
from lite_toolkit.measurement.accuracy import Rate
from lite_toolkit.runtime.heads import THRESHOLD

FORMULAS = (
    f"average precision: sum((R_n - R_(n-1)) P_n) over the different scores, as scikit-learn has it; its mean is over "
    f"the labels that some images have and others not. F1 at {THRESHOLD:g}: 2 TP / (2 TP + FP + FN), micro of all "
    "labels' counts together, macro the mean over the labels that an image has or is given"
)

Percent = Annotated[float, between(0, 100)]


@dataclass(frozen=True)
class OfLabel:
    """What a model gets right of one label.

    Attributes:
        class_, name: of the label; the name where it is known.
        images, predicted_images, correct_images: that have it, that are given it, and both.
        average_precision_percent: None of a label that all images have, or none: it is the same whatever the scores.
    """

    class_: Annotated[int, between(0, MAXIMUM_INDEX - 1)]
    name: str | None
    images: Count
    predicted_images: Count
    correct_images: Count
    average_precision_percent: Percent | None

    def __post_init__(self) -> None:
        if self.correct_images > min(self.images, self.predicted_images):
            raise ValueError(f"{self.correct_images} images are right: must be at most those that have or are given it")

    @property
    def f1_percent(self) -> float | None:
        """2 TP / (2 TP + FP + FN); None of a label that no image has or is given."""
        return _f1([self])

    def to_json(self) -> dict[str, Any]:
        """The fields, and what they say."""
        return encode_fields(self) | {"f1_percent": self.f1_percent}


@dataclass(frozen=True)
class MultiLabel:
    """What a model gets right of all labels.

    Attributes:
        images, exact_images: that were judged, and those that are given just the labels that they have.
        same_images: that the reference gives the same labels; None without reference.
        labels: in the order of the outputs.
    """

    images: Count
    exact_images: Count
    same_images: Count | None
    labels: tuple[OfLabel, ...]

    def __post_init__(self) -> None:
        if not self.images or max(self.exact_images, self.same_images or 0) > self.images:
            raise ValueError(f"{self.images} images: must be 1 or more, of which others are a part")

    @property
    def mean_average_precision_percent(self) -> float | None:
        """The mean over the labels that some images have and others not; None where there are none."""
        return _mean(label.average_precision_percent for label in self.labels)

    @property
    def micro_f1_percent(self) -> float | None:
        """Of all labels' counts together."""
        return _f1(self.labels)

    @property
    def macro_f1_percent(self) -> float | None:
        """The mean over the labels that an image has or is given."""
        return _mean(label.f1_percent for label in self.labels)

    @property
    def figures(self) -> dict[str, float | None]:
        """The figures that sum up all labels, in percent."""
        return {
            "mAP": self.mean_average_precision_percent,
            "micro F1": self.micro_f1_percent,
            "macro F1": self.macro_f1_percent,
        }

    @property
    def exact(self) -> Rate:
        """Images that are given just the labels that they have."""
        return Rate(self.exact_images, self.images)

    @property
    def agreement_percent(self) -> float | None:
        """Images that the reference gives the same labels."""
        return None if self.same_images is None else 100 * self.same_images / self.images

    def to_json(self) -> dict[str, Any]:
        """The fields, and what they say."""
        names = ("mean_average_precision_percent", "micro_f1_percent", "macro_f1_percent", "agreement_percent")
        figures = {name: getattr(self, name) for name in names}
        return {"formulas": FORMULAS, "threshold": THRESHOLD, **figures, **encode_fields(self)}


def multi_label(
    scores: NDArray[np.float32],
    present: NDArray[np.bool_],
    names: Mapping[int, str],
    reference: NDArray[np.float32] | None = None,
) -> MultiLabel:
    """The figures of one model.

    Args:
        scores: (images, labels), a probability for each label.
        present: of the same shape, whether it is true.
        names: of the labels, where they are known.
        reference: the scores of another model.
    """
    given = scores > THRESHOLD
    labels = tuple(
        OfLabel(
            class_=label,
            name=names.get(label),
            images=int(present[:, label].sum()),
            predicted_images=int(given[:, label].sum()),
            correct_images=int((present & given)[:, label].sum()),
            average_precision_percent=average_precision(scores[:, label], present[:, label]),
        )
        for label in range(scores.shape[1])
    )
    same = None if reference is None else int((given == (reference > THRESHOLD)).all(axis=1).sum())
    return MultiLabel(len(scores), int((given == present).all(axis=1).sum()), same, labels)


def average_precision(scores: NDArray[np.float32], present: NDArray[np.bool_]) -> float | None:
    """Of one label, in percent: sum((R_n - R_(n-1)) P_n), with P_n and R_n precision and recall of the images whose
    score is at least the n-th highest of the different ones.

    It is not interpolated, and images of equal scores count together, so that their order does not matter:
    scikit-learn's `average_precision_score`. None where all images have the label or none.
    """
    if present.all() or not present.any():
        return None
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    hits = present[order].cumsum()[ends]
    gains = np.diff(hits, prepend=0) / hits[-1]
    return 100 * float((gains * hits / (ends + 1)).sum())


def _f1(labels: Iterable[OfLabel]) -> float | None:
    counts = [(2 * one.correct_images, one.images + one.predicted_images) for one in labels]
    right, either = (sum(column) for column in zip(*counts, strict=True))
    return 100 * right / either if either else None


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
