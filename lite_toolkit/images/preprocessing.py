"""What a model expects of its input: one spec drives calibration, evaluation, the manifest and the app's snippet."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Tuple, Union

import numpy as np
from PIL import Image

from lite_toolkit.errors import ImageError, ModelError
from lite_toolkit.images.resizing import CROPS, INTERPOLATIONS, Crop, Interpolation, frame

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Literal, Self

    from numpy.typing import NDArray

    ChannelOrder = Literal["rgb", "bgr", "grey"]
    QuantizedType = Literal["uint8", "int8", "int16"]
else:  # as in `resizing`
    ChannelOrder = Any

Size = Union[int, Tuple[int, int]]
Triple = Tuple[float, float, float]
Sized = Callable[[Size], "PreprocessingSpec"]

CROP_PADDING = 32  # pixels that Google's evaluation leaves around the crop, at the network's scale
MAXIMUM_SIDE = 4096
CHANNEL_ORDERS: tuple[ChannelOrder, ...] = ("rgb", "bgr", "grey")
_LUMA = 19595, 38470, 7471  # of red, green, blue, in 65536ths: Rec. 601 as Pillow's mode "L" rounds it


@dataclass(frozen=True)
class PreprocessingSpec:
    """The way from an RGB image to the network's input.

    Attributes:
        height, width: of the input, in pixels, 1 to 4096.
        crop: "none" resizes the whole image; "before-resize" cuts the central square of `crop_fraction` of the shorter
            side; "after-resize" keeps the aspect and cuts the centre out of the resized image; "after-stretch" does
            not keep the aspect.
        crop_fraction: 0.01 to 1; 1 where crop is "none". After a resize it is the input's side over the resized side.
        interpolation: one of Pillow's filters, "mediapipe" or "tensorflow", see `resizing`.
        mean, std: subtracted, then divided by; per channel of the tensor (in `channel_order`), in units of 0..255.
            Those of a grey tensor are three equal values.
        channel_order: of the tensor; "grey" has one channel, the luma of Rec. 601.

    Raises:
        ModelError: a value has the wrong type or is out of range.
    """

    height: int
    width: int
    crop: Crop
    crop_fraction: float
    interpolation: Interpolation
    mean: Triple
    std: Triple
    channel_order: ChannelOrder = "rgb"

    def __post_init__(self) -> None:
        for field, choices in _CHOICES.items():
            _require(getattr(self, field) in choices, field, getattr(self, field), f"one of {', '.join(choices)}")
        for field in ("height", "width"):
            side = getattr(self, field)
            _require(_is_whole(side, 1, MAXIMUM_SIDE), field, side, f"a whole number of pixels, 1 to {MAXIMUM_SIDE}")
        fraction = self.crop_fraction
        _require(_is_number(fraction, 0.01, 1), "crop_fraction", fraction, "a number from 0.01 to 1")
        _require(self.crop != "none" or fraction == 1, "crop_fraction", fraction, "1 where crop is 'none'")
        _require(_is_triple(self.mean, -1e6, 1e6), "mean", self.mean, "three numbers in units of 0..255")
        _require(_is_triple(self.std, 1e-3, 1e6), "std", self.std, "three positive numbers in units of 0..255")
        for field in ("mean", "std") if self.channels == 1 else ():
            values = getattr(self, field)
            _require(len(set(values)) == 1, field, values, "the same three times where the input is grey")

    def pixels(self, image: Image.Image) -> NDArray[np.uint8]:
        """The cropped and resized pixels that a uint8 client feeds, (height, width, channels) in `channel_order`.

        Raises:
            ImageError: the image is not in mode RGB, or is so narrow that resizing it needs too much memory.
        """
        if image.mode != "RGB":
            raise ImageError(f"an image of mode {image.mode!r}: must be RGB, as images.read_image returns")
        size = self.width, self.height
        framed = frame(image, size, self.crop, self.crop_fraction, self.interpolation)
        return self.order_channels(np.asarray(framed))

    def order_channels(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """RGB pixels (..., 3) in `channel_order`, (..., channels)."""
        if self.channel_order == "grey":
            luma = (rgb.astype(np.int32) @ np.array(_LUMA, np.int32) + 0x8000) >> 16
            return luma.astype(np.uint8)[..., np.newaxis]
        return rgb if self.channel_order == "rgb" else rgb[..., ::-1]

    def normalize(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(pixels - mean) / std for uint8 (..., channels) in `channel_order`."""
        normalised = pixels.astype(np.float32)
        normalised -= np.asarray(self.mean[: self.channels], np.float32)
        normalised /= np.asarray(self.std[: self.channels], np.float32)
        return normalised

    def apply(self, image: Image.Image) -> NDArray[np.float32]:
        """The network's input for an RGB image, (height, width, channels); errors as `pixels`."""
        return self.normalize(self.pixels(image))

    @property
    def channels(self) -> int:
        """Of the tensor."""
        return 1 if self.channel_order == "grey" else 3

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the tensor without its batch: height, width, channels."""
        return self.height, self.width, self.channels

    @property
    def value_range(self) -> tuple[float, float]:
        """The least and the greatest value of the tensor over all channels, widened to hold 0 as quantization needs."""
        lows = [-mean / std for mean, std in zip(self.mean, self.std)]
        highs = [(255 - mean) / std for mean, std in zip(self.mean, self.std)]
        return min(0.0, *lows), max(0.0, *highs)

    @property
    def raw_pixels(self) -> bool:
        """Whether uint8 pixels can be fed unchanged, by `quantization("uint8")`."""
        return len(set(self.mean)) == len(set(self.std)) == 1 and 0 <= self.mean[0] <= 255

    def quantization(self, dtype: QuantizedType) -> tuple[float, int]:
        """Scale and zero point of the input tensor, so that value = scale * (integer - zero point).

        With one mean and one std for all channels, uint8 has scale 1 / std and zero point mean: the raw pixels are the
        quantized tensor. Rounding a mean such as 127.5 to a zero point shifts the fed values by up to half a pixel
        step, 0.5 / std. int8 is the same minus 128. Other specs cover the range of all channels, which costs the
        channels of larger std resolution. int16 is symmetric: TFLite allows it no other zero point than 0.

        Raises:
            ModelError: another type.
        """
        low, high = self.value_range
        if dtype == "int16":
            return max(-low, high) / 32767, 0
        _require(dtype in ("uint8", "int8"), "input type", dtype, "one of uint8, int8, int16")
        scale = (high - low) / 255
        zero_point = round(-low / scale)
        return scale, zero_point - 128 if dtype == "int8" else zero_point

    def with_size(self, size: Size) -> Self:
        """The same for another input size, (height, width) or one side of a square; `crop_fraction` stays."""
        height, width = _sides(size)
        return dataclasses.replace(self, height=height, width=width)

    def for_channels(self, channels: int) -> Self:
        """The same for an input of so many channels: one is grey.

        Raises:
            ModelError: mean or std differ between the channels that are one, or the spec is grey and the input is not.
        """
        if channels == self.channels:
            return self
        _require(channels == 1, "channel_order", self.channel_order, f"rgb or bgr for an input of {channels} channels")
        return dataclasses.replace(self, channel_order="grey")

    def for_mediapipe(self) -> Self:
        """The same network's input as MediaPipe's client makes it: the whole image, resized without antialiasing."""
        return dataclasses.replace(self, crop="none", crop_fraction=1.0, interpolation="mediapipe")

    def to_json(self) -> dict[str, Any]:
        """A flat object of the fields; `from_json` reads it."""
        # Floats, so that equal specs have the same JSON: 127 and 127.0 are equal.
        mean, std = ([float(value) for value in triple] for triple in (self.mean, self.std))
        return {**dataclasses.asdict(self), "crop_fraction": float(self.crop_fraction), "mean": mean, "std": std}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """The spec that `to_json` wrote; what others wrote is decoded, see `decoding`."""
        return cls(**{**document, "mean": tuple(document["mean"]), "std": tuple(document["std"])})


def google_lite(size: Size) -> PreprocessingSpec:
    """What Google's EfficientNet-Lite checkpoints were evaluated with (models/official/efficientnet/preprocessing.py).

    The crop leaves 32 pixels around the input: its fraction is s / (s + 32) for an input of shorter side s.
    """
    height, width = _sides(size)
    fraction = min(height, width) / (min(height, width) + CROP_PADDING)
    return PreprocessingSpec(height, width, "before-resize", fraction, "bicubic", (127.0,) * 3, (128.0,) * 3)


def scaled(triple: Triple) -> Triple:
    """Values of 0..1 in units of 0..255."""
    first, second, third = triple
    return 255 * first, 255 * second, 255 * third


def _sides(size: Size) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size


def _is_whole(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _is_number(value: object, low: float, high: float) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high


def _is_triple(value: object, low: float, high: float) -> bool:
    return isinstance(value, tuple) and len(value) == 3 and all(_is_number(item, low, high) for item in value)


def _require(valid: bool, name: str, value: object, allowed: str) -> None:
    if not valid:
        raise ModelError(f"{name} {value!r}: must be {allowed}")


IMAGENET_MEAN: Triple = scaled((0.485, 0.456, 0.406))
IMAGENET_STD: Triple = scaled((0.229, 0.224, 0.225))
_CHOICES: dict[str, tuple[str, ...]] = {
    "crop": CROPS,
    "interpolation": INTERPOLATIONS,
    "channel_order": CHANNEL_ORDERS,
}


def _imagenet(size: Size) -> PreprocessingSpec:
    return PreprocessingSpec(*_sides(size), "after-resize", 0.875, "bicubic", IMAGENET_MEAN, IMAGENET_STD)


def _scaled(mean: Triple, std: Triple, channel_order: ChannelOrder = "rgb") -> Sized:
    """Lite's crop of other values."""
    return lambda size: dataclasses.replace(google_lite(size), mean=mean, std=std, channel_order=channel_order)


