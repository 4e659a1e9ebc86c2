"""What a `.tflite` file holds: types, sizes, multiply-adds, and the float operators that quantization has left."""

import dataclasses
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lite_toolkit.documents import document, sha256
from lite_toolkit.errors import ModelError
from lite_toolkit.tflite import metadata
from lite_toolkit.tflite.graph import Graph, Operator, Subgraph, Tensor, read_graph
from lite_toolkit.tflite.metadata import Metadata, archive
from lite_toolkit.tflite.schema import OPERATORS

# Custom operators and metadata by the names that tensorflow/tflite-micro and the makers of accelerators register.
_MICRO = "LiteRT for Microcontrollers (TFLite Micro)"
_RUNTIMES = {
    "Signal[A-Z].*|CIRCULAR_BUFFER|TFLM_DECODE|COMPRESSION_METADATA": f"{_MICRO} alone",
    "ethos-u": f"{_MICRO} or a delegate, with Arm's Ethos-U",
    "NeutronGraph": f"{_MICRO} or a delegate, with NXP's Neutron",
    "XC_.*": f"{_MICRO} alone, on XMOS's xcore",
}
FLOAT_TYPES = frozenset(("float16", "bfloat16", "float32", "float64"))

Role = Literal["weights", "bias", "other"]


@dataclass(frozen=True)
class Endpoint:
    """An input or output of the model; `scale` and `zero_point` are None where it is not quantized."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float | None = None
    zero_point: int | None = None

    def to_json(self) -> dict[str, Any]:
        """The fields as a manifest has them: without what an endpoint that is not quantized has not."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value is not None}


@dataclass(frozen=True)
class OperatorCount:
    """How often an operator occurs, and in which versions."""

    name: str
    count: int
    versions: tuple[int, ...]


@dataclass(frozen=True)
class WeightCount:
    """Number of weight tensors with a scale per channel, with a single scale, and without one."""

    per_channel: int
    per_tensor: int
    unquantized: int


@dataclass(frozen=True)
class Sizes:
    """The parts of the file in bytes, which add up to its size.

    Attributes:
        weights_bytes: by type.
        biases_bytes: of convolutions and dense layers, and any other quantized int32 or int64 constant.
        other_buffers_bytes: shapes, axes and the like.
        metadata_bytes: buffers that `metadata` names.
        associated_files_bytes: the zip archive behind the flatbuffer.
        structure_bytes: all the rest: tensors, operators and what custom ones carry, scales, padding.
    """

    weights_bytes: dict[str, int]
    biases_bytes: int
    other_buffers_bytes: int
    metadata_bytes: int
    associated_files_bytes: int
    structure_bytes: int


@dataclass(frozen=True)
class Inspection:
    """The findings of `inspect`.

    Attributes:
        file: the file's name without its folder.
        float_operators: number of operators by name that read or write a float tensor.
        boundary_operators: how many of these are a QUANTIZE of the model's input or a DEQUANTIZE to its output.
        float_tensors: number of tensors of a floating-point type.
        parameters: elements of all weights and biases; a shared buffer counts once.
        madds: multiply-adds of one inference at the stored shapes, see `operator_madds`.
        uncounted: number of operators by name that multiply too, but are left out of `madds`: recurrent layers,
            products of activations, and custom operators, in which a compiled model keeps its weights.
        needs: the operators and metadata for which LiteRT on its own is not enough, and what runs them.
        metadata, associated_files, signatures: names.
        model_metadata: what the TFLite Model Metadata says.
        model_metadata_error: what is wrong with it; None where nothing is.
    """

    file: str
    size_bytes: int
    sha256: str
    description: str
    inputs: tuple[Endpoint, ...]
    outputs: tuple[Endpoint, ...]
    operators: tuple[OperatorCount, ...]
    float_operators: dict[str, int]
    boundary_operators: int
    float_tensors: int
    weights: WeightCount
    parameters: int
    madds: int
    uncounted: dict[str, int]
    sizes: Sizes
    needs: tuple[str, ...]
    metadata: tuple[str, ...]
    model_metadata: Metadata | None
    model_metadata_error: str | None
    associated_files: tuple[str, ...]
    signatures: tuple[str, ...]

    @property
    def is_fully_integer(self) -> bool:
        """Whether no operator reads or writes a float."""
        return not self.float_operators

    @property
    def is_integer_inside(self) -> bool:
        """Whether floats occur at most in the conversion of the model's inputs and outputs."""
        return sum(self.float_operators.values()) == self.boundary_operators

    def to_json(self) -> dict[str, object]:
        """The document that `lite-toolkit inspect --json` prints."""
        found = {"is_fully_integer": self.is_fully_integer, "is_integer_inside": self.is_integer_inside}
        return document("inspect", dataclasses.asdict(self) | found)


