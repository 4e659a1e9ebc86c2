"""A `.tflite` file as values: tensors, operators, buffers."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lite_toolkit.errors import ModelError
from lite_toolkit.tflite.flatbuffer import Table, root
from lite_toolkit.tflite.schema import (
    ENUMERATIONS,
    FIELDS,
    NOT_IN_NUMPY,
    OPERATORS,
    OPTION_DEFAULTS,
    OPTION_TYPES,
    OPTIONS,
    TENSOR_TYPES,
)

OptionValue = int | float | str | tuple[int, ...]

IDENTIFIER = b"TFL3"
MAXIMUM_RANK = 32  # numpy's limit before version 2
MAXIMUM_ELEMENTS = 2**63 - 1  # of any computer's memory


@dataclass(frozen=True, eq=False)
class Quantization:
    """real = scale * (stored - zero point).

    Attributes:
        scales: float32, one element, or one for each index of `quantized_dimension`.
        zero_points: int64, as many as scales.
        quantized_dimension: the axis that the scales run along.
    """

    scales: NDArray[np.float32]
    zero_points: NDArray[np.int64]
    quantized_dimension: int

    @property
    def per_channel(self) -> bool:
        """Whether there is more than one scale."""
        return self.scales.size > 1


@dataclass(frozen=True, eq=False, slots=True)
class Tensor:
    """One tensor of a subgraph.

    Attributes:
        index: its number in the subgraph.
        name: as stored, possibly empty.
        shape: dimensions; an unknown one is stored as 1.
        dtype: numpy's name where there is one, such as "int8"; else the schema's in lower case, such as "int4".
        shape_signature: `shape` with -1 for the unknown dimensions.
        quantization: None for a tensor without scales.
        is_variable: whether it keeps its value between inferences.
        buffer: number of its buffer; 0 is the empty one.
        content: the stored bytes of a constant, a view of the file; empty for every other tensor.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    shape_signature: tuple[int, ...]
    quantization: Quantization | None
    is_variable: bool
    buffer: int
    content: memoryview = field(repr=False)

    @property
    def is_constant(self) -> bool:
        """Whether the file holds its values."""
        return len(self.content) > 0

    @property
    def elements(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    def data(self) -> NDArray[np.generic]:
        """The values of a constant, of `shape`: a read-only view of the file; int4 is unpacked to int8.

        Raises:
            ModelError: the tensor is no constant, its type has no numpy equal, or its buffer is of another size.
        """
        if self.dtype in NOT_IN_NUMPY:
            raise ModelError(f"tensor {self.index} {self.name!r}: values of type {self.dtype} cannot be read")
        packed = self.dtype == "int4"
        dtype = np.dtype("uint8" if packed else self.dtype).newbyteorder("<")
        needed = (self.elements + 1) // 2 if packed else self.elements * dtype.itemsize
        if not self.is_constant or len(self.content) != needed:
            raise ModelError(
                f"tensor {self.index} {self.name!r}: a constant {self.dtype} of shape {self.shape} has {needed} bytes, "
                f"the buffer has {len(self.content)}"
            )
        values = np.frombuffer(self.content, dtype)
        return (_unpacked(values)[: self.elements] if packed else values).reshape(self.shape)


@dataclass(frozen=True)
class OperatorCode:
    """An operator that the file uses: "CONV_2D", or a custom one's own name, and its version."""

    name: str
    version: int


@dataclass(frozen=True, slots=True)
class Operator:
    """One step of a subgraph.

    Attributes:
        index: its number in the subgraph, which is the order of execution.
        name, version: of its `OperatorCode`.
        inputs, outputs: numbers of tensors; -1 stands for an input that is left out.
        options: the fields that `OPTIONS` names for the operator; empty for any other.
        custom_options: what a custom operator carries, a view of the file; empty for any other.
    """

    index: int
    name: str
    version: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, OptionValue]
    custom_options: memoryview = field(default=memoryview(b""), repr=False)


