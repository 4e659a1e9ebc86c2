"""A `.tflite` rewritten so that its layers can be watched, or fed one by one."""

import copy
from collections.abc import Sequence
from typing import Any

from ai_edge_litert.tools import flatbuffer_utils


def expose(model: bytes, tensors: Sequence[int]) -> bytes:
    """The model with `tensors`, given by their numbers, as its outputs in that order.

    Outputs stay readable with every delegate, so that one sees what the fast kernels compute, 10 times as fast as with
    an interpreter that keeps all tensors.
    """
    unpacked = _unpack(model)
    unpacked.subgraphs[0].outputs = list(tensors)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(unpacked))


def isolate(model: bytes, tensors: Sequence[int]) -> bytes:
    """The model cut behind the operators that write `tensors`: one run gives what each layer makes of given inputs.

    Its inputs are the model's own and then `tensors`, which the following operators read as ever. Its outputs are what
    the operators would have written to `tensors`, in that order.
    """
    unpacked = _unpack(model)
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
    return bytes(flatbuffer_utils.convert_object_to_bytearray(unpacked))


def _unpack(model: bytes) -> Any:
    """The model as objects, without its signatures, which would name inputs and outputs that are no more."""
    unpacked = flatbuffer_utils.read_model_from_bytearray(bytearray(model))
    unpacked.signatureDefs = []
    return unpacked
