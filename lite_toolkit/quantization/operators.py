"""The operators of a float graph, computed one by one by the runtime's own kernels.

Tensors of all images are arrays of one image after the other: (images, height, width, channels) of a tensor
(1, height, width, channels), and (images, 49, channels) of a tensor (49, channels).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lite_toolkit.errors import ModelError
from lite_toolkit.quantization.boundary import quantize_ends
from lite_toolkit.quantization.parameters import Parameters, set_parameters
from lite_toolkit.quantization.ranges import Range, in_steps, steps
from lite_toolkit.runtime.interpreter import interpreter
from lite_toolkit.tflite import surgery
from lite_toolkit.tflite.graph import Operator, Subgraph, read_graph

Array = NDArray[np.float32]

LINEAR = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"})
UNBOUNDED = (-math.inf, math.inf)
_ACTIVATIONS: Mapping[object, Range] = {
    "NONE": UNBOUNDED,
    "RELU": (0.0, math.inf),
    "RELU6": (0.0, 6.0),
    "RELU_N1_TO_1": (-1.0, 1.0),
}


@dataclass(frozen=True, eq=False)
class Activation:
    """A tensor of all images.

    Attributes:
        stored: one array after the other; int8 where it is quantized.
        limits: the range of an int8 one.
    """

    stored: NDArray[Any]
    limits: Range | None = None

    def at(self, count: int) -> "Activation":
        """Those of `places`: (images, places, channels)."""
        images, channels = len(self.stored), self.stored.shape[-1]
        flat = self.stored.reshape(images, -1, channels)
        return Activation(np.take(flat, places(flat.shape[1], count), axis=1), self.limits)

    def real(self) -> NDArray[Any]:
        """The values themselves."""
        if self.limits is None:
            return self.stored
        scale, zero_point = steps(self.limits)
        values = self.stored.astype(np.float32)
        values -= np.float32(zero_point)
        values *= np.float32(scale)
        return values


def quantized(values: Array, limits: Range) -> Activation:
    """Values at the steps that int8 has over a range, as TFLite rounds them: the zero point is a whole step."""
    return Activation(in_steps(values, limits).astype(np.int8), limits)


class Network:
    """A float `.tflite` whose operators are computed one by one, each as a model of its own.

    Attributes:
        float_model: the content of the file.
        graph: its main subgraph.
    """

    def __init__(self, float_model: bytes) -> None:
        self.float_model = float_model
        self.graph = read_graph(float_model).subgraphs[0]
        self._cuts = dict(surgery.cuts(float_model))
        # Those that stay as they are: whoever looks for causes runs them once for every operator before them.
        self._unchanged = cache(lambda index: interpreter(surgery.pack(self._cuts[index]())))

    def outputs(
        self,
        operator: Operator,
        live: Mapping[int, Activation],
        ranges: Mapping[int, Range] | None = None,
        parameters: tuple[Array, Array] | None = None,
    ) -> dict[int, Activation]:
        """What an operator makes of the tensors `live`, by the numbers of its outputs; nothing of constants alone.

        Args:
            operator: of the graph.
            live: at least the tensors that it reads.
            ranges: of the outputs that are to be rounded to int8.
            parameters: weights and bias in place of a linear operator's own.
        """
        if operator.index not in self._cuts:
            return {}
        sources = [live[index] for index in sorted(set(operator.inputs)) if index in live]
        before, limits = (
            [source.limits for source in sources],
            [(ranges or {}).get(index) for index in operator.outputs],
        )
        if parameters is None and not any((*before, *limits)):
            loaded = self._unchanged(operator.index)
        else:
            loaded = interpreter(self._changed(operator.index, parameters, before, limits))
        made = _run(loaded, sources)
        return {
            index: Activation(*one) for index, one in zip(operator.outputs, zip(made, limits, strict=True), strict=True)
        }

    def _changed(self, index: int, parameters: tuple[Array, Array] | None, *ends: Sequence[Range | None]) -> bytes:
        """The model of an operator with other parameters, and with int8 inputs and outputs where they have a range."""
        model = self._cuts[index]()
        if parameters is not None:
            last = len(model.subgraphs[0].operators) - 1
            set_parameters(model, Parameters({last: parameters[0]}, {last: parameters[1]}))
        quantize_ends(model, *ends)
        return surgery.pack(model)


def _run(loaded: Any, sources: Iterable[Activation]) -> list[NDArray[Any]]:
    """An interpreter's outputs for each image."""
    inputs, outputs = loaded.get_input_details(), loaded.get_output_details()
    found = []
    for values in zip(*(source.stored for source in sources), strict=True):
        for details, value in zip(inputs, values, strict=True):
            loaded.set_tensor(details["index"], value.reshape(details["shape"]))
        loaded.invoke()
        found.append([loaded.get_tensor(details["index"]) for details in outputs])
    return [np.stack(images).reshape(_shape(images)) for images in zip(*found, strict=True)]


