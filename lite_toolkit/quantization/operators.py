"""The float operators of the family's graphs, computed on batches."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lite_toolkit.errors import ModelError
from lite_toolkit.networks.backend import tf
from lite_toolkit.tflite.graph import Operator, Subgraph

Array = NDArray[np.float32]

BATCH = 16  # images at once: activations of one layer stay small beside those that are kept


def linear(operator: Operator, x: Array, weights: Array) -> Array:
    """The product of a linear operator without its bias and activation; weights are laid out as in the file."""
    return _in_batches(lambda part: LINEAR[operator.name](operator.options, part, weights), x)


def sample_patches(operator: Operator, x: Array, kernel: tuple[int, int], count: int, seed: int) -> Array:
    """What some output values of a convolution see.

    Args:
        operator: CONV_2D or DEPTHWISE_CONV_2D.
        x: its input, (images, height, width, channels).
        kernel: height and width of the weights.
        count: places drawn in each image, the same in all; every place where there are no more.
        seed: of the draw.

    Returns:
        (images * places, kernel height * kernel width, channels).
    """
    options: Mapping[str, Any] = operator.options
    rows, row_inside = _taps(
        x.shape[1], kernel[0], options["stride_h"], options["dilation_h_factor"], options["padding"]
    )
    columns, column_inside = _taps(
        x.shape[2], kernel[1], options["stride_w"], options["dilation_w_factor"], options["padding"]
    )
    places = np.random.default_rng(seed).permutation(len(rows) * len(columns))[:count]
    down, across = places // len(columns), places % len(columns)
    taps = x[:, rows[down][:, :, None], columns[across][:, None, :]]
    inside = row_inside[down][:, :, None] & column_inside[across][:, None, :]
    taps *= inside[..., None]
    return taps.reshape(-1, kernel[0] * kernel[1], x.shape[3])


def _taps(
    size: int, kernel: int, stride: int, dilation: int, padding: str
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Along one axis: the input index of every tap of every output, clipped, and whether it lies inside."""
    extent = (kernel - 1) * dilation + 1
    outputs = -(-size // stride) if padding == "SAME" else (size - extent) // stride + 1
    before = max((outputs - 1) * stride + extent - size, 0) // 2 if padding == "SAME" else 0
    taps = np.arange(outputs)[:, None] * stride - before + np.arange(kernel) * dilation
    return np.clip(taps, 0, size - 1), (taps >= 0) & (taps < size)


def activate(operator: Operator, y: Array) -> Array:
    """The activation fused into an operator, in place where it can be."""
    name = operator.options.get("fused_activation_function", "NONE")
    if name not in _ACTIVATIONS:
        raise ModelError(
            f"operator {operator.index} {operator.name}: activation {name} is not one of {_known(_ACTIVATIONS)}"
        )
    low, high = _ACTIVATIONS[name]
    return y if low is None and high is None else np.clip(y, low, high, out=y)


def bias(operator: Operator, graph: Subgraph) -> Array:
    """The stored bias of a linear operator; zeros where it has none."""
    if len(operator.inputs) > 2 and operator.inputs[2] >= 0:
        return np.array(graph.tensors[operator.inputs[2]].data(), np.float32)
    outputs = graph.tensors[operator.inputs[1]].shape[3 if operator.name == "DEPTHWISE_CONV_2D" else 0]
    return np.zeros(outputs, np.float32)


def weights(operator: Operator, graph: Subgraph) -> Array:
    """The stored weights of a linear operator, laid out as in the file."""
    return np.array(graph.tensors[operator.inputs[1]].data(), np.float32)


def evaluate(operator: Operator, graph: Subgraph, inputs: Sequence[Array]) -> Array:
    """The output of an operator as the file has it.

    Args:
        operator: any of the family's.
        graph: that it belongs to.
        inputs: values of the inputs that are no constants.

    Raises:
        ModelError: an operator that is not one of the family's.
    """
    if operator.name in LINEAR:
        product = linear(operator, inputs[0], weights(operator, graph))
        return activate(operator, product + bias(operator, graph))
    return compute(operator, graph, inputs)


def compute(operator: Operator, graph: Subgraph, inputs: Sequence[Array]) -> Array:
    """The output of an operator without weights.

    Raises:
        ModelError: an operator that is not one of the family's.
    """
    if operator.name not in _OTHERS:
        raise ModelError(
            f"operator {operator.index} {operator.name} is not one of {_known(LINEAR | _OTHERS)}: "
            "--recipe int8-minmax takes any"
        )
    function = _OTHERS[operator.name]
    constants = [graph.tensors[index].data() for index in operator.inputs if graph.tensors[index].is_constant]
    result = _in_batches(lambda *parts: function(operator.options, constants, *parts), *inputs)
    return activate(operator, result)


def _in_batches(function: Callable[..., Any], *arrays: Array) -> Array:
    count = len(arrays[0])
    first = np.asarray(function(*(array[:BATCH] for array in arrays)))
    result = np.empty((count, *first.shape[1:]), np.float32)
    result[:BATCH] = first
    for start in range(BATCH, count, BATCH):
        result[start : start + BATCH] = function(*(array[start : start + BATCH] for array in arrays))
    return result


def _strides(options: Mapping[str, Any]) -> list[int]:
    return [1, options["stride_h"], options["stride_w"], 1]


def _convolution(options: Mapping[str, Any], x: Array, weights: Array) -> Any:
    kernel = weights.transpose(1, 2, 3, 0)  # (outputs, height, width, inputs) -> (height, width, inputs, outputs)
    dilations = [1, options["dilation_h_factor"], options["dilation_w_factor"], 1]
    return tf.nn.conv2d(x, kernel, _strides(options), options["padding"], dilations=dilations)


def _depthwise(options: Mapping[str, Any], x: Array, weights: Array) -> Any:
    kernel = weights.transpose(1, 2, 3, 0)  # (1, height, width, channels) -> (height, width, channels, 1)
    return tf.nn.depthwise_conv2d(x, kernel, _strides(options), options["padding"])


def _dense(options: Mapping[str, Any], x: Array, weights: Array) -> Any:  # noqa: ARG001
    return x.reshape(len(x), -1) @ weights.T


def _known(registry: Iterable[object]) -> str:
    return ", ".join(sorted(map(str, registry)))


LINEAR: dict[str, Callable[[Mapping[str, Any], Array, Array], Any]] = {
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": _dense,
}
_OTHERS: dict[str, Callable[..., Any]] = {
    "ADD": lambda _options, constants, *x: x[0] + (x[1] if len(x) > 1 else constants[0]),
    "MUL": lambda _options, constants, *x: x[0] * (x[1] if len(x) > 1 else constants[0]),
    "MEAN": lambda options, constants, x: x.mean(tuple(constants[0].reshape(-1)), keepdims=options["keep_dims"]),
    "LOGISTIC": lambda _options, _constants, x: tf.sigmoid(x),
    "RELU": lambda _options, _constants, x: np.maximum(x, 0),
    "RELU6": lambda _options, _constants, x: np.clip(x, 0, 6),
    "PAD": lambda _options, constants, x: np.pad(x, constants[0]),
    "RESHAPE": lambda _options, constants, x: x.reshape(len(x), *constants[0].reshape(-1)[1:]),
    "SOFTMAX": lambda _options, _constants, x: tf.nn.softmax(x),
}
_ACTIVATIONS: dict[object, tuple[float | None, float | None]] = {
    "NONE": (None, None),
    "RELU": (0.0, None),
    "RELU6": (0.0, 6.0),
    "RELU_N1_TO_1": (-1.0, 1.0),
}
