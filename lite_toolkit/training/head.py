"""A classifier upon features that do not change: multinomial logistic regression."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lite_toolkit.errors import MissingExtraError
from lite_toolkit.progress import Steps

STRENGTHS = (10.0, 1.0, 0.1, 0.01, 0.001)  # of the penalty; from the strongest, each starts where the last one ended
FOLDS = 5
MOST_TO_CHOOSE = 2000  # images that the strength is chosen on: more do not change it, and cost time
_ITERATIONS = 200
_FOLDING = 4  # the stream of random numbers; `split` has 3

Matrix = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Judged:
    """What heads say of images that they have not learnt from.

    Attributes:
        probabilities: (images, classes).
        strength: of the penalty that was chosen.
    """

    probabilities: NDArray[np.float64]
    strength: float


def require() -> None:
    """Refuse early what could not be done.

    Raises:
        MissingExtraError: scipy is not installed.
    """
    try:
        import threadpoolctl  # noqa: F401  # only whether they are there
        from scipy import optimize  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(error.name or "scipy", "train") from error


def standardised(features: Matrix) -> Matrix:
    """Features of mean 0 and standard deviation 1; what never changes is 0."""
    deviation = features.std(axis=0)
    return (features - features.mean(axis=0)) / np.where(deviation > 0, deviation, 1)  # type: ignore[no-any-return]


def fit(
    features: Matrix, classes: NDArray[np.intp], count: int, strength: float, start: Matrix | None = None
) -> Matrix:
    """The weights (features + 1, classes), the last row the biases, that make the classes most likely, by L-BFGS.

    Every class counts alike, however many images it has. The mean loss in nats has strength / 2 times the sum of the
    squared weights added.

    Args:
        features: (images, features), standardised.
        classes: (images,) the number of each image's class.
        count: number of classes.
        strength: of the penalty.
        start: weights to begin with; zeros by default.
    """
    from scipy.optimize import minimize

    inputs = np.hstack([features, np.ones((len(features), 1), np.float32)])
    sizes = np.bincount(classes, minlength=count)
    share = (1 / (np.count_nonzero(sizes) * np.maximum(sizes, 1)))[classes]
    images = np.arange(len(classes))

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights = flat.reshape(-1, count)
        probabilities = softmax(inputs @ weights.astype(np.float32))
        likelihood = np.log(np.maximum(probabilities[images, classes], 1e-30))
        probabilities[images, classes] -= 1
        gradient = (inputs.T @ (probabilities * share[:, np.newaxis]).astype(np.float32)).astype(np.float64)
        gradient[:-1] += strength * weights[:-1]
        return float(-(share * likelihood).sum() + strength / 2 * (weights[:-1] ** 2).sum()), gradient.ravel()

    first = np.zeros((inputs.shape[1], count)) if start is None else start.astype(np.float64)
    found = minimize(loss, first.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": _ITERATIONS, "gtol": 1e-4})
    return found.x.reshape(-1, count).astype(np.float32)  # type: ignore[no-any-return]


def softmax(logits: Matrix) -> NDArray[np.float64]:
    """Probabilities of logits (images, classes)."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    powers = np.exp(shifted)
    return powers / powers.sum(axis=1, keepdims=True)  # type: ignore[no-any-return]


def cross_validated(
    features: Matrix, classes: NDArray[np.intp], count: int, groups: NDArray[np.intp], seed: int, steps: Steps
) -> Judged:
    """What each image's class is by a head that learnt from the images of the other folds.

    The strength is the one whose probabilities are best, by the mean loss of the classes.

    Args:
        features: (images, features).
        classes: (images,) the number of each image's class.
        count: number of classes.
        groups: (images,) images of one group are in one fold.
        seed: deals the folds.
        steps: shows how far it is.
    """
    require()  # which loads scipy, whose threads are limited with numpy's only when they are there
    from threadpoolctl import threadpool_limits

    # Threads add in an order of their own, and wait for one another longer than such small products take.
    with threadpool_limits(1):
        folds = _Folds(standardised(features), classes, count, _folds(classes, groups, seed))
        some = _some(len(classes), seed)
        strength, found = _best(folds, some, steps)
        if len(some) < len(classes):
            found = folds.judge(np.arange(len(classes)), strength, [None] * FOLDS)
    return Judged(found, strength)


