"""The operations that the Edge TPU compiler maps, and the limit of each.

The limits are those that https://coral.ai/docs/edgetpu/models-intro lists for compiler 16; one from elsewhere names its
source.
"""

import math
from collections.abc import Callable

import numpy as np

from lite_toolkit.edgetpu.view import View
from lite_toolkit.tflite.graph import Tensor

CHIP_BYTES = 8 * 2**20  # the memory on the chip
LARGEST_SOFTMAX = 16_384  # elements; 16,000 are documented, and compiler 16 maps 16,384
LARGEST_RESIZE = 8  # times as high or wide; larger ones stayed on the CPU in compiled models
MAPPED_MEAN, UNMAPPED_MEAN = 64 * 128, 256 * 128  # values; issue 461 of google-coral/edgetpu

Limit = tuple[str, str] | None  # what is wrong, and what helps


def _always(view: View) -> Limit:  # noqa: ARG001  # a rule like the others
    return None


def _unfused(view: View) -> Limit:
    activation = view.operator.options.get("fused_activation_function", "NONE")
    return None if activation == "NONE" else (f"it has a fused {activation}", "make that an operator of its own")


def _weighted(position: int) -> Callable[[View], Limit]:
    def rule(view: View) -> Limit:
        return None if view.input(position).is_constant else ("its weights are not constant", "make them constants")

    return rule


def _convolution(view: View) -> Limit:
    options, weights = view.operator.options, view.input(1)
    dilations = options.get("dilation_h_factor", 1), options.get("dilation_w_factor", 1)
    if dilations[0] != dilations[1]:
        return f"its dilation is {dilations[0]} in y and {dilations[1]} in x", "use the same in both"
    groups = view.operator.name == "CONV_2D" and weights.shape[-1:] != view.input(0).shape[-1:]
    return ("it is a grouped convolution", "split it into one for each group") if groups else _weighted(1)(view)


def _dense(view: View) -> Limit:
    if view.operator.options.get("weights_format", 0):
        return "its weights are shuffled", "convert with the default format"
    if any(side != 1 for side in view.output.shape[:-1]):
        return f"its output {sides(view.output.shape)} has more than one row", "use a 1x1 convolution"
    return _weighted(1)(view)


def _concatenation(view: View) -> Limit:
    constants = [tensor for tensor in view.inputs if tensor.is_constant]
    if constants and (len(view.operator.inputs) != 2 or any(not _is_zero(view, tensor) for tensor in constants)):
        return "it has a constant that is not the zeros of two inputs", "concatenate it on the CPU"
    return _unfused(view)


def _reduction(view: View) -> Limit:
    rank = len(view.input(0).shape)
    axes = view.axes(1, rank)
    if axes is None:
        return "its axes are not constant", "make them constants"
    return ("it reduces the batch", "keep the batch") if rank > 1 and 0 in axes else None


def _mean(view: View) -> Limit:
    shape = view.input(0).shape
    axes = view.axes(1, len(shape)) or set()
    if len(shape) - 1 in axes and shape[-1] % 4:
        return f"it reduces {shape[-1]} channels", "use a multiple of 4"
    if reduced_values(view) >= UNMAPPED_MEAN:
        return f"it reduces {reduced_values(view):,} values to one", "reduce parts of it first"
    return _reduction(view)


def reduced_values(view: View) -> int:
    """How many values a MEAN makes one of."""
    shape = view.input(0).shape
    return math.prod(shape[axis] for axis in view.axes(1, len(shape)) or ())


def _pack(view: View) -> Limit:
    axis = int(view.operator.options.get("axis", 0)) % max(len(view.output.shape), 1)  # type: ignore[arg-type]
    return None if axis else ("it packs along the batch", "pack along another axis")


def _pad(view: View) -> Limit:
    paddings = view.input(1)
    if not paddings.is_constant:
        return "its padding is not constant", "make it a constant"
    amounts = view.numbers(1)
    return ("it pads the batch", "pad other dimensions") if amounts.size > 2 and amounts[:2].any() else None


