"""Bytes that the parameters of a mapped operator take on the Edge TPU, and which of them the chip keeps.

The device stores weights in blocks of 4 inputs by 4, 16 or 64 outputs, a bias of 4 bytes for each output, and 8 bytes
more where outputs have scales of their own. Worked out from compiled models, byte by byte; none of it is published.
"""

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from lite_toolkit.edgetpu.view import View
from lite_toolkit.errors import ModelError
from lite_toolkit.tflite.graph import Operator, Subgraph, Tensor

BLOCK = 64  # bytes; every operator's parameters fill whole ones
# Used plus remaining bytes for parameters in the logs of compiler 16: the least, with large activations, and the most.
CAPACITY = (round(6.86 * 2**20), round(7.98 * 2**20))
# Bytes a second to the device. USB 3 and PCIe: 130 of the 138 MB of VGG16 are streamed in the 296 ms that it takes on a
# USB Accelerator, and in the 343 ms on a Dev Board (https://coral.ai/docs/edgetpu/benchmarks). USB 2: three quarters of
# what its bulk transfers can carry, 13 packets of 512 bytes 8,000 times a second.
BANDWIDTHS = {"usb2": 40e6, "usb3": 440e6, "pcie": 380e6}
ASSUMPTION = "40 MB/s over USB 2, 440 MB/s over USB 3 and 380 MB/s over PCIe, apart from inputs and outputs"
# Weights of one output: the most of a layer that stayed on the chip, and the least of one that was streamed, though
# there was room; both are dense layers of LibrEdgeTPU. In issue 572 of google-coral/edgetpu one of 28,224 was streamed
# too, and by the log the others had less room by twice its bytes.
NARROW, WIDE = 4_096, 16_384
# Compiler 16 adds matrices to a softmax of 1001 elements, and none to one of 4096.
PLAIN_SOFTMAX = 4096


def parameter_bytes(graph: Subgraph, operators: Iterable[Operator]) -> list[int]:
    """Bytes of each of some mapped operators; exact for convolutions and dense layers.

    Raises:
        ModelError: an operator lacks a tensor that it needs, or its weights have the wrong number of dimensions.
    """
    computed = {number for operator in graph.operators if operator.name != "QUANTIZE" for number in operator.outputs}
    sizes = []
    for operator in operators:
        layer = _Layer(graph, operator, from_host=computed.isdisjoint(operator.inputs))
        sizes.append(_up(_BYTES[operator.name](layer), BLOCK) if operator.name in _BYTES else 0)
    return sizes


@dataclass(frozen=True)
class Placement:
    """Bytes that stay on the chip, and bytes that the host sends again for every inference."""

    cached: int
    streamed: int


def is_wide(graph: Subgraph, operator: Operator) -> bool:
    """Whether each output has so many weights that the layer may be streamed though there is room."""
    if operator.name not in ("CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"):
        return False
    return math.prod(View(graph, operator).input(1).shape[1:]) > NARROW


def place(sizes: Sequence[int], capacity: int, barred: Collection[int] = ()) -> tuple[Placement, tuple[bool, ...]]:
    """Where operators of these bytes go, in order, and which are cached: whole ones, as long as there is room.

    Args:
        sizes: of each operator, bytes.
        capacity: of the chip, bytes.
        barred: positions of operators that are streamed in any case.
    """
    left, cached = capacity, []
    for position, size in enumerate(sizes):
        cached.append(size <= left and position not in barred)
        left -= size if cached[-1] else 0
    return Placement(capacity - left, sum(sizes) - (capacity - left)), tuple(cached)


@dataclass(frozen=True)
class _Layer(View):
    """A mapped operator; `from_host`: the host sends all that it reads, in any order of channels."""

    from_host: bool = False

    def weights(self, rank: int) -> tuple[int, ...]:
        """The shape of its weights."""
        shape = self.input(1).shape
        if len(shape) != rank:
            where = f"operator {self.operator.index} {self.operator.name}"
            raise ModelError(f"{where}: its weights have {len(shape)} dimensions, {rank} are needed")
        return shape


