"""What a classifier's outputs mean, and what they say of each class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lite_toolkit.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SINGLE_LABEL = "single-label"  # of several outputs, the highest is the class
SIGMOID = "sigmoid"  # one output: the probability of the second of two classes
LOGIT = "logit"  # one output: the logit of that probability
MULTI_LABEL = "multi-label"  # several outputs: the probability of each label, whatever the others
HEADS = (SINGLE_LABEL, SIGMOID, LOGIT, MULTI_LABEL)

THRESHOLD = 0.5  # of a probability: what is above it holds, as Keras' BinaryAccuracy has it


def classes(outputs: int) -> int:
    """How many classes so many outputs tell apart: one tells two."""
    return 2 if outputs == 1 else outputs


def fits(head: object, outputs: int) -> bool:
    """Whether so many outputs can mean that."""
    return head in ((SIGMOID, LOGIT) if outputs == 1 else (SINGLE_LABEL, MULTI_LABEL))


def require_labels(labels: Sequence[str], outputs: int) -> None:
    """Refuse another number of labels than that of the classes.

    Raises:
        ModelError: it is another.
    """
    if len(labels) != classes(outputs):
        pair = " by one output: two are needed, that of a low score first" if outputs == 1 else ""
        raise ModelError(f"{len(labels)} labels for a model of {classes(outputs)} classes{pair}")


def both(labels: Sequence[str] | None, outputs: int) -> Sequence[str] | None:
    """The labels; of one output, others name the second class alone."""
    return (f"not {labels[0]}", labels[0]) if labels and len(labels) == outputs == 1 else labels


def scores(head: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """A score for each class, of outputs (outputs,): two of one.

    They are 1 - p and p of a probability, and 0 and x of a logit, whose softmax these are; so the best is the second
    where p is above 0.5, or x above 0.
    """
    if head == SIGMOID:
        return np.concatenate([1 - values, values])
    if head == LOGIT:
        return np.concatenate([np.zeros_like(values), values])
    return values


def answers(head: str, values: NDArray[np.float32]) -> NDArray[np.intp]:
    """What scores (images, classes) say: the best class (images, 1), the lowest index of equals; of a multi-label
    model, whether each label holds, 1 or 0 (images, classes)."""
    if head == MULTI_LABEL:
        return (values > THRESHOLD).astype(np.intp)
    best: NDArray[np.intp] = values.argmax(axis=1).reshape(-1, 1)
    return best