def _shape(images: "tuple[NDArray[Any], ...]") -> tuple[int, ...]:
    one = images[0].shape
    return (len(images), *(one[1:] if len(one) > 1 and one[0] == 1 else one))


def is_linear(operator: Operator, graph: Subgraph) -> bool:
    """Whether an operator multiplies its input by float weights that the file holds; each output sees all channels of
    it, or one. Convolutions of groups keep their own weights.
    """
    if operator.name not in LINEAR or not graph.tensors[operator.inputs[1]].is_constant:
        return False
    source, kernel = (graph.tensors[index].shape for index in operator.inputs[:2])
    return operator.name != "CONV_2D" or source[3] == kernel[3]


def is_depthwise(operator: Operator) -> bool:
    """Whether each output channel sees one input channel."""
    return operator.name == "DEPTHWISE_CONV_2D"


def weights(operator: Operator, graph: Subgraph) -> Array:
    """The stored weights of a linear operator, laid out as in the file."""
    return np.array(graph.tensors[operator.inputs[1]].data(), np.float32)


def bias(operator: Operator, graph: Subgraph) -> Array:
    """The stored bias of a linear operator; zeros where it has none."""
    if len(operator.inputs) > 2 and operator.inputs[2] >= 0:
        return np.array(graph.tensors[operator.inputs[2]].data(), np.float32)
    return np.zeros(graph.tensors[operator.inputs[1]].shape[3 if is_depthwise(operator) else 0], np.float32)


def bounds(operator: Operator) -> Range:
    """The least and the greatest value that the activation fused into an operator lets through.

    Raises:
        ModelError: an activation that is no clipping.
    """
    name = operator.options.get("fused_activation_function", "NONE")
    if name not in _ACTIVATIONS:
        known = ", ".join(sorted(map(str, _ACTIVATIONS)))
        raise ModelError(f"operator {operator.index} {operator.name}: activation {name} is not one of {known}")
    return _ACTIVATIONS[name]


@cache
def places(size: int, count: int) -> NDArray[np.intp]:
    """Some of `size` places, the same for all tensors of that size; fewer ones are the first of more."""
    return np.random.default_rng(size).permutation(size)[:count]


@dataclass(frozen=True, eq=False)
class Taps:
    """What some output values of a linear operator see of its input.

    Attributes:
        rows: (values, taps) places of the input.
        inside: the same; False where a tap lies in the padding.
        channels: at each place.
    """

    rows: NDArray[np.intp]
    inside: NDArray[np.bool_]
    channels: int

    def of(self, source: Activation) -> Activation:
        """(images, values, taps, channels) of an input."""
        whole = source.stored.reshape(len(source.stored), -1, self.channels)
        taken = np.take(whole, self.rows, axis=1)
        if not self.inside.all():
            taken[:, ~self.inside] = steps(source.limits)[1] if source.limits else 0
        return Activation(taken, source.limits)


def taps(operator: Operator, graph: Subgraph, count: int) -> Taps:
    """Those of `places` of the operator's output.

    Args:
        operator: a linear one.
        graph: that it belongs to.
        count: places in each image; all of them where there are no more.
    """
    source, kernel, output = (graph.tensors[index].shape for index in (*operator.inputs[:2], operator.outputs[0]))
    if operator.name == "FULLY_CONNECTED":
        chosen = places(math.prod(output[:-1]), count)[:, None]
        return Taps(chosen, np.ones_like(chosen, np.bool_), kernel[1])
    options: Mapping[str, Any] = operator.options
    padding = options["padding"]
    rows, row_inside = _along(source[1], kernel[1], options["stride_h"], options["dilation_h_factor"], padding)
    columns, column_inside = _along(source[2], kernel[2], options["stride_w"], options["dilation_w_factor"], padding)
    down, across = np.divmod(places(len(rows) * len(columns), count), len(columns))
    flat = rows[down][:, :, None] * source[2] + columns[across][:, None, :]
    inside = row_inside[down][:, :, None] & column_inside[across][:, None, :]
    return Taps(flat.reshape(len(flat), -1), inside.reshape(len(flat), -1), source[3])


def _along(
    size: int, kernel: int, stride: int, dilation: int, padding: str
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Along one axis: the input index of every tap of every output, clipped, and whether it lies inside."""
    extent = (kernel - 1) * dilation + 1
    outputs = -(-size // stride) if padding == "SAME" else (size - extent) // stride + 1
    before = max((outputs - 1) * stride + extent - size, 0) // 2 if padding == "SAME" else 0
    reached = np.arange(outputs)[:, None] * stride - before + np.arange(kernel) * dilation
    return np.clip(reached, 0, size - 1), (reached >= 0) & (reached < size)
