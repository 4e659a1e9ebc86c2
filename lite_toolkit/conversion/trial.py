"""Which preset makes sense to a network, tried on the calibration images.

Where the images' classes are known, top-1 tells. Otherwise, and among presets that are as good, the scores do: of the
right preset they are sure of each image but differ between images, and they are not surer than training makes them.
Values too large by 255 make every score sure, and values too small make all images alike.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lite_toolkit.conversion.request import Request
from lite_toolkit.datasets import ground_truth
from lite_toolkit.datasets.representative import RepresentativeDataset, load_representative
from lite_toolkit.errors import ImageError
from lite_toolkit.images.files import find_images
from lite_toolkit.images.preprocessing import PRESETS, PreprocessingSpec
from lite_toolkit.progress import Steps
from lite_toolkit.runtime import heads
from lite_toolkit.tflite.manifest import Basis

Array = NDArray[np.float32]
Classes = NDArray[np.int32]
Shape = tuple[int, int, int]

# By the number of channels; the narrowest first.
CANDIDATES = {3: ("unit", "inception", "imagenet", "pixels", "caffe"), 1: ("unit", "inception", "pixels")}
GUESS = "inception"  # near to Lite's, and not far from the others but "pixels" and "caffe"
IMAGES = 64
_AS_GOOD = 0.05  # of top-1: three of these images
_USUAL = 6.0  # nats between the best and the next class: 2 to 12 in thirty networks of known scaling
_UNUSUAL = 0.2  # what a factor of e from that costs: two more of these networks are judged wrong at 0 and at 0.4
_BEYOND = 0.05  # of a range, by which interpolated values lie beside it
_LEAST = 1e-30


@dataclass(frozen=True)
class Trial:
    """How a network takes images of one preset.

    Attributes:
        preset: its name.
        top1: share of the images whose best class is their own; None where nobody knows these.
        sense: what the scores tell of the images, 1 at most: see the module.
    """

    preset: str
    top1: float | None
    sense: float

    def __str__(self) -> str:
        return f"{self.preset} {self.sense:.2f}" if self.top1 is None else f"{self.preset} {self.top1:.1%}"


def choose(
    scores: Callable[[Array], Array], shape: Shape, classes: int, request: Request, steps: Steps
) -> tuple[PreprocessingSpec, Basis]:
    """A preset of the whole image, and why.

    Args:
        scores: float32 image of that shape -> float32 (classes,).
        shape: height, width and channels of the input.
        classes: number of scores.
        request: for the images, the labels and the class index.
        steps: shows progress.

    Raises:
        ImageError: the images cannot be used.
    """
    specs = {name: whole(name, shape) for name in CANDIDATES[shape[2]]}
    if request.calibration_data is None:
        # The scores of the built-in images would tell nothing of the classes.
        return specs[GUESS], Basis("assumed", "nothing tells it, and there are no photographs to try presets on")
    with steps.step("try presets"):
        images = load_representative(request.calibration_data, specs["pixels"], IMAGES, 0, steps)
        stored = images.calibration.stored
        if stored.dtype == np.float32:
            low, high = float(stored.min()), float(stored.max())
            told = f"nothing tells it but the values of {images.description}, {low:.4g} to {high:.4g}"
            return _holding(low, high, specs), Basis("assumed", told)
        truth = _truth(images, classes, request)
        trials = [_tried(name, spec, scores, stored, truth) for name, spec in specs.items()]
    best = _best(trials)
    what = f"sense made of {images.description}, 1 at most" if truth is None else f"top-1 on {images.description}"
    told = f"nothing tells it, and {best.preset} fits best; {what}: {', '.join(map(str, trials))}"
    return specs[best.preset], Basis("tried", told)


def whole(preset: str, shape: Shape) -> PreprocessingSpec:
    """The preset's values of the whole image, which is what Keras' own loaders give to a network."""
    return PRESETS[f"{preset}-stretch"](shape[:2]).for_channels(shape[2])


def _holding(low: float, high: float, specs: Mapping[str, PreprocessingSpec]) -> PreprocessingSpec:
    """The first that may give such values."""
    for spec in specs.values():
        least, most = spec.value_range
        margin = _BEYOND * (most - least)
        if least - margin <= low and high <= most + margin:
            return spec
    return specs["pixels"]


def _truth(images: RepresentativeDataset, classes: int, request: Request) -> Classes | None:
    """The images' classes: told as to `evaluate`, or by the alphabetical order of folders, as Keras numbers them."""
    folder = request.calibration_data
    if folder is None or not folder.is_dir():
        return None
    names = list(images.digests)
    index = ground_truth.read_class_index(request.class_index) if request.class_index else None
    numbering = ground_truth.Numbering(heads.classes(classes), index, request.labels)
    listed = [path.relative_to(folder).as_posix() for path in find_images(folder)]
    folders = sorted({name.partition("/")[0] for name in listed if "/" in name})
    try:
        return ground_truth.read(folder, names, numbering, listed=listed).classes
    except ImageError:
        if len(folders) != numbering.classes or not all("/" in name for name in names):
            return None
        return np.array([folders.index(name.partition("/")[0]) for name in names], np.int32)


def _tried(
    preset: str,
    spec: PreprocessingSpec,
    scores: Callable[[Array], Array],
    pixels: NDArray[np.uint8],
    truth: Classes | None,
) -> Trial:
    """The preset on pixels (images, height, width, channels), RGB or grey."""
    inputs = spec.normalize(pixels[..., ::-1] if spec.channel_order == "bgr" else pixels)
    found = _probabilities(np.stack([scores(one) for one in inputs]))
    top1 = None if truth is None else float((found.argmax(axis=1) == truth).mean())
    return Trial(preset, top1, _sense(found))


def _probabilities(found: NDArray[np.float32]) -> NDArray[np.float64]:
    """Of each class, whatever the scores are; one score is that of the second of two classes."""
    scores = np.nan_to_num(found.astype(np.float64))
    shares = scores.min() >= 0 and scores.max() <= 1
    if scores.shape[1] == 1:
        second = scores if shares else 1 / (1 + np.exp(-scores.clip(-500, 500)))
        return np.hstack([1 - second, second])
    parts = scores if shares else np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(parts / parts.sum(axis=1, keepdims=True).clip(_LEAST))


def _sense(found: NDArray[np.float64]) -> float:
    """What probabilities (images, classes) tell of the images, as part of what they could."""
    logs = np.log(found.clip(_LEAST))
    mean = found.mean(axis=0)
    information = (found * logs).sum(axis=1).mean() - mean @ np.log(mean.clip(_LEAST))
    second, first = np.sort(logs, axis=1)[:, -2:].T
    surer = np.log(max(float(np.median(first - second)), 1e-3) / _USUAL)
    return float(information / np.log(found.shape[1]) - _UNUSUAL * abs(surer))


def _best(trials: list[Trial]) -> Trial:
    most = max(trial.top1 or 0 for trial in trials)
    return max((trial for trial in trials if (trial.top1 or 0) >= most - _AS_GOOD), key=lambda trial: trial.sense)
