"""The dtypes that a quantized model takes and gives."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from ai_edge_litert import schema_py_generated as schema

from lite_toolkit.quantization.ranges import Range, steps
from lite_toolkit.quantization.recipes import InputOutput
from lite_toolkit.tflite.layers import INNER_END
from lite_toolkit.tflite.surgery import operator_code, pack, unpack

_TYPES: dict[InputOutput, int] = {
    "uint8": schema.TensorType.UINT8,
    "int8": schema.TensorType.INT8,
    "int16": schema.TensorType.INT16,
    "float32": schema.TensorType.FLOAT32,
}
# The operator versions that first take these types, from TensorFlow's `op_version.cc`.
_QUANTIZE_VERSION = {schema.TensorType.INT16: 2}
_DEQUANTIZE_VERSION = {schema.TensorType.UINT8: 1, schema.TensorType.INT8: 2, schema.TensorType.INT16: 3}


def set_types(model: bytes, io: InputOutput, ranges: Mapping[str, Range]) -> bytes:
    """The model with that input and output dtype, by one operator at either end where it has another.

    uint8 has the scale of int8 and a zero point higher by 128, so that nothing is lost; retyping the tensors themselves
    fails, since the kernels want all their operands of one type. Where the operator at an end stays in float, the outer
    tensor is quantized over its range: `ranges` has those of all tensors, by name.
    """
    unpacked = unpack(model)
    graph, wanted = unpacked.subgraphs[0], _TYPES[io]
    for ends in (graph.inputs, graph.outputs):
        retyped = {index for index in ends if graph.tensors[index].type != wanted}
        _retype(unpacked, ends, wanted, {index: ranges.get(graph.tensors[index].name.decode()) for index in retyped})
    return pack(unpacked)


def quantize_ends(unpacked: Any, inputs: Sequence[Range | None], outputs: Sequence[Range | None]) -> None:
    """Make a float model take and give int8 over those ranges; float32 as before where there is None."""
    graph = unpacked.subgraphs[0]
    for ends, ranges in ((graph.inputs, inputs), (graph.outputs, outputs)):
        settled = {index: limits for index, limits in zip(ends, ranges, strict=True) if limits}
        _retype(unpacked, ends, schema.TensorType.INT8, settled)


def _retype(unpacked: Any, ends: Any, wanted: int, ranges: Mapping[int, Range | None]) -> None:
    """Give the inputs, or the outputs, of those numbers another type; floats are quantized over their range."""
    graph = unpacked.subgraphs[0]
    for position, index in enumerate(ends):
        if index not in ranges:
            continue
        ends[position] = outer = _outer_tensor(graph, index, wanted, ranges[index])
        if ends is graph.inputs:
            graph.operators.insert(0, _operator(unpacked, graph, outer, index))
            _rename(unpacked.signatureDefs, "inputs", index, outer)
        else:
            graph.operators.append(_operator(unpacked, graph, index, outer))
            _rename(unpacked.signatureDefs, "outputs", index, outer)


def _outer_tensor(graph: Any, index: int, wanted: int, limits: Range | None) -> int:
    """Append the tensor that the application sees; the inner one passes its name on."""
    inner = graph.tensors[index]
    outer = copy.deepcopy(inner)
    if inner.type == schema.TensorType.FLOAT32 and limits:
        outer.quantization = _parameters(limits, wanted)
    inner.name += INNER_END.encode()
    outer.type, outer.buffer = wanted, 0
    if wanted == schema.TensorType.FLOAT32:
        outer.quantization = None
    elif wanted == schema.TensorType.UINT8:
        outer.quantization.zeroPoint = [int(outer.quantization.zeroPoint[0]) + 128]
    graph.tensors.append(outer)
    return len(graph.tensors) - 1


def _parameters(limits: Range, wanted: int) -> Any:
    """Scale and zero point over a range, those of uint8 before its zero point is moved."""
    scale, zero_point = steps(limits)
    if wanted == schema.TensorType.INT16:
        scale, zero_point = max(map(abs, limits)) / 32767, 0
    found = schema.QuantizationParametersT()
    found.scale, found.zeroPoint = [scale], [zero_point]
    return found


def _operator(model: Any, graph: Any, source: int, target: int) -> Any:
    types = graph.tensors[source].type, graph.tensors[target].type
    dequantizes = types[1] == schema.TensorType.FLOAT32
    code = schema.BuiltinOperator.DEQUANTIZE if dequantizes else schema.BuiltinOperator.QUANTIZE
    version = _DEQUANTIZE_VERSION[types[0]] if dequantizes else _QUANTIZE_VERSION.get(types[1], 1)
    operator = schema.OperatorT()
    operator.inputs, operator.outputs = [source], [target]
    operator.opcodeIndex = operator_code(model, code, version)
    return operator


def _rename(signatures: Any, side: Literal["inputs", "outputs"], index: int, outer: int) -> None:
    for signature in signatures:
        for tensor in getattr(signature, side):
            if tensor.tensorIndex == index:
                tensor.tensorIndex = outer
