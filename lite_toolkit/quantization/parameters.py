"""What quantization chooses for a network, and a float network that holds it."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from lite_toolkit.quantization.ranges import Range
from lite_toolkit.tflite.surgery import pack, unpack

Array = NDArray[np.float32]


@dataclass
class Parameters:
    """By operator index, weights and biases; by tensor name, ranges of activations.

    `extents` are the ranges that choose nothing: from the smallest to the largest value observed.
    """

    weights: dict[int, Array] = field(default_factory=dict)
    biases: dict[int, Array] = field(default_factory=dict)
    ranges: dict[str, Range] = field(default_factory=dict)
    extents: dict[str, Range] = field(default_factory=dict)


def with_parameters(float_model: bytes, chosen: Parameters) -> bytes:
    """The float model with the chosen weights and biases in place of its own."""
    model = unpack(float_model)
    set_parameters(model, chosen)
    return pack(model)


def set_parameters(model: Any, chosen: Parameters) -> None:
    """The same to an unpacked model."""
    graph = model.subgraphs[0]
    for values, position in ((chosen.weights, 1), (chosen.biases, 2)):
        for index, value in values.items():
            tensor = graph.tensors[_own_operand(graph, graph.operators[index], position)]
            tensor.shape, tensor.type = list(value.shape), schema.TensorType.FLOAT32
            tensor.buffer = _append_buffer(model, value)
    used = {tensor.buffer for graph in model.subgraphs for tensor in graph.tensors}
    used |= {entry.buffer for entry in model.metadata or ()}
    model.buffers = [buffer if index in used else schema.BufferT() for index, buffer in enumerate(model.buffers)]


def _own_operand(graph: Any, operator: Any, position: int) -> int:
    """The index of a tensor that this operator alone reads there; the converter lets equal constants be shared."""
    inputs = [int(operand) for operand in operator.inputs]
    absent = position >= len(inputs) or inputs[position] < 0
    if absent or sum(list(other.inputs).count(inputs[position]) for other in graph.operators) > 1:
        tensor = schema.TensorT()
        tensor.name = f"operand_{len(graph.tensors)}".encode()
        graph.tensors.append(tensor)
        operator.inputs = [*inputs[:position], len(graph.tensors) - 1, *inputs[position + 1 :]]
    return int(operator.inputs[position])


def _append_buffer(model: Any, value: NDArray[np.float32]) -> int:
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(value.astype("<f4").tobytes(), np.uint8)
    model.buffers.append(buffer)
    return len(model.buffers) - 1
