"""The dtypes that a quantized model takes and gives."""

import copy
from collections.abc import Mapping
from typing import Any, Literal

from ai_edge_litert import schema_py_generated as schema

from lite_toolkit.quantization.ranges import Range, steps
from lite_toolkit.quantization.recipes import InputOutput
from lite_toolkit.tflite.layers import INNER_END
from lite_toolkit.tflite.surgery import pack, unpack

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
    for position, index in enumerate(graph.inputs):
        if graph.tensors[index].type != wanted:
            graph.inputs[position] = outer = _outer_tensor(graph, index, wanted, ranges)
            graph.operators.insert(0, _operator(unpacked, graph, outer, index))
            _rename(unpacked.signatureDefs, "inputs", index, outer)
    for position, index in enumerate(graph.outputs):
        if graph.tensors[index].type != wanted:
            graph.outputs[position] = outer = _outer_tensor(graph, index, wanted, ranges)
            graph.operators.append(_operator(unpacked, graph, index, outer))
            _rename(unpacked.signatureDefs, "outputs", index, outer)
    return pack(unpacked)


def _outer_tensor(graph: Any, index: int, wanted: int, ranges: Mapping[str, Range]) -> int:
    """Append the tensor that the application sees; the inner one passes its name on."""
    inner = graph.tensors[index]
    outer = copy.deepcopy(inner)
    if inner.type == schema.TensorType.FLOAT32:
        outer.quantization = _parameters(ranges[inner.name.decode()], wanted)
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
    operator.opcodeIndex = _operator_code(model, code, version)
    return operator


def _operator_code(model: Any, code: int, version: int) -> int:
    for index, known in enumerate(model.operatorCodes):
        if (known.builtinCode, known.version) == (code, version):
            return index
    added = schema.OperatorCodeT()
    added.builtinCode = added.deprecatedBuiltinCode = code  # both are below 127, where the two fields agree
    added.version = version
    model.operatorCodes.append(added)
    return len(model.operatorCodes) - 1


def _rename(signatures: Any, side: Literal["inputs", "outputs"], index: int, outer: int) -> None:
    for signature in signatures:
        for tensor in getattr(signature, side):
            if tensor.tensorIndex == index:
                tensor.tensorIndex = outer
