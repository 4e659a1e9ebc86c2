"""Images cut and resized to a size, as those do it who evaluate networks, and as MediaPipe and TensorFlow do.

Every other filter is Pillow's and antialiased; that is what timm and Hugging Face evaluate with.
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

    Positions = NDArray[np.floating[Any]]
    Crop = Literal["none", "before-resize", "after-resize", "after-stretch"]
    Interpolation = Literal["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming", "mediapipe", "tensorflow"]
else:  # Python 3.7 has no Literal; whoever decodes a spec leaves these to its own check
    Crop = Interpolation = Any

Sides = Tuple[int, int]  # (width, height), as Pillow has them

CROPS: tuple[Crop, ...] = ("none", "before-resize", "after-resize", "after-stretch")
PILLOW: tuple[Interpolation, ...] = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")  # its 0-5
INTERPOLATIONS: tuple[Interpolation, ...] = (*PILLOW, "mediapipe", "tensorflow")
MAXIMUM_RESIZED_PIXELS = 1 << 26  # 268 MB in Pillow: only an image shaped like a ribbon comes near it
_STEPS = 32  # of a pixel, that OpenCV rounds positions to
_BLOCK = 256  # pixels a side that are sampled at once, in 10 MB


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
        return Image.fromarray(_as_mediapipe(np.asarray(image), size))
    if interpolation == "tensorflow":
        return Image.fromarray(_as_tensorflow(np.asarray(image), size))
    # Width first, as Pillow did until 12: 13 begins with the cheaper axis, which moves pixels by a few levels.
    kernel: Any = PILLOW.index(interpolation)
    return image.resize((size[0], image.height), kernel).resize(size, kernel)


def _as_mediapipe(pixels: NDArray[np.uint8], size: Sides) -> NDArray[np.uint8]:
    """uint8 (height, width, 3), stretched as MediaPipe does it on a CPU: the first pixel stays at the corner.

    Found by feeding MediaPipe 1.2.2 images and a model that gives its input back: equal in every pixel, but where a
    position lies in the middle between two steps, which floats decide there.
    """
    ys, xs = (
        np.minimum(np.rint(np.arange(wanted) * (_STEPS * length / wanted)) / _STEPS, length - 1)
        for length, wanted in zip(pixels.shape, reversed(size))
    )
    return sample(pixels, ys, xs)


def _as_tensorflow(pixels: NDArray[np.uint8], size: Sides) -> NDArray[np.uint8]:
    """uint8 (height, width, 3), stretched as tf.image.resize does it by default, whose floats are rounded here."""
    ys, xs = (
        ((np.arange(wanted) + 0.5) * (length / wanted) - 0.5).clip(0, length - 1)
        for length, wanted in zip(pixels.shape, reversed(size))
    )
    return sample(pixels, ys, xs)


def sample(pixels: NDArray[np.uint8], ys: Positions, xs: Positions) -> NDArray[np.uint8]:
    """Bilinear values at rows `ys` and columns `xs`, without antialiasing; the edges are repeated.

    Args:
        pixels: uint8 (height, width, 3).
        ys, xs: positions in pixels, of which the first is at 0.

    Returns:
        uint8 (len(ys), len(xs), 3), rounded half up.
    """
    made = np.empty((len(ys), len(xs), 3), np.uint8)
    for top in range(0, len(ys), _BLOCK):
        for left in range(0, len(xs), _BLOCK):
            rows, columns = slice(top, top + _BLOCK), slice(left, left + _BLOCK)
            made[rows, columns] = _sampled(pixels, ys[rows], xs[columns])
    return made


def _sampled(pixels: NDArray[np.uint8], ys: Positions, xs: Positions) -> NDArray[np.floating[Any]]:
    top, left = np.floor(ys).astype(np.intp), np.floor(xs).astype(np.intp)
    down, right = (ys - top)[:, None, None], (xs - left)[None, :, None]
    rows = [(top + offset).clip(0, pixels.shape[0] - 1)[:, None] for offset in (0, 1)]
    columns = [(left + offset).clip(0, pixels.shape[1] - 1) for offset in (0, 1)]
    upper, lower = (pixels[row, columns[0]] * (1 - right) + pixels[row, columns[1]] * right for row in rows)
    mixed: NDArray[np.floating[Any]] = np.floor(upper * (1 - down) + lower * down + 0.5)
    return mixed


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
