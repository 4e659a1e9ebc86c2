"""Flatbuffers written forward, each table before what it refers to.

So a table can also refer to bytes that follow: a new root put before a file changes what the file says, and moves it,
but rewrites nothing of it. The layout is described at https://flatbuffers.dev/internals.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_ALIGNMENT = 64  # bytes, of what follows; more than any value in a model needs
_BLOB_ALIGNMENT = 16  # what the schemas of TensorFlow Lite ask for
_FIELD = 8  # every field of a table has room for the largest
SIZE_PLACE = 8  # where the head's own size stands, as uint32: between the identifier and the first table


@dataclass(frozen=True)
class Scalar:
    """A number inside a table, of a format of `struct`."""

    code: str
    value: float


@dataclass(frozen=True)
class Numbers:
    """A vector of numbers, of a format of at most four bytes."""

    code: str
    values: Sequence[float]


@dataclass(frozen=True)
class Following:
    """What lies at this position of the bytes that follow."""

    position: int


@dataclass(frozen=True)
class Place:
    """The same position as a number, counted from the start of the whole file; uint64."""

    position: int


# A mapping is a table by the schema's numbers of its fields; a string has its terminator, bytes are a vector of ubyte.
Value = Scalar | Numbers | Following | Place | str | bytes | Sequence["Value"] | Mapping[int, "Value"]


def write(root: Mapping[int, Value], identifier: bytes, following: bytes = b"") -> bytes:
    """A flatbuffer with this root table and identifier of four bytes, and what follows it at a multiple of 64 bytes."""
    writer = _Writer(identifier)
    struct.pack_into("<I", writer.data, 0, writer.put(root))
    return writer.before(following)


class _Writer:
    """Bytes so far, and the places of offsets that are known only when all is there."""

    def __init__(self, identifier: bytes) -> None:
        self.data = bytearray(4) + identifier + bytes(4)
        self._following: list[tuple[int, int]] = []
        self._places: list[tuple[int, int]] = []

    def put(self, value: Value) -> int:
        """Append a value that is referred to; where it begins."""
        if isinstance(value, Mapping):
            return self._table(value)
        if isinstance(value, str):
            text = value.encode()
            return self._append(struct.pack("<I", len(text)) + text + b"\0")
        if isinstance(value, bytes):
            return self._append(struct.pack("<I", len(value)) + value, _BLOB_ALIGNMENT, skipped=4)
        if isinstance(value, Numbers):
            count = len(value.values)
            return self._append(struct.pack(f"<I{count}{value.code}", count, *value.values))
        assert not isinstance(value, (Scalar, Following, Place))  # noqa: S101  # which `_fill` puts inside their tables
        return self._list(value)

    def before(self, following: bytes) -> bytes:
        """All of it before other bytes."""
        self._append(b"", _ALIGNMENT)
        struct.pack_into("<I", self.data, SIZE_PLACE, len(self.data))
        for place, position in self._following:
            struct.pack_into("<I", self.data, place, len(self.data) + position - place)
        for place, position in self._places:
            struct.pack_into("<Q", self.data, place, len(self.data) + position)
        return bytes(self.data) + following

    def _append(self, content: bytes, alignment: int = 4, skipped: int = 0) -> int:
        """Where `content` begins; what follows its first `skipped` bytes is aligned."""
        self.data += bytes(-(len(self.data) + skipped) % alignment)
        self.data += content
        return len(self.data) - len(content)

    def _table(self, fields: Mapping[int, Value]) -> int:
        numbers = sorted(fields)
        offsets = [0] * (max(numbers, default=-1) + 1)
        for index, number in enumerate(numbers):
            offsets[number] = _FIELD * (1 + index)
        sizes = 2 * (2 + len(offsets)), _FIELD * (1 + len(numbers))
        vtable = self._append(struct.pack(f"<{2 + len(offsets)}H", *sizes, *offsets))
        table = self._append(bytes(sizes[1]), _FIELD)
        struct.pack_into("<i", self.data, table, table - vtable)
        for number in numbers:
            self._fill(table + offsets[number], fields[number])
        return table

    def _list(self, values: Sequence[Value]) -> int:
        start = self._append(struct.pack("<I", len(values)) + bytes(4 * len(values)))
        for index, value in enumerate(values):
            self._fill(start + 4 * (1 + index), value)
        return start

    def _fill(self, place: int, value: Value) -> None:
        """Put a number there, or the offset of anything else."""
        if isinstance(value, Scalar):
            struct.pack_into(f"<{value.code}", self.data, place, value.value)
        elif isinstance(value, Following):
            self._following.append((place, value.position))
        elif isinstance(value, Place):
            self._places.append((place, value.position))
        else:
            struct.pack_into("<I", self.data, place, self.put(value) - place)