def _convolution(view: _Layer) -> int:
    outputs, *kernel, inputs = view.weights(4)
    small = outputs <= 4 and math.prod(view.output.shape[1:3]) > 1
    # Work on one position is spread over the outputs, so that a few outputs of a dense layer still fill 16 lanes.
    lanes = 4 if small else _padded(outputs)
    return _matrix(view, math.prod(kernel) * _up(inputs, 4), lanes)


def _depthwise(view: _Layer) -> int:
    _, height, width, channels = view.weights(4)
    kernel = height * width
    if view.input(0).shape[-1:] == (1,):  # every output reads the same channel, as in an ordinary convolution
        return _matrix(view, 4 * kernel, _padded(channels))
    return _matrix(view, 4 * kernel, _up(channels, 4))


def _dense(view: _Layer) -> int:
    outputs, inputs = view.weights(2)
    return _matrix(view, _up(inputs, 4), _padded(outputs))


def _matrix(view: _Layer, column: int, lanes: int, bias: int = 2) -> int:
    """`lanes` columns of that many weights, each with its bias and scale where there are any."""
    overhead = (4 if view.has_input(bias) else 0) + (8 if _per_channel(view.input(1)) else 0)
    return (column + overhead) * lanes


def _transposed(view: _Layer) -> int:
    outputs, *kernel, inputs = view.weights(4)
    return _matrix(view, math.prod(kernel) * _up(inputs, 4), _padded(outputs), bias=3)


def _lstm(view: _Layer) -> int:
    """The gates' weights and biases alone: compiled models have more, and the forecast says so."""
    weights = [tensor for tensor in view.inputs if tensor.is_constant and len(tensor.shape) == 2]
    biases = [tensor for tensor in view.inputs if tensor.is_constant and len(tensor.shape) == 1]
    return sum(_up(tensor.shape[1], 4) * _padded(tensor.shape[0]) for tensor in weights) + sum(
        4 * _padded(tensor.shape[0]) for tensor in biases
    )


def _softmax(view: _Layer) -> int:
    """Three matrices from all elements to one block of outputs, and a block."""
    elements = view.input(0).elements
    return 3 * 16 * _up(elements, 4) + BLOCK if elements < PLAIN_SOFTMAX else 0


def _reshape(view: _Layer) -> int:
    """Matrices that move channels: one for each offset at which a position's channels begin, and a block."""
    before, after = view.input(0).shape, view.output.shape
    if view.from_host or not before or not after or after[-1] <= before[-1] or after[-1] != view.output.elements:
        return 0
    offsets = min(after[-1] // max(before[-1], 1), 16 // math.gcd(before[-1], 16))
    return BLOCK * (1 + offsets) if offsets > 1 else 0


def _concatenation(view: _Layer) -> int:
    """The same for inputs that end between two blocks of channels."""
    along_channels = view.operator.options.get("axis", 0) in (-1, len(view.output.shape) - 1)
    aligned = all(tensor.shape[-1:] and tensor.shape[-1] % 4 == 0 for tensor in view.inputs[:-1])
    return 0 if aligned or not along_channels or view.from_host else BLOCK * (1 + len(view.inputs))


def _per_channel(weights: Tensor) -> bool:
    """Whether outputs differ in their scale; equal ones are stored as one."""
    return weights.quantization is not None and bool(np.ptp(weights.quantization.scales) > 0)


def _padded(outputs: int) -> int:
    """Outputs that the device works on together: the next multiple of 16 up to 64, of 64 above."""
    return _up(outputs, 16 if outputs <= 64 else 64)


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


_BYTES = {
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": _dense,
    "TRANSPOSE_CONV": _transposed,
    "LSTM": _lstm,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _lstm,
    "SOFTMAX": _softmax,
    "RESHAPE": _reshape,
    "CONCATENATION": _concatenation,
}
