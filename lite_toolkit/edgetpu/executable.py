"""What a compiled model holds: the executables inside its custom operators, read without trust.

The operator's options are a FlexBuffer, a map whose key "4" holds a package; packages and executables are FlatBuffers.
Source of names and numbers: executable/executable.fbs of google-coral/libedgetpu.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from lite_toolkit.edgetpu.rules import CUSTOM_OPERATOR
from lite_toolkit.errors import ModelError
from lite_toolkit.tflite.flatbuffer import Table, root
from lite_toolkit.tflite.graph import Graph

Kind = Literal["STAND_ALONE", "PARAMETER_CACHING", "EXECUTION_ONLY"]

_KINDS: tuple[Kind, ...] = ("STAND_ALONE", "PARAMETER_CACHING", "EXECUTION_ONLY")
_IDENTIFIER = b"DWN1"
_PACKAGE = {"min_runtime_version": 0, "serialized_multi_executable": 1, "compiler_version": 4}
_MULTI_EXECUTABLE = {"serialized_executables": 0}
_EXECUTABLE = {
    "scratch_size_bytes": 4,
    "instruction_bitstreams": 5,
    "parameters": 6,
    "used_narrow_memory_bytes_per_tile": 12,
    "type": 13,
}
_INSTRUCTIONS = {"bitstream": 0}
_KEY = b"4"


@dataclass(frozen=True)
class Executable:
    """One program for the device.

    Attributes:
        kind: one that loads parameters to the chip once, one that finds them there, or one that brings its own.
        parameters_bytes: that are sent whenever it runs.
        instructions_bytes: likewise.
        scratch_bytes: of the host's memory.
        tile_bytes: of the memory for activations, on each of the chip's tiles.
    """

    kind: Kind
    parameters_bytes: int
    instructions_bytes: int
    scratch_bytes: int
    tile_bytes: int


@dataclass(frozen=True)
class Package:
    """What one custom operator holds."""

    minimum_runtime: int
    compiler: str
    executables: tuple[Executable, ...]

    @property
    def cached_bytes(self) -> int:
        """Parameters that stay on the chip."""
        return sum(part.parameters_bytes for part in self.executables if part.kind == "PARAMETER_CACHING")

    @property
    def streamed_bytes(self) -> int:
        """Parameters that are sent for every inference."""
        return sum(part.parameters_bytes for part in self.executables if part.kind != "PARAMETER_CACHING")


def packages(graph: Graph) -> tuple[Package, ...]:
    """The packages of a compiled model, one for each custom operator of the Edge TPU; none in any other model.

    Raises:
        ModelError: a package is malformed.
    """
    return tuple(
        _package(_value(bytes(operator.custom_options), where), where)
        for subgraph in graph.subgraphs
        for operator in subgraph.operators
        if operator.name == CUSTOM_OPERATOR
        for where in (f"operator {operator.index} {CUSTOM_OPERATOR}",)
    )


def _package(content: bytes, where: str) -> Package:
    if content[4:8] != _IDENTIFIER:
        raise ModelError(f"{where}: its package has {content[4:8]!r} where {_IDENTIFIER!r} belongs")
    package = root(content, _PACKAGE, f"{where}: package")
    start, size = package.span("serialized_multi_executable", 1)
    programs = root(content[start : start + size], _MULTI_EXECUTABLE, f"{where}: executables")
    return Package(
        minimum_runtime=package.integer("min_runtime_version", "i"),
        compiler=package.text("compiler_version"),
        executables=tuple(
            _executable(root(program, _EXECUTABLE, f"{where}: executable {number}"))
            for number, program in enumerate(programs.contents("serialized_executables"))
        ),
    )


def _executable(table: Table) -> Executable:
    kind = table.integer("type", "h")
    if not 0 <= kind < len(_KINDS):
        raise ModelError(f"{table.where}.type {kind}: must be 0 to {len(_KINDS) - 1}")
    bitstreams = table.tables("instruction_bitstreams", _INSTRUCTIONS)
    return Executable(
        kind=_KINDS[kind],
        parameters_bytes=table.span("parameters", 1)[1],
        instructions_bytes=sum(bitstream.span("bitstream", 1)[1] for bitstream in bitstreams),
        scratch_bytes=table.integer("scratch_size_bytes", "i"),
        tile_bytes=table.integer("used_narrow_memory_bytes_per_tile", "i"),
    )


# FlexBuffers: https://flatbuffers.dev/internals. A value's offset counts backwards from where it stands.

_MAP, _STRING, _BLOB = 9, 5, 25
_MOST_KEYS = 64  # real ones have 3 to 5


def _value(options: bytes, where: str) -> bytes:
    """The string or blob under the key of the package."""
    width = _integer(options, len(options) - 1, 1, where)
    kind = _integer(options, len(options) - 2, 1, where)
    if kind >> 2 != _MAP:
        raise ModelError(f"{where}: its options are no map")
    start = _follow(options, len(options) - 2 - width, width, where)
    width = 1 << (kind & 3)
    count = _integer(options, start - width, width, where)
    if count > _MOST_KEYS:
        raise ModelError(f"{where}: its options have {count} keys, at most {_MOST_KEYS} are allowed")
    for number, key in enumerate(_keys(options, start, width, count, where)):
        if key == _KEY:
            kind = _integer(options, start + count * width + number, 1, where)
            value = _follow(options, start + number * width, width, where)
            if kind >> 2 in (_STRING, _BLOB):
                size = _integer(options, value - (1 << (kind & 3)), 1 << (kind & 3), where)
                return _bytes(options, value, size, where)
    raise ModelError(f"{where}: its options hold no package under the key {_KEY.decode()!r}")


def _keys(options: bytes, start: int, width: int, count: int, where: str) -> Iterator[bytes]:
    keys = _follow(options, start - 3 * width, width, where)
    width = _integer(options, start - 2 * width, width, where)
    for number in range(count):
        key = _follow(options, keys + number * width, width, where)
        yield options[key : key + len(_KEY) + 1].partition(b"\0")[0]


def _follow(options: bytes, position: int, width: int, where: str) -> int:
    return position - _integer(options, position, width, where)


def _integer(options: bytes, position: int, width: int, where: str) -> int:
    if width not in (1, 2, 4, 8):
        raise ModelError(f"{where}: its options have a number of {width} bytes")
    return int.from_bytes(_bytes(options, position, width, where), "little")


def _bytes(options: bytes, position: int, size: int, where: str) -> bytes:
    if position < 0 or position + size > len(options):
        raise ModelError(f"{where}: byte {position} of its options is not in their {len(options)} bytes")
    return options[position : position + size]
