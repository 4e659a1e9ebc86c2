"""The runner's job "golden": known images through a model, and where the values part from those that were recorded.

Each stage is given what it was given when the values were recorded, so that a difference is the stage's own.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lite_toolkit.board.job import Job
from lite_toolkit.errors import ModelError
from lite_toolkit.images.files import read_image
from lite_toolkit.images.preprocessing import PreprocessingSpec
from lite_toolkit.runtime import delegates, interpreter
from lite_toolkit.runtime.rehearsal import rehearse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from numpy.typing import NDArray
    from PIL.Image import Image

    from lite_toolkit.board.job import Event


@dataclass(frozen=True)
class Difference:
    """How far values are from those that were recorded.

    Attributes:
        values: number of values.
        differing: number of those that are not equal.
        largest: the largest difference: levels of 0..255 of pixels, steps of quantized tensors, real values of float
            ones.
    """

    values: int
    differing: int
    largest: float

    def __post_init__(self) -> None:
        if not (0 <= self.differing <= self.values and self.largest >= 0):
            raise ValueError("no difference can be so")

    @classmethod
    def between(cls, found: NDArray[Any], recorded: NDArray[Any]) -> Difference:
        """Of arrays of one shape.

        Raises:
            ModelError: a value is not finite.
        """
        apart = np.abs(found.astype(np.float64) - recorded.astype(np.float64))
        if not np.isfinite(apart).all():
            raise ModelError("the model gives scores that are not numbers")
        return cls(apart.size, int((apart > 0).sum()), float(apart.max()))


@dataclass(frozen=True)
class Stages:
    """The differences of one image: `decode` counts images, `whole` goes from the image to the scores.

    `resize` starts at the image, `quantize` at the recorded resized picture, `kernel` at the recorded input tensor.
    """

    decode: Difference
    resize: Difference
    quantize: Difference
    kernel: Difference
    whole: Difference


STAGES = tuple(field.name for field in fields(Stages))


@dataclass(frozen=True)
class GoldenJob(Job):
    """Golden images to compute.

    Attributes:
        preprocessing: as `PreprocessingSpec.to_json` writes it.
        pixels_sha256: `pixels_sha256` of each image.
        threads: for the kernels.
        delegate, delegate_options: for `delegates.choose`, on the machine that runs the model.
    """

    NAME = "golden"

    preprocessing: Mapping[str, Any]
    pixels_sha256: tuple[str, ...]
    threads: int
    delegate: str
    delegate_options: Mapping[str, str]


@dataclass(frozen=True)
class GoldenResult:
    """The runtime, and the differences of each image."""

    runtime: str
    stages: tuple[Stages, ...]


def golden(job: GoldenJob, files: Mapping[str, str]) -> Iterator[Event]:
    """The runner's job "golden".

    Args:
        job: what to do.
        files: "model" and, of image N, "imageN" and "resizedN", pictures, and "inputN" and "outputN", the bytes of the
            tensors.

    Yields:
        Progress, and a `GoldenResult`.

    Raises:
        ModelError, DelegateError, ImageError: the model, delegate or an image cannot be used, or a file does not fit
            the model.
    """
    path, delegate = Path(files["model"]), delegates.choose(job.delegate, job.delegate_options)
    rehearse(path, job.threads, delegate)
    model, spec = interpreter.Model(path, job.threads, delegate), PreprocessingSpec.from_json(job.preprocessing)
    if model.input.shape[1:] != spec.shape:
        raise ModelError(f"the preprocessing gives an input of shape {spec.shape}, the model takes {model.input.shape}")
    stages = []
    for number, digest in enumerate(job.pixels_sha256):
        yield {"event": "progress", "done": number, "total": len(job.pixels_sha256)}
        paths = {name: Path(files[f"{name}{number}"]) for name in ("image", "resized", "input", "output")}
        stages.append(_stages(model, spec, paths, digest))
    yield GoldenResult(interpreter.runtime_version(), tuple(stages))


def pixels_sha256(image: Image) -> str:
    """Of the RGB bytes of a decoded image, row by row."""
    return hashlib.sha256(np.asarray(image).tobytes()).hexdigest()


def _stages(model: interpreter.Model, spec: PreprocessingSpec, files: Mapping[str, Path], digest: str) -> Stages:
    image = read_image(files["image"])
    resized = spec.order_channels(np.asarray(read_image(files["resized"])))
    if resized.shape != model.input.shape[1:]:
        raise ModelError(f"{files['resized'].name} has shape {resized.shape}: must be {model.input.shape[1:]}")
    stored = _tensor(files["input"], model.input, model.input.shape[1:])
    output = _tensor(files["output"], model.output, (model.outputs,))
    pixels = spec.pixels(image)
    changed = int(pixels_sha256(image) != digest)
    return Stages(
        decode=Difference(1, changed, float(changed)),
        resize=Difference.between(pixels, resized),
        quantize=Difference.between(model.input.quantize(spec.normalize(resized)), stored),
        kernel=Difference.between(model.raw(stored), output),
        whole=Difference.between(model.raw(model.input.quantize(spec.normalize(pixels))), output),
    )


def _tensor(path: Path, info: interpreter.TensorInfo, shape: tuple[int, ...]) -> NDArray[Any]:
    """The tensor whose bytes, little-endian and row by row, a file holds."""
    dtype = np.dtype(info.dtype).newbyteorder("<")
    needed = int(np.prod(shape)) * dtype.itemsize
    if path.stat().st_size != needed:
        raise ModelError(f"{path.name} has {path.stat().st_size} bytes: {info.name} takes {needed}")
    return np.fromfile(str(path), dtype).reshape(shape).astype(info.dtype)
