"""transformers' EfficientNetImageProcessor, step by step, with all its arguments."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from lite_toolkit.decoding import decode
from lite_toolkit.errors import ImageError, ModelError
from lite_toolkit.images.preprocessing import MAXIMUM_SIDE, Triple
from lite_toolkit.images.resizing import MAXIMUM_RESIZED_PIXELS, PILLOW
from lite_toolkit.weights.configurations import ProcessorType

Sides = tuple[int, int]  # (height, width), as transformers has them


@dataclass(frozen=True)
class ImageProcessor:
    """What is done to an image, in this order.

    Attributes:
        do_resize: to `size`, not keeping the aspect, or to a shorter side of `size`, keeping it.
        size: (height, width), or a shorter side, in pixels.
        resample: Pillow's number of a filter, 0 to 5.
        do_center_crop: to `crop_size`; where the image is smaller, with black around it.
        crop_size: (height, width) in pixels.
        do_rescale: by `rescale_factor`, and then, with `rescale_offset`, less 1.
        do_normalize: subtract `image_mean`, divide by `image_std`.
        include_top: divide by `image_std`, once more where it has been done.

    Raises:
        ModelError: a value is out of range, or one is missing that a step needs.
    """

    size: Sides | int | None = None
    resample: int = 3
    do_resize: bool = True
    do_center_crop: bool = False
    crop_size: Sides | None = None
    do_rescale: bool = True
    rescale_factor: float = 1 / 255
    rescale_offset: bool = False
    do_normalize: bool = True
    image_mean: Triple = (0.5, 0.5, 0.5)
    image_std: Triple = (0.5, 0.5, 0.5)
    include_top: bool = True

    def __post_init__(self) -> None:
        for field, needed in (("size", self.do_resize), ("crop_size", self.do_center_crop)):
            sides = getattr(self, field)
            for side in (sides,) if isinstance(sides, int) else sides or ((None,) if needed else ()):
                if side is None or not 1 <= side <= MAXIMUM_SIDE:
                    raise ModelError(f"{field} {sides!r}: must be whole numbers of pixels, 1 to {MAXIMUM_SIDE}")
        if not 0 <= self.resample < len(PILLOW):
            raise ModelError(f"resample {self.resample!r}: must be from 0 to 5, Pillow's number of a filter")
        if not self.rescale_factor > 0:
            raise ModelError(f"rescale_factor {self.rescale_factor!r}: must be above 0")
        if 0 in self.image_std:
            raise ModelError(f"image_std {self.image_std!r}: must not be 0")

    def __call__(self, image: Image.Image) -> npt.NDArray[np.float32]:
        """The network's input for an RGB image, (height, width, 3); transformers has the channels first.

        It is resized as the installed Pillow does it, whose results differ between its releases.

        Raises:
            ImageError: the image is not in mode RGB, or so narrow that resizing it needs too much memory.
        """
        if image.mode != "RGB":
            raise ImageError(f"an image of mode {image.mode!r}: must be RGB, as images.read_image returns")
        if self.do_resize:
            image = self._resized(image)
        pixels: npt.NDArray[Any] = np.asarray(image)
        if self.do_center_crop and self.crop_size:
            pixels = _central(pixels, self.crop_size)
        if self.do_rescale:
            pixels = (pixels.astype(np.float64) * self.rescale_factor).astype(np.float32) - self.rescale_offset
        if self.do_normalize:
            pixels = _normalized(pixels, self.image_mean, self.image_std)
        if self.include_top:
            pixels = _normalized(pixels, (0.0, 0.0, 0.0), self.image_std)
        return pixels.astype(np.float32)

    def _resized(self, image: Image.Image) -> Image.Image:
        height, width = _keeping_aspect(image, self.size) if isinstance(self.size, int) else self.size or (0, 0)
        if width * max(height, image.height) > MAXIMUM_RESIZED_PIXELS:
            raise ImageError(f"an image of {image.width}x{image.height} pixels is too narrow to be resized")
        kernel: Any = self.resample
        return image.resize((width, height), kernel)


def from_config(config: Mapping[str, Any]) -> ImageProcessor:
    """The processor of a preprocessor_config.json.

    Raises:
        ModelError: a value is wrong, or the processor is another one.
    """
    sides = {key: _sides_of(key, config[key]) for key in ("size", "crop_size") if key in config}
    decode(_Named, config, "preprocessing", ModelError, exact=False)
    return decode(ImageProcessor, {**config, **sides}, "preprocessing", ModelError, exact=False)


@dataclass(frozen=True)
class _Named:
    image_processor_type: ProcessorType = "EfficientNetImageProcessor"


def _sides_of(key: str, size: object) -> object:
    """(height, width), or a shorter side alone; a number is both sides (get_size_dict)."""
    if isinstance(size, dict) and size.keys() == {"height", "width"}:
        return size["height"], size["width"]
    if key == "size" and isinstance(size, dict) and size.keys() == {"shortest_edge"}:
        return size["shortest_edge"]
    if size is None or type(size) is int:
        return size and (size, size)
    raise ModelError(f"preprocessing: {key} {size!r}: must be an object of height and width")


def _keeping_aspect(image: Image.Image, shorter: int) -> Sides:
    """(height, width) of the image resized to a shorter side (get_resize_output_image_size)."""
    longer = int(shorter * max(image.size) / min(image.size))
    return (longer, shorter) if image.width <= image.height else (shorter, longer)


def _central(pixels: npt.NDArray[Any], size: Sides) -> npt.NDArray[Any]:
    """The centre of (height, width, 3) pixels, or these with zeros around; the odd pixel lies behind a crop, and
    before what is padded (transformers' center_crop).
    """
    for axis, side in enumerate(size):
        spare = pixels.shape[axis] - side
        if spare >= 0:
            pixels = pixels.take(range(spare // 2, spare // 2 + side), axis)
        else:
            margins = [(0, 0), (0, 0), (0, 0)]
            margins[axis] = (-spare - -spare // 2, -spare // 2)
            pixels = np.pad(pixels, margins, "constant")
    return pixels


def _normalized(pixels: npt.NDArray[Any], mean: Triple, std: Triple) -> npt.NDArray[np.float32]:
    normalized: npt.NDArray[np.float32] = pixels.astype(np.float32)
    normalized -= np.asarray(mean, np.float32)
    normalized /= np.asarray(std, np.float32)
    return normalized