def inspect(path: Path | str) -> Inspection:
    """Look into a `.tflite` file without running it.

    Raises:
        ModelError: the file cannot be read, is not a `.tflite` file, or is malformed.
    """
    graph = read_graph(path)
    main = graph.subgraphs[0]
    constants = _constants(graph)
    parameters = [tensor for role, tensor in constants.values() if role != "other"]
    archive_bytes = len(graph.content) - archive.model_bytes(graph.content)
    told, problem = metadata.hint(graph)
    return Inspection(
        file=Path(path).name,
        size_bytes=len(graph.content),
        sha256=sha256(graph.content),
        description=graph.description,
        inputs=tuple(_endpoint(main.tensors[number]) for number in main.inputs),
        outputs=tuple(_endpoint(main.tensors[number]) for number in main.outputs),
        operators=_operator_counts(graph),
        float_operators=_counted(float_operators(graph)),
        boundary_operators=len(boundary_operators(graph)),
        float_tensors=sum(tensor.dtype in FLOAT_TYPES for subgraph in graph.subgraphs for tensor in subgraph.tensors),
        weights=_weight_count(tensor for role, tensor in constants.values() if role == "weights"),
        parameters=sum(tensor.elements for tensor in parameters),
        madds=sum(operator_madds(subgraph, operator) for subgraph, operator in _operators(graph)),
        uncounted=dict(
            sorted(Counter(operator.name for _, operator in _operators(graph) if _is_uncounted(operator)).items())
        ),
        sizes=_sizes(graph, constants, archive_bytes),
        needs=tuple(_needs(graph)),
        metadata=tuple(entry.name for entry in graph.metadata),
        model_metadata=told,
        model_metadata_error=problem,
        associated_files=archive.names(graph.content),
        signatures=graph.signatures,
    )


def _needs(graph: Graph) -> Iterator[str]:
    """Which names tell of another runtime, and of which."""
    names = [operator.name for _, operator in _operators(graph)] + [entry.name for entry in graph.metadata]
    for pattern, runtime in _RUNTIMES.items():
        if found := dict.fromkeys(name for name in names if re.fullmatch(pattern, name)):
            yield f"{runtime}: {', '.join(found)}"


def float_operators(graph: Graph) -> list[Operator]:
    """Every operator that reads or writes a float tensor, be it an activation or a constant."""
    return [
        operator
        for subgraph, operator in _operators(graph)
        if any(tensor.dtype in FLOAT_TYPES for tensor in _operands(subgraph, operator))
    ]


def boundary_operators(graph: Graph) -> list[Operator]:
    """The float operators that only convert: QUANTIZE of a model's input, DEQUANTIZE to a model's output."""
    main = graph.subgraphs[0]
    floats = {tensor.index for tensor in main.tensors if tensor.dtype in FLOAT_TYPES}
    return [
        operator
        for operator in main.operators
        if (operator.name == "QUANTIZE" and set(operator.inputs) & floats & set(main.inputs))
        or (operator.name == "DEQUANTIZE" and set(operator.outputs) & floats & set(main.outputs))
    ]


def operator_madds(subgraph: Subgraph, operator: Operator) -> int:
    """Multiply-adds of a convolution or a dense layer at the stored batch; 0 for every other operator.

    Raises:
        ModelError: the operator lacks a tensor.
    """
    if operator.name not in _MADDS_PER_ELEMENT:
        return 0
    weights = _operand(subgraph, operator, operator.inputs, 1)
    transposed = operator.name == "TRANSPOSE_CONV"
    # A transposed convolution spreads each input value over the kernel; the others gather each output from it.
    counted = _operand(subgraph, operator, *((operator.inputs, 2) if transposed else (operator.outputs, 0)))
    return counted.elements * math.prod(weights.shape[_MADDS_PER_ELEMENT[operator.name]])


def _counted(operators: Iterable[Operator]) -> dict[str, int]:
    return dict(sorted(Counter(operator.name for operator in operators).items()))


def _is_uncounted(operator: Operator) -> bool:
    return operator.name in _UNCOUNTED or operator.name not in OPERATORS


def _operand(subgraph: Subgraph, operator: Operator, numbers: tuple[int, ...], position: int) -> Tensor:
    if position >= len(numbers) or numbers[position] < 0:
        raise ModelError(f"operator {operator.index} {operator.name}: tensor {position} of {numbers} is missing")
    return subgraph.tensors[numbers[position]]


def _operators(graph: Graph) -> Iterator[tuple[Subgraph, Operator]]:
    return ((subgraph, operator) for subgraph in graph.subgraphs for operator in subgraph.operators)


