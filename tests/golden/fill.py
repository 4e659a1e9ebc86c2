"""The weights and the input of the golden recordings: a hash of position and name, so that no file has to hold them.

`record.py` fills the original models with these values in torch; the tests compute the same bits with numpy alone.
"""

import functools
import json
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parent


def uniform(name: str, count: int) -> np.ndarray:
    """`count` float32 values in [-1, 1), a function of `name` and position: MurmurHash3's finaliser, in uint32.

    The upper 24 bits of the hash make the value, so that it is exact in float32 on every machine.
    """
    bits = np.arange(count, dtype=np.uint32) + np.uint32(zlib.crc32(name.encode()))
    bits ^= bits >> 16
    bits *= np.uint32(0x85EBCA6B)
    bits ^= bits >> 13
    bits *= np.uint32(0xC2B2AE35)
    bits ^= bits >> 16
    return (bits >> 8).astype(np.float32) / np.float32(1 << 23) - np.float32(1)


def tensor(name: str, shape: tuple[int, ...], gain: float) -> np.ndarray:
    """The values of one tensor of a torch state dict, float32 (int64 zero for batch norm's counter).

    Kernels (outputs, inputs, ...) have a standard deviation of gain / sqrt(fan-in). Scales and variances lie in 0.7 to
    1.3, biases and means in -0.5 to 0.5; the gates' biases lie about 3: half-closed gates would silence the input.
    """
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    values = uniform(name, math.prod(shape)).reshape(shape)
    if len(shape) > 1:
        return values * np.float32(gain * math.sqrt(3 / math.prod(shape[1:])))
    if name.endswith(("weight", "running_var")):
        return np.float32(1) + values * np.float32(0.3)
    gate = name.endswith(("se.conv_expand.bias", "squeeze_excite.expand.bias", "fc2.bias"))
    return np.float32(3 * gate) + values * np.float32(0.5)


def of_keras(layer: str, variable: str, shape: tuple[int, ...], gain: float = 1.3) -> np.ndarray:
    """The values of a Keras layer's variable; kernels are (height, width, inputs, outputs), as `tensor` has them."""
    torch = {"kernel": "weight", "gamma": "weight", "beta": "bias", "moving_variance": "running_var"}
    name = f"{layer.replace('_se_expand', '.squeeze_excite.expand')}.{torch.get(variable, variable)}"
    if len(shape) != 4:
        return tensor(name, shape, gain)
    depthwise = layer.endswith("dwconv")
    height, width, inputs, outputs = shape
    stored = (inputs, outputs, height, width) if depthwise else (outputs, inputs, height, width)
    return tensor(name, stored, gain).transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))


def image(height: int, width: int | None = None, channels: int = 3) -> np.ndarray:
    """The input, float32 (1, height, width, channels) in [-1, 1); a square by default."""
    width = width or height
    return uniform("image", height * width * channels).reshape(1, height, width, channels)


def state_dict(model: str) -> dict[str, np.ndarray]:
    """The tensors of a recorded model, as they were when its logits were recorded."""
    return filled(_recordings()[model])


def filled(recorded: dict[str, Any]) -> dict[str, np.ndarray]:
    """The tensors of one recording."""
    return {name: tensor(name, tuple(shape), recorded["gain"]) for name, shape in recorded["tensors"].items()}


@functools.cache
def _recordings() -> Any:
    return json.loads((FOLDER / "models.json").read_text())
