"""The runner's job "golden": known images through a model, and where the values part from those that were recorded.

Each stage is given what it was given when the values were recorded, so that a difference is the stage's own.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

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

STAGES = ("decode", "resize", "quantize", "kernel", "whole")


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

    @classmethod
    def between(cls, found: NDArray[Any], recorded: NDArray[Any]) -> Difference:
        """Of arrays of one shape.

        Raises:
            ModelError: a value is no number.
        """
        apart = np.abs(found.astype(np.float64) - recorded.astype(np.float64))
        if not np.isfinite(apart).all():
            raise ModelError("the model gives scores that are not numbers")
        return cls(apart.size, int((apart > 0).sum()), float(apart.max()))


def golden(job: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The runner's job "golden".

    Args:
        job: "files" has "model" and, of image N, "imageN" and "resizedN", pictures, and "inputN" and "outputN", the
            bytes of the tensors. "pixels_sha256" is `pixels_sha256` of each image. "preprocessing" as
            `PreprocessingSpec.to_json` writes it. "threads". "delegate" and "delegate_options", for
            `delegates.choose`.

    Yields:
        Progress, and one result. Its "stages" has of each image a `Difference` for each of `STAGES`, where "decode"
        counts images: "resize" starts at the image, "quantize" at the recorded resized picture, "kernel" at the
        recorded input tensor, and "whole" goes from the image to the scores.

    Raises:
        ModelError, DelegateError, ImageError: the model, delegate or an image cannot be used, or a file does not fit
            the model.
    """
    path, threads = Path(job["files"]["model"]), int(job["threads"])
    delegate = delegates.choose(job["delegate"], job["delegate_options"])
    rehearse(path, threads, delegate)
    model, spec = interpreter.Model(path, threads, delegate), PreprocessingSpec.from_json(job["preprocessing"])
    if model.size != (spec.height, spec.width):
        raise ModelError(f"the preprocessing gives {spec.height}x{spec.width} pixels, the model takes {model.size}")
    digests, stages = job["pixels_sha256"], []
    for number, digest in enumerate(digests):
        yield {"event": "progress", "done": number, "total": len(digests)}
        files = {name: Path(job["files"][f"{name}{number}"]) for name in ("image", "resized", "input", "output")}
        found = _differences(model, spec, files, digest)
        stages.append({name: asdict(difference) for name, difference in found.items()})
    yield {"event": "result", "runtime": interpreter.runtime_version(), "stages": stages}


def pixels_sha256(image: Image) -> str:
    """Of the RGB bytes of a decoded image, row by row."""
    return hashlib.sha256(np.asarray(image).tobytes()).hexdigest()


def _differences(
    model: interpreter.Model, spec: PreprocessingSpec, files: Mapping[str, Path], digest: str
) -> dict[str, Difference]:
    image = read_image(files["image"])
    resized = spec.order_channels(np.asarray(read_image(files["resized"])))
    if resized.shape != model.input.shape[1:]:
        raise ModelError(f"{files['resized'].name} has shape {resized.shape}: must be {model.input.shape[1:]}")
    stored = _tensor(files["input"], model.input, model.input.shape[1:])
    output = _tensor(files["output"], model.output, (model.classes,))
    pixels = spec.pixels(image)
    changed = int(pixels_sha256(image) != digest)
    return {
        "decode": Difference(1, changed, float(changed)),
        "resize": Difference.between(pixels, resized),
        "quantize": Difference.between(model.input.quantize(spec.normalize(resized)), stored),
        "kernel": Difference.between(model.raw(stored), output),
        "whole": Difference.between(model.raw(model.input.quantize(spec.normalize(pixels))), output),
    }


def _tensor(path: Path, info: interpreter.TensorInfo, shape: tuple[int, ...]) -> NDArray[Any]:
    """The tensor whose bytes, little-endian and row by row, a file holds."""
    dtype = np.dtype(info.dtype).newbyteorder("<")
    needed = int(np.prod(shape)) * dtype.itemsize
    if path.stat().st_size != needed:
        raise ModelError(f"{path.name} has {path.stat().st_size} bytes: {info.name} takes {needed}")
    return np.fromfile(str(path), dtype).reshape(shape).astype(info.dtype)