@dataclass(frozen=True)
class Subgraph:
    """A function of the model; `inputs` and `outputs` are numbers of tensors."""

    name: str
    tensors: tuple[Tensor, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    operators: tuple[Operator, ...]

    @cached_property
    def last_uses(self) -> Mapping[int, int]:
        """Number of a tensor -> index of the last operator that reads it."""
        return {index: operator.index for operator in self.operators for index in operator.inputs}

    def readers(self, tensor: int) -> "tuple[Operator, ...]":
        """The operators that read a tensor, given by its number."""
        return tuple(operator for operator in self.operators if tensor in operator.inputs)


@dataclass(frozen=True)
class Buffer:
    """Where in the file some bytes lie."""

    offset: int
    size: int


@dataclass(frozen=True)
class Metadata:
    """A named buffer that the interpreter does not read."""

    name: str
    buffer: int


@dataclass(frozen=True)
class Graph:
    """A whole file: `subgraphs[0]` is the model's main function, `content` the bytes of the file."""

    version: int
    description: str
    operator_codes: tuple[OperatorCode, ...]
    subgraphs: tuple[Subgraph, ...]
    buffers: tuple[Buffer, ...]
    metadata: tuple[Metadata, ...]
    signatures: tuple[str, ...]
    content: bytes = field(repr=False)

    def buffer_content(self, index: int) -> memoryview:
        """The bytes of a buffer, a view of the file."""
        buffer = self.buffers[index]
        return memoryview(self.content)[buffer.offset : buffer.offset + buffer.size]


def read_graph(source: Path | str | bytes) -> Graph:
    """The graph of a `.tflite` file, given by its path or its bytes.

    Raises:
        ModelError: the file cannot be read, is not a `.tflite` file, or is malformed.
    """
    content, where = (source, "bytes") if isinstance(source, bytes) else (_read(Path(source)), str(source))
    if content[4:8] != IDENTIFIER:
        found = f"it has {content[4:8]!r} where {IDENTIFIER!r} belongs" if content else "it is empty"
        raise ModelError(f"{where}: not a .tflite file, {found}")
    model = root(content, FIELDS["Model"], f"{where}: model")
    codes = tuple(_operator_code(table) for table in model.tables("operator_codes", FIELDS["OperatorCode"]))
    buffers = tuple(_buffer(table, content) for table in model.tables("buffers", FIELDS["Buffer"]))
    reader = _SubgraphReader(content, codes, buffers)
    subgraphs = tuple(reader.subgraph(table) for table in model.tables("subgraphs", FIELDS["SubGraph"]))
    if not subgraphs:
        raise ModelError(f"{where}: the model has no subgraph")
    return Graph(
        version=model.integer("version", "I"),
        description=model.text("description"),
        operator_codes=codes,
        subgraphs=subgraphs,
        buffers=buffers,
        metadata=tuple(_metadata(table, len(buffers)) for table in model.tables("metadata", FIELDS["Metadata"])),
        signatures=tuple(
            table.text("signature_key") for table in model.tables("signature_defs", FIELDS["SignatureDef"])
        ),
        content=content,
    )


@dataclass(frozen=True)
class _SubgraphReader:
    """What the tables of a subgraph refer to."""

    content: bytes
    codes: tuple[OperatorCode, ...]
    buffers: tuple[Buffer, ...]

    def subgraph(self, table: Table) -> Subgraph:
        tensors = tuple(
            self.tensor(index, member) for index, member in enumerate(table.tables("tensors", FIELDS["Tensor"]))
        )
        return Subgraph(
            name=table.text("name"),
            tensors=tensors,
            inputs=_indices(table, "inputs", 0, len(tensors)),
            outputs=_indices(table, "outputs", 0, len(tensors)),
            operators=tuple(
                self.operator(index, member, len(tensors))
                for index, member in enumerate(table.tables("operators", FIELDS["Operator"]))
            ),
        )

    def tensor(self, index: int, table: Table) -> Tensor:
        number = _checked(table, "buffer", table.integer("buffer", "I"), len(self.buffers))
        buffer = self.buffers[number]
        shape = _shape(table)
        return Tensor(
            index=index,
            name=table.text("name"),
            shape=shape,
            dtype=TENSOR_TYPES[_checked(table, "type", table.integer("type", "b"), len(TENSOR_TYPES))],
            shape_signature=table.integers("shape_signature") or shape,
            quantization=_quantization(table, shape),
            is_variable=bool(table.integer("is_variable", "B")),
            buffer=number,
            content=memoryview(self.content)[buffer.offset : buffer.offset + buffer.size],
        )

    def operator(self, index: int, table: Table, tensors: int) -> Operator:
        code = self.codes[_checked(table, "opcode_index", table.integer("opcode_index", "I"), len(self.codes))]
        start, size = table.span("custom_options", 1)
        return Operator(
            index=index,
            name=code.name,
            version=code.version,
            inputs=_indices(table, "inputs", -1, tensors),
            outputs=_indices(table, "outputs", 0, tensors),
            options=_options(table, code.name),
            custom_options=memoryview(self.content)[start : start + size],
        )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}") from error


