"""The operators of a float graph, computed on the images of a batch.

Tensors of all images are arrays of one image after the other: (images, height, width, channels) of a tensor
(1, height, width, channels), and (images, 49, channels) of a tensor (49, channels).
"""

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lite_toolkit.errors import ModelError
from lite_toolkit.networks.backend import tf
from lite_toolkit.runtime.interpreter import interpreter
from lite_toolkit.tflite import surgery
from lite_toolkit.tflite.graph import Operator, Subgraph, read_graph

Array = NDArray[np.float32]

BATCH = 16  # images at once: activations of one layer stay small beside those that are kept


class Network:
    """A float `.tflite` whose operators are computed one by one.

    Those with weights are computed in batches, by TensorFlow; all others by the runtime itself, image by image, each as
    a model of its own.

    Attributes:
        graph: the model's.
    """

    def __init__(self, float_model: bytes) -> None:
        self.graph = read_graph(float_model).subgraphs[0]
        others = [operator.index for operator in self.graph.operators if not is_linear(operator, self.graph)]
        self._models = dict(surgery.operators(float_model, others))
        self._interpreter = cache(lambda index: interpreter(self._models[index], 1))

    def outputs(self, operator: Operator, live: Mapping[int, NDArray[Any]]) -> dict[int, NDArray[Any]]:
        """What an operator makes of the tensors `live`, by the numbers of its outputs; nothing of constants alone."""
        if is_linear(operator, self.graph):
            product = linear(operator, live[operator.inputs[0]], weights(operator, self.graph))
            return {operator.outputs[0]: activate(operator, product + bias(operator, self.graph))}
        if operator.index not in self._models:
            return {}
        sources = [live[index] for index in sorted(set(operator.inputs)) if index in live]
        images = [self._run(operator.index, image) for image in zip(*sources, strict=True)]
        return dict(zip(operator.outputs, map(np.stack, zip(*images, strict=True)), strict=True))

    def _run(self, index: int, values: Iterable[NDArray[Any]]) -> list[NDArray[Any]]:
        """One operator's outputs for one image."""
        model = self._interpreter(index)
        for details, value in zip(model.get_input_details(), values, strict=True):
            model.set_tensor(details["index"], value.reshape(details["shape"]))
        model.invoke()
        found = [model.get_tensor(details["index"]) for details in model.get_output_details()]
        return [value[0] if value.ndim and len(value) == 1 else value for value in found]


def is_linear(operator: Operator, graph: Subgraph) -> bool:
    """Whether an operator multiplies its input by float weights that the file holds."""
    return operator.name in LINEAR and graph.tensors[operator.inputs[1]].is_constant


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
    # (1, height, width, outputs) -> (height, width, inputs, outputs of each)
    kernel = weights.reshape(*weights.shape[1:3], x.shape[3], -1)
    dilations = [options["dilation_h_factor"], options["dilation_w_factor"]]
    return tf.nn.depthwise_conv2d(x, kernel, _strides(options), options["padding"], dilations=dilations)


def _dense(options: Mapping[str, Any], x: Array, weights: Array) -> Any:
    product = x.reshape(-1, weights.shape[1]) @ weights.T
    if options.get("keep_num_dims"):
        return product.reshape(*x.shape[:-1], len(weights))
    return product.reshape(len(x), -1, len(weights)) if len(product) > len(x) else product


def _known(registry: Iterable[object]) -> str:
    return ", ".join(sorted(map(str, registry)))


LINEAR: dict[str, Callable[[Mapping[str, Any], Array, Array], Any]] = {
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": _dense,
}
_ACTIVATIONS: dict[object, tuple[float | None, float | None]] = {
    "NONE": (None, None),
    "RELU": (0.0, None),
    "RELU6": (0.0, 6.0),
    "RELU_N1_TO_1": (-1.0, 1.0),
}
