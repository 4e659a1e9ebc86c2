"""What the Edge TPU compiler maps, operator by operator.

The limits are those of the table of supported operations at https://coral.ai/docs/edgetpu/models-intro, for compiler 16;
a limit from elsewhere names its source. The statuses are the compiler's own words.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lite_toolkit.errors import ModelError
from lite_toolkit.graph import MAXIMUM_RANK, Operator, Subgraph, Tensor
from lite_toolkit.schema import OPERATORS

MAPPED = "Mapped to Edge TPU"
NOT_MAPPED = "Operation is otherwise supported, but not mapped due to some unspecified limitation"
UNSUPPORTED_TYPE = "Operation is working on an unsupported data type"
SECOND_SUBGRAPH = "More than one subgraph is not supported"
NOT_SUPPORTED = "Operation not supported"
VERSION_NOT_SUPPORTED = "Operation version not supported"
UNSUPPORTED_RANK = "Tensor has unsupported rank (up to 3 innermost dimensions mapped)"

CHIP_BYTES = 8 * 2**20  # the memory on the chip
CUSTOM_OPERATOR = "edgetpu-custom-op"  # what stands for the mapped operators in a compiled model
LARGEST_SOFTMAX = 16_384  # elements; 16,000 are documented, and compiler 16 maps 16,384
MAPPED_MEAN, UNMAPPED_MEAN = 64 * 128, 256 * 128  # values; issue 461 of google-coral/edgetpu
LARGEST_RESIZE = 8  # times as high or wide; larger ones stayed on the CPU in compiled models

# Compiler 16 is built from a TensorFlow Lite that knows no later version, and refuses the whole model: issues 631, 845
# and 879 of google-coral/edgetpu, and 71 of google-coral/libedgetpu.
NEWEST_VERSION = {"CONV_2D": 5, "QUANTIZE": 2, "TRANSPOSE_CONV": 3, "EXP": 1}


@dataclass(frozen=True)
class Verdict:
    """What the compiler does with an operator.

    Attributes:
        status: one of the compiler's.
        reason: the limit that it misses; empty for a mapped one.
        remedy: what to change so that it is mapped; empty where nothing is known.
        doubt: why a mapped one may stay on the CPU nevertheless; mostly empty.
    """

    status: str
    reason: str = ""
    remedy: str = ""
    doubt: str = ""

    @property
    def mapped(self) -> bool:
        """Whether the Edge TPU runs it."""
        return self.status == MAPPED


def judge(graph: Subgraph) -> tuple[Verdict, ...]:
    """The verdict on each operator by itself, wherever in the graph it stands.

    Raises:
        ModelError: an operator lacks a tensor that it needs, or a constant is of another size than its shape.
    """
    fillings: dict[int, int | None] = {}
    return tuple(_judge(View(graph, operator, fillings)) for operator in graph.operators)


def _judge(view: "View") -> Verdict:
    for rule in (_known, _typed, _versioned, _ranked, _limited):
        verdict = rule(view)
        if verdict is not None:
            return verdict
    return Verdict(MAPPED, doubt=_doubt(view))


@dataclass(frozen=True)
class View:
    """An operator and the tensors of its graph.

    Attributes:
        fillings: number of a buffer -> the byte that fills it, if one does; shared, so that none is searched twice.
    """

    graph: Subgraph
    operator: Operator
    fillings: dict[int, int | None] = field(default_factory=dict)

    @property
    def inputs(self) -> list[Tensor]:
        """The tensors that it reads, without those that are left out."""
        return [self.graph.tensors[number] for number in self.operator.inputs if number >= 0]

    @property
    def outputs(self) -> list[Tensor]:
        """The tensors that it writes."""
        return [self.graph.tensors[number] for number in self.operator.outputs]

    @property
    def activations(self) -> list[Tensor]:
        """Those of both that are computed for every input."""
        return [tensor for tensor in self.inputs if not tensor.is_constant] + self.outputs

    def has_input(self, position: int) -> bool:
        """Whether the tensor is not left out."""
        return position < len(self.operator.inputs) and self.operator.inputs[position] >= 0

    def input(self, position: int) -> Tensor:
        """The tensor that it reads at `position`.

        Raises:
            ModelError: it is left out.
        """
        if not self.has_input(position):
            raise ModelError(f"operator {self.operator.index} {self.operator.name}: input {position} is missing")
        return self.graph.tensors[self.operator.inputs[position]]

    @property
    def output(self) -> Tensor:
        """The first tensor that it writes; ModelError where there is none."""
        if not self.operator.outputs:
            raise ModelError(f"operator {self.operator.index} {self.operator.name}: it has no output")
        return self.graph.tensors[self.operator.outputs[0]]

    def axes(self, position: int, rank: int) -> set[int] | None:
        """The axes that a constant input names, counted from the front; None where it is no constant."""
        tensor = self.input(position)
        return {int(axis) % max(rank, 1) for axis in self.numbers(position)} if tensor.is_constant else None

    def numbers(self, position: int) -> NDArray[np.generic]:
        """The flat values of a constant input that has a few for each dimension, such as axes or strides."""
        tensor = self.input(position)
        if tensor.elements > 2 * MAXIMUM_RANK:
            where = f"operator {self.operator.index} {self.operator.name}"
            raise ModelError(f"{where}: input {position} has {tensor.elements} values, at most {2 * MAXIMUM_RANK} fit")
        return np.ravel(tensor.data())


def _known(view: View) -> Verdict | None:
    name = view.operator.name
    if name == "QUANTIZE" and view.input(0).dtype.startswith("float"):
        return Verdict(NOT_MAPPED, f"it reads {view.input(0).dtype}", _INTEGER_ENDS)
    if name in SUPPORTED:
        return None
    floats = next((tensor.dtype for tensor in view.activations if tensor.dtype.startswith("float")), None)
    if floats:
        remedy = _INTEGER_ENDS if name == "DEQUANTIZE" else "quantize the model to int8; what stays float stays here"
        return Verdict(UNSUPPORTED_TYPE, f"it works on {floats}", remedy)
    if name == CUSTOM_OPERATOR:
        return Verdict(NOT_SUPPORTED, "the model is compiled already", "check or compile the model before")
    if name not in OPERATORS:
        return Verdict(NOT_SUPPORTED, "it is a custom operator", "leave it for the end of the graph")
    return Verdict(NOT_SUPPORTED, "the Edge TPU has no such operation", _INSTEAD.get(name, _AT_THE_END))


def _typed(view: View) -> Verdict | None:
    for tensor in view.activations:
        if tensor.dtype not in _DATA and not tensor.is_variable:
            return Verdict(UNSUPPORTED_TYPE, f"{tensor.name!r} is {tensor.dtype}", "quantize it to int8 or uint8")
    for tensor in view.inputs:
        if tensor.is_constant and tensor.dtype not in _CONSTANTS:
            return Verdict(UNSUPPORTED_TYPE, f"the constant {tensor.name!r} is {tensor.dtype}", "quantize it to int8")
    return None


def _versioned(view: View) -> Verdict | None:
    newest = NEWEST_VERSION.get(view.operator.name, view.operator.version)
    if view.operator.version <= newest:
        return None
    reason = f"version {view.operator.version} is later than compiler 16, which knows {newest}"
    return Verdict(VERSION_NOT_SUPPORTED, reason, "convert with an older TensorFlow")


def _ranked(view: View) -> Verdict | None:
    for tensor in view.activations:
        shape = tensor.shape
        if 0 in shape:
            return Verdict(NOT_MAPPED, f"{tensor.name!r} of shape {shape} is empty", "give it a fixed shape")
        if any(side != 1 for side in shape[:-3]):
            remedy = "use a batch of 1" if len(shape) == 4 else "reshape to at most 3 dimensions larger than 1"
            return Verdict(UNSUPPORTED_RANK, f"{tensor.name!r} has shape {_sides(shape)}", remedy)
    return None


def _limited(view: View) -> Verdict | None:
    found = SUPPORTED[view.operator.name](view)
    return Verdict(NOT_MAPPED, *found) if found else None


def _doubt(view: View) -> str:
    name, size = view.operator.name, max((tensor.elements for tensor in view.activations), default=0)
    if name in ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"):
        return "depending on its size, a resize may stay on the CPU"
    if name == "MEAN" and _reduced(view) > MAPPED_MEAN:
        return f"a MEAN of {UNMAPPED_MEAN:,} values stays on the CPU, one of {MAPPED_MEAN:,} is mapped"
    if name in ("RESHAPE", "TRANSPOSE", "CONCATENATION") and size > _LARGE:
        return f"some large ones stay on the CPU, and this one has {size:,} elements"
    return ""


# The limits of single operations: what is wrong and what helps, or None.

Limit = tuple[str, str] | None


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
        return f"its output {_sides(view.output.shape)} has more than one row", "use a 1x1 convolution"
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
    if _reduced(view) >= UNMAPPED_MEAN:
        return f"it reduces {_reduced(view):,} values to one", "reduce parts of it first"
    return _reduction(view)


def _reduced(view: View) -> int:
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
        return f"its slopes have shape {_sides(alpha.shape)}", "share them over x and y: shared_axes=[1, 2]"
    return _weighted(1)(view)


def _resize(view: View) -> Limit:
    before, after = view.input(0).shape, view.output.shape
    ratio = max((new / old for old, new in zip(before[1:3], after[1:3], strict=False) if old), default=1.0)
    if ratio > LARGEST_RESIZE:
        return f"it enlarges {_sides(before[1:3])} to {_sides(after[1:3])}", f"enlarge at most {LARGEST_RESIZE} times"
    if view.output.elements > CHIP_BYTES:
        return f"its output has {view.output.elements:,} bytes, more than the chip", "make it smaller"
    return None


def _softmax(view: View) -> Limit:
    shape = view.input(0).shape
    if any(side != 1 for side in shape[:-1]):
        return f"its input {_sides(shape)} has more than one row", "leave it for the CPU, at the end of the graph"
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


def _sides(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))


_LARGE = 2**20  # elements; smaller ones have all been seen mapped
_DATA = frozenset(("int8", "uint8"))
_CONSTANTS = _DATA | {"int32", "int64", "bool"}  # biases, shapes and axes
_INTEGER_ENDS = "give the model int8 or uint8 inputs and outputs (convert --io uint8)"
_AT_THE_END = "leave it for the end of the graph, or use another"
_INSTEAD = {
    "LEAKY_RELU": "use RELU, RELU6 or PRELU",
    "HARD_SWISH": "use RELU6, as EfficientNet-Lite does",
    "GELU": "use RELU6",
    "ELU": "use RELU6 or PRELU",
    "DIV": "multiply by the reciprocal",
}
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