def _prelu(view: View) -> Limit:
    alpha = view.input(1)
    if any(side != 1 for side in alpha.shape[:-1]):
        return f"its slopes have shape {sides(alpha.shape)}", "share them over x and y: shared_axes=[1, 2]"
    return _weighted(1)(view)


def _resize(view: View) -> Limit:
    before, after = view.input(0).shape, view.output.shape
    ratio = max((new / old for old, new in zip(before[1:3], after[1:3], strict=False) if old), default=1.0)
    if ratio > LARGEST_RESIZE:
        return f"it enlarges {sides(before[1:3])} to {sides(after[1:3])}", f"enlarge at most {LARGEST_RESIZE} times"
    if view.output.elements > CHIP_BYTES:
        return f"its output has {view.output.elements:,} bytes, more than the chip", "make it smaller"
    return None


def _softmax(view: View) -> Limit:
    shape = view.input(0).shape
    if any(side != 1 for side in shape[:-1]):
        return f"its input {sides(shape)} has more than one row", "leave it for the CPU, at the end of the graph"
    if math.prod(shape) > LARGEST_SOFTMAX:
        return f"it has {math.prod(shape):,} elements", f"use at most {LARGEST_SOFTMAX:,}"
    return None


def _split(view: View) -> Limit:
    rank = len(view.input(1).shape)
    axes = view.axes(0, rank)
    if axes is None:
        return "its axis is not constant", "make it a constant"
    return ("it splits the batch", "split along another axis") if rank > 1 and 0 in axes else None


def _strided_slice(view: View) -> Limit:
    if not view.input(3).is_constant or np.any(view.numbers(3) != 1):
        return "its strides are not all 1", "use strides of 1"
    masks = [mask for mask in ("ellipsis_mask", "new_axis_mask") if view.operator.options.get(mask, 0)]
    return (f"it has {masks[0]}", "slice without an ellipsis or a new axis") if masks else None


def _is_zero(view: View, constant: Tensor) -> bool:
    if constant.buffer not in view.fillings:
        content = np.frombuffer(constant.content, np.uint8)
        view.fillings[constant.buffer] = int(content[0]) if (content == content[0]).all() else None
    zero = int(constant.quantization.zero_points[0]) if constant.quantization else 0
    return view.fillings[constant.buffer] == zero % 256


def sides(shape: tuple[int, ...]) -> str:
    """A shape as people read it: 1×224×224×3."""
    return "×".join(map(str, shape))


# The operations that the compiler maps, and the limit of each.
SUPPORTED: dict[str, Callable[[View], Limit]] = {
    **dict.fromkeys(
        (
            *("ADD", "EXPAND_DIMS", "L2_NORMALIZATION", "LOGISTIC", "LSTM", "MAXIMUM", "MINIMUM", "MUL", "QUANTIZE"),
            *("RELU", "RELU6", "RELU_N1_TO_1", "RESHAPE", "RSQRT", "SLICE", "SPACE_TO_DEPTH", "SQUARED_DIFFERENCE"),
            *("SQUEEZE", "SUB", "TANH", "TILE", "TRANSPOSE", "UNIDIRECTIONAL_SEQUENCE_LSTM"),
        ),
        _always,
    ),
    **dict.fromkeys(("AVERAGE_POOL_2D", "MAX_POOL_2D"), _unfused),
    **dict.fromkeys(("CONV_2D", "DEPTHWISE_CONV_2D"), _convolution),
    **dict.fromkeys(("REDUCE_MAX", "REDUCE_MIN", "SUM"), _reduction),
    **dict.fromkeys(("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"), _resize),
    "CONCATENATION": _concatenation,
    "FULLY_CONNECTED": _dense,
    "MEAN": _mean,
    "PACK": _pack,
    "PAD": _pad,
    "PRELU": _prelu,
    "SOFTMAX": _softmax,
    "SPLIT": _split,
    "STRIDED_SLICE": _strided_slice,
    "TRANSPOSE_CONV": _weighted(1),
}
