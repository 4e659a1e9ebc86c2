"""Images cut and resized to a size, as those do it who evaluate networks, and as MediaPipe does.

Every filter but "mediapipe" is Pillow's and antialiased; that is what timm and Hugging Face evaluate with.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Tuple

import numpy as np
from PIL import Image

from lite_toolkit.errors import ImageError

if TYPE_CHECKING:
    from typing import Literal

    from numpy.typing import NDArray

    Crop = Literal["none", "before-resize", "after-resize", "after-stretch"]
    Interpolation = Literal["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming", "mediapipe"]

Sides = Tuple[int, int]  # (width, height), as Pillow has them

CROPS: tuple[Crop, ...] = ("none", "before-resize", "after-resize", "after-stretch")
PILLOW: tuple[Interpolation, ...] = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")  # its 0-5
INTERPOLATIONS: tuple[Interpolation, ...] = (*PILLOW, "mediapipe")
MAXIMUM_RESIZED_PIXELS = 1 << 26  # 268 MB in Pillow: only an image shaped like a ribbon comes near it
_STEPS = 32  # of a pixel, that OpenCV rounds positions to


def frame(image: Image.Image, size: Sides, crop: Crop, fraction: float, interpolation: Interpolation) -> Image.Image:
    """`image` cropped and resized to `size`; the arguments are those of `preprocessing.PreprocessingSpec`.

    Raises:
        ImageError: the image is so narrow that resizing it needs too much memory.
    """
    if crop == "after-resize":
        return _cut_centre(_resize(image, _covering_size(image, size, fraction), interpolation), size)
    if crop == "after-stretch":
        return _cut_centre(_resize(image, stretched(size, fraction), interpolation), size)
    if crop == "before-resize":
        image = _central_square(image, fraction)
    return _resize(image, size, interpolation)


def stretched(size: Sides, fraction: float) -> Sides:
    """The size of which `size` is that fraction."""
    return math.floor(size[0] / fraction), math.floor(size[1] / fraction)


def _resize(image: Image.Image, size: Sides, interpolation: Interpolation) -> Image.Image:
    if size[0] * max(size[1], image.height) > MAXIMUM_RESIZED_PIXELS:
        raise ImageError(
            f"an image of {image.width}x{image.height} pixels is too narrow to be resized to {size[0]}x{size[1]}: "
            f"at most {MAXIMUM_RESIZED_PIXELS:,} pixels are allowed on the way"
        )
    if interpolation == "mediapipe":
        return Image.fromarray(_sampled(np.asarray(image), size))
    # Width first, as Pillow did until 12: 13 begins with the cheaper axis, which moves pixels by a few levels.
    kernel: Any = PILLOW.index(interpolation)
    return image.resize((size[0], image.height), kernel).resize(size, kernel)


def _sampled(pixels: NDArray[np.uint8], size: Sides) -> NDArray[np.uint8]:
    """uint8 (height, width, 3) by bilinear interpolation without antialiasing, as MediaPipe does it on a CPU.

    The first pixel stays at the corner. Found by feeding MediaPipe 1.2.2 images and a model that gives its input back:
    equal in every pixel, but where a position lies in the middle between two steps, which floats decide there.
    """
    left, right, across = _positions(pixels.shape[1], size[0])
    upper, lower, down = _positions(pixels.shape[0], size[1])
    across, down = across[:, None], down[:, None, None]
    # The distances are int32, and so is all that they weigh: 255 * 32 * 32 needs 18 bits.
    rows = [pixels[y[:, None], left] * (_STEPS - across) + pixels[y[:, None], right] * across for y in (upper, lower)]
    weighted = rows[0] * (_STEPS - down) + rows[1] * down
    return ((weighted + _STEPS**2 // 2) // _STEPS**2).astype(np.uint8)


def _positions(length: int, wanted: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]:
    """For each of `wanted` pixels: the two that it lies between, and its distance from the first in steps."""
    positions = np.rint(np.arange(wanted) * (_STEPS * length / wanted)).astype(np.int64)
    first = np.minimum(positions // _STEPS, length - 1)
    return first, np.minimum(first + 1, length - 1), (positions % _STEPS).astype(np.int32)


def _covering_size(image: Image.Image, size: Sides, fraction: float) -> Sides:
    """(width, height) of the image resized with its aspect so that the crop fits (timm.data.transforms_factory)."""
    wide, high = stretched(size, fraction)
    shorter, longer = sorted(image.size)
    if wide == high:  # torchvision's Resize rounds down; timm's ResizeKeepRatio, for other inputs, to the nearest
        longest = int(wide * longer / shorter)
        return (wide, longest) if image.width == shorter else (longest, wide)
    ratio = min(image.width / wide, image.height / high)
    return round(image.width / ratio), round(image.height / ratio)


def _cut_centre(image: Image.Image, size: Sides) -> Image.Image:
    # Python's round, half to even, as torchvision's CenterCrop.
    left, top = round((image.width - size[0]) / 2), round((image.height - size[1]) / 2)
    return image.crop((left, top, left + size[0], top + size[1]))


def _central_square(image: Image.Image, fraction: float) -> Image.Image:
    """The square of `fraction` of the shorter side; the odd pixel of the margin goes before it, as Google's does."""
    side = max(1, int(fraction * min(image.size)))
    left, top = (image.width - side + 1) // 2, (image.height - side + 1) // 2
    return image.crop((left, top, left + side, top + side))