def _checked(table: Table, name: str, value: int, limit: int) -> int:
    if not 0 <= value < limit:
        raise ModelError(f"{table.where}.{name} {value}: must be at least 0 and less than {limit}")
    return value


def _indices(table: Table, name: str, lowest: int, tensors: int) -> tuple[int, ...]:
    numbers = table.integers(name)
    for number in numbers:
        if not lowest <= number < tensors:
            raise ModelError(f"{table.where}.{name} {number}: must be {lowest} to {tensors - 1}, a tensor's number")
    return numbers


def _shape(table: Table) -> tuple[int, ...]:
    shape = table.integers("shape")
    if len(shape) > MAXIMUM_RANK:
        raise ModelError(f"{table.where}.shape has {len(shape)} dimensions: at most {MAXIMUM_RANK} are allowed")
    if any(dimension < 0 for dimension in shape):
        raise ModelError(f"{table.where}.shape {shape}: dimensions must be at least 0")
    if math.prod(shape) > MAXIMUM_ELEMENTS:
        raise ModelError(f"{table.where}.shape {shape}: more than {MAXIMUM_ELEMENTS} values")
    return shape


def _quantization(tensor: Table, shape: tuple[int, ...]) -> Quantization | None:
    table = tensor.table("quantization", FIELDS["QuantizationParameters"])
    if table is None:
        return None
    scales = table.vector("scale", "f4").astype(np.float32, copy=False)
    if not scales.size:
        return None
    zero_points = table.vector("zero_point", "i8").astype(np.int64, copy=False)
    dimension = table.integer("quantized_dimension", "i")
    if zero_points.size != scales.size:
        raise ModelError(f"{table.where}: {scales.size} scales but {zero_points.size} zero points")
    if not (np.isfinite(scales) & (scales >= 0)).all():
        raise ModelError(f"{table.where}.scale: scales must be finite and at least 0")
    if scales.size > 1 and (not 0 <= dimension < len(shape) or shape[dimension] != scales.size):
        raise ModelError(f"{table.where}: {scales.size} scales do not fit dimension {dimension} of shape {shape}")
    return Quantization(scales, zero_points, dimension)


def _operator_code(table: Table) -> OperatorCode:
    # Codes above 127 do not fit the deprecated int8 field; older files have nothing in the new one.
    code = max(table.integer("deprecated_builtin_code", "b"), table.integer("builtin_code", "i"))
    name = OPERATORS[_checked(table, "builtin_code", code, len(OPERATORS))]
    return OperatorCode(table.text("custom_code") if name == "CUSTOM" else name, table.integer("version", "i", 1))


def _buffer(table: Table, content: bytes) -> Buffer:
    start, size = table.span("data", 1)
    offset = table.integer("offset", "Q")
    # Files above 2 GB keep their buffers behind the flatbuffer; offsets 0 and 1 mean that this one does not.
    if size or offset <= 1:
        return Buffer(start, size)
    size = table.integer("size", "Q")
    if offset + size > len(content):
        raise ModelError(f"{table.where}: bytes {offset} to {offset + size} are not in a file of {len(content)}")
    return Buffer(offset, size)


def _metadata(table: Table, buffers: int) -> Metadata:
    return Metadata(table.text("name"), _checked(table, "buffer", table.integer("buffer", "I"), buffers))


def _options(operator: Table, name: str) -> Mapping[str, OptionValue]:
    if name not in OPTIONS:
        return {}
    expected, fields = OPTIONS[name]
    table = operator.table("builtin_options", fields)
    if table is None:
        return {}
    kind = operator.integer("builtin_options_type", "B")
    if kind != expected:
        raise ModelError(f"{operator.where}.builtin_options_type {kind}: must be {expected} for {name}")
    return {option: _option(table, option) for option in fields}


def _option(table: Table, option: str) -> OptionValue:
    if option == "beta":
        return table.number(option)
    if option == "new_shape":
        return table.integers(option)
    code = OPTION_TYPES.get(option, "i")
    value = table.integer(option, code, OPTION_DEFAULTS.get(option, 0))
    if option in ENUMERATIONS:
        names = ENUMERATIONS[option]
        return names[_checked(table, option, value, len(names))]
    return bool(value) if code == "?" else value


def _unpacked(pairs: NDArray[np.generic]) -> NDArray[np.int8]:
    """Two int4 values from each byte, the low half first."""
    high = pairs.view(np.int8)
    # An arithmetic shift brings the sign along.
    return np.stack([high << 4, high], axis=-1).reshape(-1) >> 4
