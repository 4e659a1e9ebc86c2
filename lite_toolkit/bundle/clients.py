"""How clients resize images, simulated, and how often the model then sees the same as with its own preprocessing."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lite_toolkit.datasets.synthetic import synthetic_images
from lite_toolkit.errors import ImageError
from lite_toolkit.images.files import find_images, read_image
from lite_toolkit.images.preprocessing import PreprocessingSpec
from lite_toolkit.images.resizing import sample
from lite_toolkit.progress import Steps
from lite_toolkit.runtime import heads
from lite_toolkit.runtime.interpreter import Model

SYNTHETIC_IMAGES, SYNTHETIC_SIZE, SYNTHETIC_SEED = 32, (375, 500), 7

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Client:
    """A client's own way of resizing.

    Attributes:
        name: in reports.
        how: what is simulated.
        pixels: makes of a spec and an RGB image the pixels (height, width, 3) in the spec's channel order.
    """

    name: str
    how: str
    pixels: Callable[[PreprocessingSpec, Image.Image], Pixels]


@dataclass(frozen=True)
class Agreement:
    """How many images have the same best class, or the same labels, as with the model's own preprocessing."""

    client: Client
    images: int
    equal: int

    @property
    def percent(self) -> float:
        """Of the images."""
        return 100 * self.equal / self.images


@dataclass(frozen=True)
class Survey:
    """The agreement of each client.

    Attributes:
        images: what it was measured on.
        skipped: one message for each image that cannot be read.
    """

    images: str
    agreements: tuple[Agreement, ...]
    skipped: tuple[str, ...]


def survey(model: Model, spec: PreprocessingSpec, folder: Path | None, steps: Steps) -> Survey:
    """The agreement of each client on the photographs of a folder, or else on built-in synthetic images.

    Raises:
        ImageError: no image can be read, or one is too narrow to be resized.
    """
    skipped: list[str] = []
    images = _photographs(folder, skipped, steps) if folder else _synthetic(steps)
    found = tuple(agreements(model, spec, images))
    seen = found[0].images
    if not seen:
        raise ImageError(f"{folder}: none of {len(skipped)} images can be read")
    title = f"{seen} images given by --data" if folder else f"{seen} built-in synthetic images"
    return Survey(title, found, tuple(skipped))


def _synthetic(steps: Steps) -> Iterator[Image.Image]:
    made = synthetic_images(SYNTHETIC_IMAGES, SYNTHETIC_SEED, SYNTHETIC_SIZE)
    return map(Image.fromarray, steps.track(made, SYNTHETIC_IMAGES))


def _photographs(folder: Path, skipped: list[str], steps: Steps) -> Iterator[Image.Image]:
    paths = find_images(folder)
    for path in steps.track(paths, len(paths)):
        try:
            yield read_image(path)
        except ImageError as error:
            skipped.append(str(error))


def agreements(model: Model, spec: PreprocessingSpec, images: Iterable[Image.Image]) -> list[Agreement]:
    """The agreement of each client, on RGB images.

    Raises:
        ImageError: an image is too narrow to be resized.
    """
    seen, equal = 0, dict.fromkeys(CLIENTS, 0)
    for image in images:
        seen += 1
        expected = _answer(model, spec, spec.pixels(image))
        for client in CLIENTS:
            equal[client] += _answer(model, spec, client.pixels(spec, image)) == expected
    return [Agreement(client, seen, count) for client, count in equal.items()]


def _answer(model: Model, spec: PreprocessingSpec, pixels: Pixels) -> list[int]:
    """The best class, or whether each label of a multi-label model holds."""
    found: list[int] = heads.answers(model.head, model.scores(spec.normalize(pixels))[np.newaxis])[0].tolist()
    return found


def _antialiased(spec: PreprocessingSpec, image: Image.Image) -> Pixels:
    return dataclasses.replace(spec, interpolation="bilinear").pixels(image)


def _at_centres(spec: PreprocessingSpec, image: Image.Image) -> Pixels:
    """Pixel centres of the input lie between those of the crop as they do on paper."""
    left, top, width, height = crop_box(spec, image.size)
    ys = top + (np.arange(spec.height) + 0.5) * (height / spec.height) - 0.5
    xs = left + (np.arange(spec.width) + 0.5) * (width / spec.width) - 0.5
    ys, xs = ys.clip(top, top + height - 1), xs.clip(left, left + width - 1)
    return spec.order_channels(sample(np.asarray(image), ys, xs))


def _as_mediapipe(spec: PreprocessingSpec, image: Image.Image) -> Pixels:
    return spec.for_mediapipe().pixels(image)


def crop_box(spec: PreprocessingSpec, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, width and height of the part of an image of `size` (width, height) that the model sees.

    A crop after the resize is told in pixels of the image, rounded down: what an app cuts before it resizes.
    """
    width, height = size
    sides: Sequence[float] = size
    if spec.crop == "before-resize":
        sides = (min(size),) * 2
    elif spec.crop == "after-resize":
        scale = min(width / spec.width, height / spec.height)
        sides = scale * spec.width, scale * spec.height
    wide, high = (max(1, int(spec.crop_fraction * side)) for side in sides)
    return (width - wide + 1) // 2, (height - high + 1) // 2, wide, high


# What CoreGraphics and vImage do on an iPhone is not published to the pixel, so neither is simulated.
CLIENTS = (
    Client("pillow-bilinear", "Pillow's antialiased bilinear filter on the model's own crop", _antialiased),
    Client(
        "bilinear-crop",
        "bilinear without antialiasing on the model's own crop: Android's Bitmap.createScaledBitmap with filter, "
        "OpenCV's INTER_LINEAR",
        _at_centres,
    ),
    Client(
        "mediapipe",
        "the whole image, stretched, bilinear without antialiasing from corner to corner: MediaPipe Tasks on a CPU",
        _as_mediapipe,
    ),
)
