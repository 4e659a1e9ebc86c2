"""Images -> the classes that a `.tflite` sees in them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lite_toolkit.errors import ImageError, require_range
from lite_toolkit.images.files import find_images, read_image
from lite_toolkit.images.preprocessing import Sized
from lite_toolkit.measurement.description import describe
from lite_toolkit.runtime import processors
from lite_toolkit.runtime.delegates import XNNPACK, Delegate
from lite_toolkit.runtime.interpreter import Model
from lite_toolkit.runtime.rehearsal import rehearse


@dataclass(frozen=True)
class Score:
    """One class: its index, its label where labels are known, and its score."""

    index: int
    label: str | None
    score: float


@dataclass(frozen=True)
class Prediction:
    """The best classes of one image, best first; `error` instead where the image cannot be read."""

    image: Path
    top: tuple[Score, ...]
    error: str | None = None


class Classifier:
    """A model with the preprocessing and labels that belong to it.

    Attributes:
        model: loaded.
        preprocessing: what is done to each image.
        labels: one for each class; None where nobody told.
        notes: what users should know: how the preprocessing was found, or what an Edge TPU leaves to the CPU.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        preprocessing: Sized | None = None,
        labels: Sequence[str] | None = None,
        threads: int | None = None,
        delegate: Delegate = XNNPACK,
    ) -> None:
        """Load a model, and what belongs to it as `describe` finds it.

        Raises:
            ModelError: the model cannot be loaded, or labels or preprocessing do not fit it.
            DelegateError: the delegate cannot be loaded, or does not run the model.
            UsageError: no number of threads.
        """
        require_range("--threads", threads, 1, processors.MAXIMUM)
        path = Path(path)
        about = describe(path, preprocessing=preprocessing, labels=labels, delegate=delegate.name)
        self.preprocessing, self.labels, self.notes = about.preprocessing, about.labels, about.notes
        rehearse(path, threads or 1, delegate, about.minimum_runtime)
        self.model = Model(path, threads, delegate, about.head)

    def classify(self, images: Iterable[Path | str], top: int = 5) -> Iterator[Prediction]:
        """The `top` classes of each image; equal scores are in order of index.

        Raises:
            ModelError: the model gives a score that is not finite.
        """
        require_range("--top", top, 1)
        for path in map(Path, images):
            try:
                scores = self.model.scores(self.preprocessing.apply(read_image(path)), str(path))
            except ImageError as error:
                yield Prediction(path, (), str(error))
            else:
                yield Prediction(path, self._best(scores, top))

    def _best(self, scores: NDArray[np.float32], top: int) -> tuple[Score, ...]:
        order = np.argsort(-scores, kind="stable")[:top]
        return tuple(Score(int(i), self.labels[i] if self.labels else None, float(scores[i])) for i in order)


def expand(paths: Iterable[Path]) -> Iterator[Path]:
    """The files among `paths`, and all images in the folders among them."""
    for path in paths:
        yield from find_images(path) if path.is_dir() else [path]