@dataclass(frozen=True, eq=False)
class _Folds:
    """Standardised features of images, their classes, how many of these there are, and the fold of each image."""

    inputs: Matrix
    classes: NDArray[np.intp]
    count: int
    folds: NDArray[np.intp]

    def judge(self, some: NDArray[np.intp], strength: float, starts: list[Matrix | None]) -> NDArray[np.float64]:
        """The probabilities of some images by heads that learnt from those of the other folds.

        The heads begin with `starts`, and replace them.
        """
        found = np.zeros((len(self.classes), self.count))
        for fold in np.unique(self.folds[some]).tolist():
            learnt, judged = some[self.folds[some] != fold], some[self.folds[some] == fold]
            weights = fit(self.inputs[learnt], self.classes[learnt], self.count, strength, starts[fold])
            found[judged] = probabilities(self.inputs[judged], weights)
            starts[fold] = weights
        return found

    def loss(self, some: NDArray[np.intp], found: NDArray[np.float64]) -> float:
        """The mean over classes of the mean loss of their images, in nats."""
        given = -np.log(np.maximum(found[some, self.classes[some]], 1e-9))
        sizes = np.bincount(self.classes[some], minlength=self.count)
        return float((given / sizes[self.classes[some]]).sum() / np.count_nonzero(sizes))


def _best(folds: _Folds, some: NDArray[np.intp], steps: Steps) -> tuple[float, NDArray[np.float64]]:
    """The strength after which weaker ones only overfit, and the probabilities by it."""
    starts: list[Matrix | None] = [None] * FOLDS
    best, least, kept = STRENGTHS[0], float("inf"), np.empty(0)
    for strength in steps.track(STRENGTHS, len(STRENGTHS)):
        found = folds.judge(some, strength, starts)
        loss = folds.loss(some, found)
        if loss >= least:
            break
        best, least, kept = strength, loss, found
    return best, kept


def probabilities(features: Matrix, weights: Matrix) -> NDArray[np.float64]:
    """(images, classes) by weights as `fit` gives them."""
    return softmax(features @ weights[:-1] + weights[-1])


def _some(count: int, seed: int) -> NDArray[np.intp]:
    """At most `MOST_TO_CHOOSE` images, ascending."""
    keys = np.random.PCG64([seed, _FOLDING, 1]).random_raw(count)
    return np.sort(np.argsort(keys, kind="stable")[:MOST_TO_CHOOSE])


def _folds(classes: NDArray[np.intp], groups: NDArray[np.intp], seed: int) -> NDArray[np.intp]:
    """The fold of each image: the groups of each class, shuffled, are dealt in turn."""
    keys = np.random.PCG64([seed, _FOLDING]).random_raw(len(classes))
    dealt: dict[int, int] = {}
    next_of: dict[int, int] = defaultdict(int)
    for image in np.argsort(keys, kind="stable").tolist():
        group, name = int(groups[image]), int(classes[image])
        if group not in dealt:
            dealt[group] = (next_of[name] + name) % FOLDS  # small classes do not all begin with the same fold
            next_of[name] += 1
    return np.array([dealt[int(group)] for group in groups], np.intp)


def alone(classes: Sequence[int], groups: Sequence[int]) -> list[int]:
    """The classes all of whose images are copies of one another, so that none can judge another."""
    found: dict[int, set[int]] = defaultdict(set)
    for name, group in zip(classes, groups, strict=True):
        found[name].add(group)
    return sorted(name for name, own in found.items() if len(own) == 1)