def _operands(subgraph: Subgraph, operator: Operator) -> Iterator[Tensor]:
    return (subgraph.tensors[number] for number in (*operator.inputs, *operator.outputs) if number >= 0)


def _endpoint(tensor: Tensor) -> Endpoint:
    quantization = tensor.quantization
    scale = float(quantization.scales[0]) if quantization else None
    zero_point = int(quantization.zero_points[0]) if quantization else None
    return Endpoint(tensor.name, tensor.shape_signature, tensor.dtype, scale, zero_point)


def _operator_counts(graph: Graph) -> tuple[OperatorCount, ...]:
    """The most frequent first."""
    counts = Counter(operator.name for _, operator in _operators(graph))
    versions: dict[str, set[int]] = {name: set() for name in counts}
    for _, operator in _operators(graph):
        versions[operator.name].add(operator.version)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(OperatorCount(name, count, tuple(sorted(versions[name]))) for name, count in ordered)


def _weight_count(weights: Iterable[Tensor]) -> WeightCount:
    scales = [tensor.quantization.scales.size if tensor.quantization else 0 for tensor in weights]
    return WeightCount(
        per_channel=sum(size > 1 for size in scales),
        per_tensor=scales.count(1),
        unquantized=scales.count(0),
    )


def _constants(graph: Graph) -> dict[int, tuple[Role, Tensor]]:
    """The role of every buffer that an operator reads, and a tensor that it belongs to."""
    constants: dict[int, tuple[Role, Tensor]] = {}
    for subgraph, operator in _operators(graph):
        for position, number in enumerate(operator.inputs):
            tensor = subgraph.tensors[number] if number >= 0 else None
            if tensor is not None and tensor.is_constant:
                constants.setdefault(tensor.buffer, (_role(operator, position, tensor), tensor))
    return constants


def _role(operator: Operator, position: int, tensor: Tensor) -> Role:
    if position == _BIAS_POSITION.get(operator.name) or (tensor.dtype in ("int32", "int64") and tensor.quantization):
        return "bias"
    return "other" if tensor.dtype in ("int32", "int64", "bool", "string") else "weights"


def _sizes(graph: Graph, constants: dict[int, tuple[Role, Tensor]], archive_bytes: int) -> Sizes:
    weights: Counter[str] = Counter()
    parts: Counter[str] = Counter()
    named = {entry.buffer for entry in graph.metadata}
    # Two buffers may share their bytes, which count once.
    distinct = {buffer.offset: index for index, buffer in enumerate(graph.buffers) if buffer.size}
    for index in distinct.values():
        size = graph.buffers[index].size
        if index not in constants:
            parts["metadata" if index in named else "other"] += size
            continue
        role, tensor = constants[index]
        if role == "weights":
            weights[tensor.dtype] += size
        else:
            parts[role] += size
    structure = len(graph.content) - archive_bytes - weights.total() - parts.total()
    if structure < 0:
        raise ModelError(f"the buffers overlap: their sizes exceed the file's by {-structure} bytes")
    return Sizes(
        weights_bytes=dict(sorted(weights.items())),
        biases_bytes=parts["bias"],
        other_buffers_bytes=parts["other"],
        metadata_bytes=parts["metadata"],
        associated_files_bytes=archive_bytes,
        structure_bytes=structure,
    )


# The dimensions of the weights that an output value is summed over; for TRANSPOSE_CONV, that an input value goes to.
_MADDS_PER_ELEMENT = {
    "CONV_2D": slice(1, 4),  # (outputs, height, width, inputs)
    "DEPTHWISE_CONV_2D": slice(1, 3),  # (1, height, width, outputs)
    "FULLY_CONNECTED": slice(1, 2),  # (outputs, inputs)
    "TRANSPOSE_CONV": slice(0, 3),  # (outputs, height, width, inputs)
}
_UNCOUNTED = frozenset(
    (
        *("LSTM", "UNIDIRECTIONAL_SEQUENCE_LSTM", "BIDIRECTIONAL_SEQUENCE_LSTM", "RNN", "UNIDIRECTIONAL_SEQUENCE_RNN"),
        *("BIDIRECTIONAL_SEQUENCE_RNN", "SVDF", "BATCH_MATMUL", "CONV_3D", "CONV_3D_TRANSPOSE"),
        *("STABLEHLO_CONVOLUTION", "STABLEHLO_DOT_GENERAL"),
    )
)
_BIAS_POSITION = {"CONV_2D": 2, "DEPTHWISE_CONV_2D": 2, "FULLY_CONNECTED": 2, "TRANSPOSE_CONV": 3}