def _inception(size: Size) -> PreprocessingSpec:
    return dataclasses.replace(_imagenet(size), mean=(127.5,) * 3, std=(127.5,) * 3)


def _whole(sized: Sized, interpolation: Interpolation) -> Sized:
    """The same values of the whole image, stretched to the size."""
    return lambda size: dataclasses.replace(sized(size), crop="none", crop_fraction=1.0, interpolation=interpolation)


# "lite" is Google's, "imagenet" timm's default, "inception" maps to -1..1, "unit" to 0..1; "pixels" is for models that
# rescale inside, "caffe" what keras.applications does for ResNet and VGG.
_BASES: dict[str, Sized] = {
    "lite": google_lite,
    "imagenet": _imagenet,
    "inception": _inception,
    "pixels": _scaled((0.0,) * 3, (1.0,) * 3),
    "unit": _scaled((0.0,) * 3, (255.0,) * 3),
    "caffe": _scaled((103.939, 116.779, 123.68), (1.0,) * 3, "bgr"),
}
# What image_dataset_from_directory and flow_from_directory of Keras do by default.
STRETCHES: dict[str, Interpolation] = {"stretch": "tensorflow", "nearest": "nearest"}
PRESETS: dict[str, Sized] = _BASES | {
    f"{name}-{stretch}": _whole(sized, interpolation)
    for stretch, interpolation in STRETCHES.items()
    for name, sized in _BASES.items()
}
PRESET_NAMES = f"{', '.join(_BASES)}, each perhaps with -{' or -'.join(STRETCHES)} behind it"
