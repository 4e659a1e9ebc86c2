"""Golden vectors: what known images become on their way through a model, as files of a bundle."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lite_toolkit.board.golden import STAGES, Difference, pixels_sha256
from lite_toolkit.datasets.synthetic import synthetic_image
from lite_toolkit.decoding import Count, Limit, Sha256, between
from lite_toolkit.images.preprocessing import PreprocessingSpec
from lite_toolkit.runtime import heads
from lite_toolkit.runtime.delegates import NONE, XNNPACK
from lite_toolkit.runtime.interpreter import Model, TensorInfo, runtime_version

SIZES = ((300, 400), (400, 300), (257, 311))  # height and width: lying, standing, and of odd margins
SEED = 2024
CANDIDATES = 16  # images of each size, of which one is chosen
LEVELS = 255  # between the ends of 8 bits
MOST = 100  # of which a bundle may tell
LEAST_STEP, FEWEST_STEPS = 1e-30, 1.0
TOLERATED_STEPS = 1.0  # by resizing and quantizing, which are arithmetic on 8 bits
_TOLERATED = STAGES[:-1]  # the whole adds up the others
_OF_ALL_STAGES = Limit(lambda steps: set(steps) == set(_TOLERATED), f"of {', '.join(_TOLERATED)}")


@dataclass(frozen=True)
class Vector:
    """One image's way; the names are paths in the bundle.

    Attributes:
        image: the image, a PNG of any size.
        resized: its cropped and resized pixels, an RGB PNG of the input's size.
        input, output: the tensors' bytes, little-endian.
        pixels_sha256: of the image's RGB bytes, row by row.
        best, score: the best class and its score.
    """

    image: str
    resized: str
    input: str
    output: str
    pixels_sha256: Sha256
    best: Count
    score: float


@dataclass(frozen=True)
class Golden:
    """The vectors of a model, as `bundle.json` says them.

    Attributes:
        runtime: that computed them.
        input_step, output_step: what one step is of the stored values: 1 of integers; of floats 1/255 of the range of
            the golden values, as 8 bits would have it.
        tolerance_steps: stage -> how many steps its values may be off; scores by twice what XNNPACK and the runtime's
            own kernels differ by on these images, and by 1 at least.
        vectors: of the three images.
    """

    runtime: str
    input_step: Annotated[float, between(LEAST_STEP)]
    output_step: Annotated[float, between(LEAST_STEP)]
    tolerance_steps: Annotated[Mapping[str, Annotated[float, between(0)]], _OF_ALL_STAGES]
    vectors: Annotated[tuple[Vector, ...], Limit(lambda found: 0 < len(found) <= MOST, f"of 1 to {MOST}")]


def record(content: bytes, spec: PreprocessingSpec, head: str) -> tuple[Golden, dict[str, bytes]]:
    """The golden vectors of a `.tflite` model, which takes what `spec` makes of images and gives what `head` tells; and
    their files by path.

    Raises:
        ModelError: the model cannot be run, or gives scores that are no numbers.
    """
    model, plain = (Model(content, 1, delegate, head) for delegate in (XNNPACK, NONE))
    images = [_clearest(model, spec, place) for place in range(len(SIZES))]
    pixels = [spec.pixels(image) for image in images]
    inputs = [model.input.quantize(spec.normalize(resized)) for resized in pixels]
    outputs = [model.raw(stored) for stored in inputs]
    apart = max(Difference.between(plain.raw(x), y).largest for x, y in zip(inputs, outputs, strict=True))
    vectors = tuple(_vector(number, images[number], model, outputs[number]) for number in range(len(images)))
    files: dict[str, bytes] = {}
    for number, vector in enumerate(vectors):
        files[vector.image] = _png(images[number])
        files[vector.resized] = _png(_picture(pixels[number], spec))
        files[vector.input] = _little_endian(inputs[number])
        files[vector.output] = _little_endian(outputs[number])
    step = _step(model.output, outputs)
    tolerances = {"resize": TOLERATED_STEPS, "quantize": TOLERATED_STEPS, "kernel": max(FEWEST_STEPS, 2 * apart / step)}
    steps = {"decode": 0.0, **tolerances}
    return Golden(runtime_version(), _step(model.input, inputs), step, steps, vectors), files


def _clearest(model: Model, spec: PreprocessingSpec, place: int) -> Image.Image:
    """The image of one of the `SIZES` whose best class is furthest ahead of the second.

    A wrong pixel or channel changes such scores by far more than the kernels of another machine do.
    """
    numbers = range(place, CANDIDATES * len(SIZES), len(SIZES))
    images = (Image.fromarray(synthetic_image(SEED, number, SIZES[place])) for number in numbers)
    return max(images, key=lambda image: _lead(model.scores(spec.apply(image))))


def _lead(scores: NDArray[np.float32]) -> float:
    return float(np.ptp(np.sort(scores)[-2:]))


def _vector(number: int, image: Image.Image, model: Model, output: NDArray[Any]) -> Vector:
    scores = heads.scores(model.head, model.output.dequantize(output))
    best = int(scores.argmax())
    place = f"golden/{number}"
    names = (f"{place}.png", f"{place}-resized.png", f"{place}-input.bin", f"{place}-output.bin")
    return Vector(*names, pixels_sha256(image), best, float(scores[best]))


def _picture(pixels: NDArray[np.uint8], spec: PreprocessingSpec) -> Image.Image:
    """The image of pixels in the spec's channel order."""
    grey = spec.channels == 1
    return Image.fromarray(pixels[..., 0] if grey else np.ascontiguousarray(spec.order_channels(pixels)))


def _png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def _little_endian(tensor: NDArray[Any]) -> bytes:
    return tensor.astype(tensor.dtype.newbyteorder("<")).tobytes()


def _step(info: TensorInfo, tensors: list[NDArray[Any]]) -> float:
    if np.dtype(info.dtype).kind != "f":
        return 1.0
    spread = max(float(tensor.max()) for tensor in tensors) - min(float(tensor.min()) for tensor in tensors)
    return spread / LEVELS or 1.0


def job_files(folder: Path, vectors: Sequence[Vector]) -> dict[str, Path]:
    """The files that the runner's job "golden" takes, by the names that it gives them."""
    return {
        f"{name}{number}": folder / getattr(vector, name)
        for number, vector in enumerate(vectors)
        for name in ("image", "resized", "input", "output")
    }
