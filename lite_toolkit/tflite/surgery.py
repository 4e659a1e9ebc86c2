"""A `.tflite` taken apart and put together, and rewritten so that its layers can be watched, or fed one by one."""

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from lite_toolkit.errors import LiteToolkitError

try:
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils
except ModuleNotFoundError as error:  # tflite-runtime has no such tools
    raise LiteToolkitError(
        "looking into a model's layers needs ai-edge-litert, which is not installed: pip install ai-edge-litert, or do "
        "this on another machine"
    ) from error


_FUSED = {
    schema.ActivationFunctionType.RELU: "RELU",
    schema.ActivationFunctionType.RELU6: "RELU6",
    schema.ActivationFunctionType.RELU_N1_TO_1: "RELU_N1_TO_1",
}


def unpack(model: bytes) -> Any:
    """The model as objects that can be changed; those of an older schema as today's has them."""
    unpacked = flatbuffer_utils.read_model_from_bytearray(bytearray(model))
    for code in unpacked.operatorCodes:
        code.builtinCode = max(code.builtinCode, code.deprecatedBuiltinCode)
    unpacked.signatureDefs = unpacked.signatureDefs or []
    for buffer in unpacked.buffers:
        if buffer.data is not None:  # a bytearray or list is written byte by byte, in Python
            buffer.data = np.asarray(buffer.data, np.uint8)
    return unpacked


def pack(unpacked: Any) -> bytes:
    """The content of the `.tflite` that objects describe."""
    return bytes(flatbuffer_utils.convert_object_to_bytearray(unpacked))


def expose(model: bytes, tensors: Sequence[int]) -> bytes:
    """The model with `tensors`, given by their numbers, as its outputs in that order.

    Outputs stay readable with every delegate, so that one sees what the fast kernels compute, 10 times as fast as with
    an interpreter that keeps all tensors.
    """
    unpacked = _unsigned(model)
    unpacked.subgraphs[0].outputs = list(tensors)
    return pack(unpacked)


def isolate(model: bytes, tensors: Sequence[int]) -> bytes:
    """The model cut behind the operators that write `tensors`: one run gives what each layer makes of given inputs.

    Its inputs are the model's own and then `tensors`, which the following operators read as ever. Its outputs are what
    the operators would have written to `tensors`, in that order.
    """
    unpacked = _unsigned(model)
    graph = unpacked.subgraphs[0]
    writers = {int(number): operator for operator in graph.operators for number in operator.outputs}
    graph.inputs = [*graph.inputs, *tensors]
    graph.outputs = []
    for number in tensors:
        written = copy.deepcopy(graph.tensors[number])
        written.name += b"_isolated"
        graph.outputs.append(len(graph.tensors))
        graph.tensors.append(written)
        operator = writers[number]
        operator.outputs = [graph.outputs[-1] if output == number else output for output in operator.outputs]
    return pack(unpacked)


def operators(model: bytes) -> Iterator[tuple[int, bytes]]:
    """Each operator of the main subgraph, by its number, as a model of its own: see `cuts`."""
    return ((index, pack(cut())) for index, cut in cuts(model))


def cuts(model: bytes) -> Iterator[tuple[int, Callable[[], Any]]]:
    """Each operator of the main subgraph, by its number, with what makes a model of its own of it, as objects.

    What an operator reads are inputs, and what it writes outputs, of the same shapes and types. Constants stay inside,
    and with them the operators that compute constants, such as the DEQUANTIZE of float16 weights: these have no model.
    """
    unpacked = _unsigned(model)
    graph = unpacked.subgraphs[0]
    constant = {
        number for number, tensor in enumerate(graph.tensors) if unpacked.buffers[tensor.buffer].data is not None
    }
    makers: dict[int, list[Any]] = {}
    for index, operator in enumerate(graph.operators):
        read = {int(number) for number in operator.inputs if number >= 0}
        needed = [maker for number in sorted(read) for maker in makers.get(number, [])]
        if read and read <= constant:
            constant |= {int(number) for number in operator.outputs}
            makers |= {int(number): [*needed, operator] for number in operator.outputs}
        else:
            yield index, partial(_cut, unpacked, [*needed, operator], sorted(read - constant))


def _cut(unpacked: Any, kept: Sequence[Any], inputs: Sequence[int]) -> Any:
    """The model of the operators `kept`, of which the last one writes the outputs."""
    cut = copy.copy(unpacked)
    graph = copy.copy(unpacked.subgraphs[0])
    used = sorted({int(number) for operator in kept for number in (*operator.inputs, *operator.outputs) if number >= 0})
    places = {number: place for place, number in enumerate(used)} | {-1: -1}
    graph.tensors = [copy.copy(graph.tensors[number]) for number in used]
    # Buffer 0 is the empty one by definition.
    cut.buffers = [unpacked.buffers[0], *(unpacked.buffers[tensor.buffer] for tensor in graph.tensors)]
    for number, tensor in enumerate(graph.tensors, start=1):
        tensor.buffer = number
    graph.operators = [copy.copy(operator) for operator in kept]
    for operator in graph.operators:
        operator.inputs = [places[int(number)] for number in operator.inputs]
        operator.outputs = [places[int(number)] for number in operator.outputs]
    graph.inputs = [places[number] for number in inputs]
    graph.outputs = list(graph.operators[-1].outputs)
    cut.operatorCodes = list(unpacked.operatorCodes)
    cut.subgraphs, cut.metadata, cut.metadataBuffer = [graph], [], []
    return cut


def _unsigned(model: bytes) -> Any:
    """The model as objects, without its signatures, which would name inputs and outputs that are no more."""
    unpacked = unpack(model)
    unpacked.signatureDefs = []
    return unpacked


def unfused(model: bytes, numbers: Iterable[int]) -> tuple[bytes, dict[int, int]]:
    """The float model with the activation that is fused into those operators as an operator of its own behind each.

    Returns:
        The model, and number of an operator's output -> number of the tensor before its activation.
    """
    unpacked = unpack(model)
    graph, before = unpacked.subgraphs[0], {}
    for operator in [graph.operators[number] for number in numbers]:
        options = operator.builtinOptions = copy.copy(operator.builtinOptions)
        name = _FUSED[options.fusedActivationFunction]
        output = int(operator.outputs[0])
        inner = copy.copy(graph.tensors[output])
        inner.name += b"_before_activation"
        before[output] = len(graph.tensors)
        graph.tensors.append(inner)
        operator.outputs, options.fusedActivationFunction = [before[output]], schema.ActivationFunctionType.NONE
        activation = schema.OperatorT()
        activation.inputs, activation.outputs = [before[output]], [output]
        activation.opcodeIndex = operator_code(unpacked, getattr(schema.BuiltinOperator, name), 1)
        graph.operators.insert(graph.operators.index(operator) + 1, activation)
    return pack(unpacked), before


def operator_code(model: Any, code: int, version: int) -> int:
    """The number of an operator among those that the model uses; it is added where it is missing."""
    for index, known in enumerate(model.operatorCodes):
        if (known.builtinCode, known.version) == (code, version):
            return index
    added = schema.OperatorCodeT()
    added.builtinCode = added.deprecatedBuiltinCode = code  # both are below 127, where the two fields agree
    added.version = version
    model.operatorCodes.append(added)
    return len(model.operatorCodes) - 1
