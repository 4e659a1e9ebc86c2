"""What the Edge TPU compiler maps, operator by operator.

The statuses are the compiler's own words. What holds for every operation is from the model requirements at
https://coral.ai/docs/edgetpu/models-intro.
"""

from dataclasses import dataclass

from lite_toolkit.edgetpu.limits import MAPPED_MEAN, SUPPORTED, UNMAPPED_MEAN, reduced_values, sides
from lite_toolkit.edgetpu.view import View
from lite_toolkit.tflite.graph import Subgraph, Tensor
from lite_toolkit.tflite.schema import OPERATORS

MAPPED = "Mapped to Edge TPU"
NOT_MAPPED = "Operation is otherwise supported, but not mapped due to some unspecified limitation"
UNSUPPORTED_TYPE = "Operation is working on an unsupported data type"
SECOND_SUBGRAPH = "More than one subgraph is not supported"
NOT_SUPPORTED = "Operation not supported"
VERSION_NOT_SUPPORTED = "Operation version not supported"
UNSUPPORTED_RANK = "Tensor has unsupported rank (up to 3 innermost dimensions mapped)"

CUSTOM_OPERATOR = "edgetpu-custom-op"  # what stands for the mapped operators in a compiled model

# Compiler 16 is built from a TensorFlow Lite that knows no later version, and refuses the whole model: issues 631, 845
# and 879 of google-coral/edgetpu, and 71 of google-coral/libedgetpu.
NEWEST_VERSION = {"CONV_2D": 5, "QUANTIZE": 2, "TRANSPOSE_CONV": 3, "EXP": 1}


@dataclass(frozen=True)
class StatusCount:
    """How many operators of a name have a status, as the compiler lists them."""

    name: str
    count: int
    status: str


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
    shapes = _computed_shapes(graph)
    return tuple(_judge(View(graph, operator, fillings, shapes)) for operator in graph.operators)


def _computed_shapes(graph: Subgraph) -> frozenset[int]:
    """The integers that are computed from the shapes of others, which a batch of unknown size makes necessary."""
    found: set[int] = set()
    for operator in graph.operators:
        if operator.name == "SHAPE" or found.intersection(operator.inputs):
            found.update(number for number in operator.outputs if graph.tensors[number].dtype in _INTEGERS)
    return frozenset(found)


def _judge(view: View) -> Verdict:
    for rule in (_known, _typed, _versioned, _ranked, _limited):
        verdict = rule(view)
        if verdict is not None:
            return verdict
    return Verdict(MAPPED, doubt=_doubt(view))


def _known(view: View) -> Verdict | None:
    name = view.operator.name
    if name == "QUANTIZE" and view.input(0).dtype.startswith("float"):
        return Verdict(NOT_MAPPED, f"it reads {view.input(0).dtype}", _for_floats(view))
    if name in SUPPORTED:
        return None
    floats = next((tensor.dtype for tensor in view.activations if tensor.dtype.startswith("float")), None)
    status = UNSUPPORTED_TYPE if floats else NOT_SUPPORTED
    if name not in OPERATORS:
        return Verdict(status, "it is a custom operator", _AT_THE_END)
    if name == "DEQUANTIZE":
        return Verdict(status, "it writes floats", _for_floats(view))
    shape = view.shapes.intersection(view.operator.outputs)
    remedy = _FIXED if shape else _INSTEAD.get(name, _AT_THE_END)
    return Verdict(status, "the Edge TPU has no such operation", remedy)


def _for_floats(view: View) -> str:
    """What to do about an operator between integers and floats: at an end of the model, or beside a part in floats."""
    ends = {*view.graph.inputs, *view.graph.outputs}
    return _INTEGER_ENDS if ends.intersection(view.operator.inputs + view.operator.outputs) else _INTEGER_PARTS


def _typed(view: View) -> Verdict | None:
    for tensor in view.activations:
        if tensor.dtype not in _DATA and not tensor.is_variable:
            return Verdict(UNSUPPORTED_TYPE, f"it works on {tensor.dtype}", _for_type(view, tensor))
    for tensor in view.inputs:
        if tensor.is_constant and tensor.dtype not in _CONSTANTS:
            return Verdict(UNSUPPORTED_TYPE, f"it has a constant of type {tensor.dtype}", "quantize the model to int8")
    return None


def _for_type(view: View, tensor: Tensor) -> str:
    if tensor.index in view.shapes:
        return _FIXED
    return _OUTSIDE if tensor.dtype in _INTEGERS else "quantize the model to int8"


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
            return Verdict(NOT_MAPPED, f"a tensor of shape {sides(shape)} is empty", "give it a fixed shape")
        if any(side != 1 for side in shape[:-3]):
            remedy = "use a batch of 1" if len(shape) == 4 else "reshape to at most 3 dimensions larger than 1"
            return Verdict(UNSUPPORTED_RANK, f"it has a tensor of shape {sides(shape)}", remedy)
    return None


def _limited(view: View) -> Verdict | None:
    found = SUPPORTED[view.operator.name](view)
    return Verdict(NOT_MAPPED, *found) if found else None


def _doubt(view: View) -> str:
    name, size = view.operator.name, max((tensor.elements for tensor in view.activations), default=0)
    if name in ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"):
        return "depending on its size, a resize may stay on the CPU"
    if name == "MEAN" and reduced_values(view) > MAPPED_MEAN:
        return f"a MEAN of {UNMAPPED_MEAN:,} values stays on the CPU, one of {MAPPED_MEAN:,} is mapped"
    if name in ("RESHAPE", "TRANSPOSE", "CONCATENATION") and size > _LARGE:
        return f"some large ones stay on the CPU, and this one has {size:,} elements"
    return ""


_LARGE = 2**17  # elements; the least that a public log has on the CPU, of a YOLOv5 for 224 pixels, has 199,920
_DATA = frozenset(("int8", "uint8"))
_CONSTANTS = _DATA | {"int32", "int64", "bool"}  # biases, shapes and axes
_INTEGERS = frozenset(("int32", "int64", "bool"))  # which quantization leaves as they are
_FIXED = "fix the batch to 1 and the size: then no shape is computed"
_OUTSIDE = "compute it outside of the model: quantization leaves it as it is"
_INTEGER_ENDS = "give the model int8 or uint8 inputs and outputs (convert --io uint8)"
_INTEGER_PARTS = "replace the operators in float beside it"
_AT_THE_END = "leave it for the end of the graph, or use another"
_INSTEAD = {
    "LEAKY_RELU": "use RELU, RELU6 or PRELU",
    "HARD_SWISH": "use RELU6, as EfficientNet-Lite does",
    "GELU": "use RELU6",
    "ELU": "use RELU6 or PRELU",
    "DIV": "multiply by the reciprocal",
}
