"""A `.tflite` taken apart and put together, and rewritten so that its layers can be watched, or fed one by one."""

import copy
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np

from lite_toolkit.errors import LiteToolkitError

try:
    from ai_edge_litert.tools import flatbuffer_utils
except ModuleNotFoundError as error:  # tflite-runtime has no such tools
    raise LiteToolkitError(
        "looking into a model's layers needs ai-edge-litert, which is not installed: pip install ai-edge-litert, or do "
        "this on another machine"
    ) from error


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


def operators(model: bytes, wanted: Collection[int] | None = None) -> Iterator[tuple[int, bytes]]:
    """Each operator of the main subgraph, or those of the numbers wanted, by its number, as a model of its own.

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
        elif wanted is None or index in wanted:
            yield index, _cut(unpacked, [*needed, operator], sorted(read - constant))


def _cut(unpacked: Any, kept: Sequence[Any], inputs: Sequence[int]) -> bytes:
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
    graph.outputs = graph.operators[-1].outputs
    cut.subgraphs, cut.metadata, cut.metadataBuffer = [graph], [], []
    return pack(cut)


def _unsigned(model: bytes) -> Any:
    """The model as objects, without its signatures, which would name inputs and outputs that are no more."""
    unpacked = unpack(model)
    unpacked.signatureDefs = []
    return unpacked
