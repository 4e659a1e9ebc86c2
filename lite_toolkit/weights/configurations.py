"""Preprocessing by name, or as a JSON file says it: our own or a manifest, timm's or Hugging Face's configuration."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np

from lite_toolkit.decoding import Limit, between, decode
from lite_toolkit.errors import ModelError
from lite_toolkit.images.preprocessing import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    MAXIMUM_SIDE,
    PRESET_NAMES,
    PRESETS,
    PreprocessingSpec,
    Sized,
    Triple,
    scaled,
)
from lite_toolkit.images.resizing import PILLOW, Crop, Interpolation, stretched

_LEFT_OUT = PRESETS["pixels-stretch"](1).to_json()
ProcessorType = Literal["EfficientNetImageProcessor", "EfficientNetImageProcessorFast", "EfficientNetImageProcessorPil"]
Side = Annotated[int, between(1, MAXIMUM_SIDE)]


def named(name: str) -> Sized:
    """What makes the spec of an input size: the preset of that name, or the spec in that JSON file.

    Raises:
        ModelError: neither a preset nor a file that `load` reads.
    """
    if name in PRESETS:
        return PRESETS[name]
    if not Path(name).is_file():
        raise ModelError(f"unknown preprocessing {name!r}: choose one of {PRESET_NAMES}; or a JSON file")
    return load(Path(name)).with_size


def load(path: Path) -> PreprocessingSpec:
    """The spec in a JSON file: our own or a manifest, Hugging Face's preprocessor_config.json or timm's config.json.

    Raises:
        ModelError: the file cannot be read, is not JSON, or holds none of the three.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(document, dict):
            raise ModelError("must be a JSON object")
        return _from_any(document)
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ModelError(f"cannot read preprocessing from {path}: {reason or error}") from error
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error


def _from_any(document: Mapping[str, Any]) -> PreprocessingSpec:
    if "pretrained_cfg" in document:
        return from_timm(document["pretrained_cfg"])
    if "image_processor_type" in document or "image_mean" in document:
        return from_huggingface(document)
    inside = document.get("preprocessing")
    return _from_ours(inside if isinstance(inside, dict) else document)


def _from_ours(document: Mapping[str, Any]) -> PreprocessingSpec:
    """Our own, or a part of it: the rest is the preset's "pixels-stretch", and the size is the model's anyway."""
    if not document:
        raise ModelError(f"preprocessing: must have some of {', '.join(_LEFT_OUT)}")
    found = decode(PreprocessingSpec, {**_LEFT_OUT, **document}, "preprocessing", ModelError)
    if max(found.std) < 1 and "std" in document:
        raise ModelError(f"preprocessing: std {list(found.std)}: must be in units of 0..255, as mean")
    return found


@dataclass(frozen=True)
class _Timm:
    """A `pretrained_cfg`, with the defaults of `timm.data.config`."""

    input_size: tuple[Literal[3], Side, Side]
    crop_mode: Literal["center", "squash"] = "center"
    crop_pct: float = 0.875
    interpolation: Interpolation = "bicubic"
    mean: Annotated[Triple, scaled] = IMAGENET_MEAN
    std: Annotated[Triple, scaled] = IMAGENET_STD


def from_timm(config: object) -> PreprocessingSpec:
    """The evaluation transform of a timm `pretrained_cfg`; absent keys have timm's defaults.

    Raises:
        ModelError: a value is wrong, or the image is to be padded (crop_mode "border").
    """
    found = decode(_Timm, config, "pretrained_cfg", ModelError, exact=False)
    crop: Crop = "after-resize" if found.crop_mode == "center" else "after-stretch"
    _, height, width = found.input_size
    return PreprocessingSpec(height, width, crop, found.crop_pct, found.interpolation, found.mean, found.std)


@dataclass(frozen=True)
class _Sides:
    height: Side
    width: Side


def _true(resized: bool) -> bool:
    if not resized:
        raise ValueError("must be true: the network's input has one size")
    return resized


@dataclass(frozen=True)
class _HuggingFace:
    """A preprocessor_config.json, with the defaults of transformers' EfficientNetImageProcessor."""

    size: _Sides
    resample: Annotated[int, Limit(lambda n: 0 <= n < len(PILLOW), "from 0 to 5, Pillow's number of a filter")]
    image_processor_type: ProcessorType = "EfficientNetImageProcessor"
    do_resize: Annotated[bool, _true] = True
    do_center_crop: bool = False
    crop_size: Any = None  # of any form where nothing is cropped
    do_rescale: bool = True
    rescale_factor: Annotated[float, between(1e-6, 1000)] = 1 / 255
    rescale_offset: bool = False
    do_normalize: bool = True
    image_mean: Triple | None = None
    image_std: Triple | None = None
    include_top: bool = True


def from_huggingface(config: object) -> PreprocessingSpec:
    """What transformers' EfficientNetImageProcessor does with a preprocessor_config.json.

    Rescaling, normalisation and the second division by std (`include_top`) become one mean and std. Where the
    margin of a centre crop is 3 modulo 4 pixels, this crop lies one pixel further down or right.

    Raises:
        ModelError: a value is wrong, the processor is another one, or the image is not resized or is padded.
    """
    found = decode(_HuggingFace, config, "preprocessing", ModelError, exact=False)
    crop: Crop = "none"
    height, width = resized = found.size.height, found.size.width
    fraction = 1.0
    if found.do_center_crop:
        crop = "after-stretch"
        cropped = decode(_Sides, found.crop_size, "preprocessing: crop_size", ModelError, exact=False)
        height, width = cropped.height, cropped.width
        fraction = _fraction((height, width), resized)
    return PreprocessingSpec(height, width, crop, fraction, PILLOW[found.resample], *_affine(found))


def _fraction(crop: tuple[int, int], resized: tuple[int, int]) -> float:
    """The crop fraction that leads from the input `crop` back to `resized`, both (height, width)."""
    quotient = crop[0] / resized[0]
    # The quotient may have been rounded up, and the floor then misses `resized` by one.
    for fraction in (quotient, float(np.nextafter(quotient, 0))):
        if quotient <= 1 and stretched(crop[::-1], fraction) == resized[::-1]:
            return fraction
    raise ModelError(f"preprocessing: crop_size {crop}: must be one fraction, at most 1, of both sides of {resized}")


def _affine(found: _HuggingFace) -> tuple[Triple, Triple]:
    """Mean and std of x -> gain * x + offset, which Hugging Face's rescaling and normalisations compose to."""
    gain = found.rescale_factor if found.do_rescale else 1.0
    offset = -1.0 if found.do_rescale and found.rescale_offset else 0.0
    exponent = found.do_normalize + found.include_top  # how often the std divides
    means = _given(found.image_mean, "image_mean") if found.do_normalize else (0.0,) * 3
    stds = _given(found.image_std, "image_std") if exponent else (1.0,) * 3
    return _each(means, lambda mean: (mean - offset) / gain), _each(stds, lambda std: std**exponent / gain)


def _each(values: Triple, function: Callable[[float], float]) -> Triple:
    first, second, third = values
    return function(first), function(second), function(third)


def _given(values: Triple | None, key: str) -> Triple:
    if values is None:
        raise ModelError(f"preprocessing: {key!r} is missing: must be three numbers")
    return values
