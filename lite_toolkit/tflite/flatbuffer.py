"""Flatbuffers from files that nobody vouches for, read with struct and numpy.

Every offset and every length is checked against the file before it is used, so a malformed file ends in a `ModelError`
that says where it is wrong. The layout is described at https://flatbuffers.dev/internals.
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lite_toolkit.errors import ModelError

Fields = Mapping[str, int]

_TABLE_CHARGE = 32  # bytes of the allowance; about what a small table takes in a file


class _Source:
    """The bytes, and how many more of them may be read.

    Tables and vectors may be shared, so a small file can spell out an endless tree. Real files share little: twice
    their size, and 64 KiB for the smallest, is more than any of them needs.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._allowance = 2 * len(data) + 2**16

    def spend(self, count: int, where: str) -> None:
        self._allowance -= count
        if self._allowance < 0:
            raise ModelError(f"{where}: the parts of the file overlap, so that reading them all would not end")

    def require(self, start: int, count: int, where: str) -> None:
        size, end = len(self.data), start + count
        if start < 0 or end > size:
            raise ModelError(f"{where}: bytes {start} to {end} lie outside the {size} bytes of this damaged file")

    def integer(self, code: str, position: int, where: str) -> int:
        layout = f"<{code}"
        self.require(position, struct.calcsize(layout), where)
        return int(struct.unpack_from(layout, self.data, position)[0])


@dataclass(frozen=True, slots=True)
class Table:
    """One table of a flatbuffer.

    Attributes:
        where: the path to the table, for error messages.
        fields: the schema's number of every field that is read.
    """

    where: str
    fields: Fields
    _source: _Source
    _position: int

    def has(self, field: str) -> bool:
        """Whether the file holds the field."""
        return self._field(field) is not None

    def field_numbers(self) -> list[int]:
        """The schema's number of every field that the file holds, those that `fields` leaves out included."""
        source = self._source
        vtable = self._position - source.integer("i", self._position, self.where)
        slots = (source.integer("H", vtable, self.where) - 4) // 2
        return [number for number in range(slots) if source.integer("H", vtable + 4 + 2 * number, self.where)]

    def integer(self, field: str, code: str, default: int = 0) -> int:
        """A scalar field of the struct format `code`, such as "i" for int32; `default` where the file leaves it out."""
        position = self._field(field)
        return default if position is None else self._source.integer(code, position, self._path(field))

    def number(self, field: str, default: float = 0.0) -> float:
        """A float32 field."""
        position = self._field(field)
        if position is None:
            return default
        self._source.require(position, 4, self._path(field))
        return float(struct.unpack_from("<f", self._source.data, position)[0])

    def span(self, field: str, width: int) -> tuple[int, int]:
        """(offset in the file, number of elements) of a vector whose elements have `width` bytes; (0, 0) without it."""
        field_position, where = self._field(field), self._path(field)
        if field_position is None:
            return 0, 0
        position = field_position + self._source.integer("I", field_position, where)
        count = self._source.integer("I", position, where)
        self._source.require(position + 4, count * width, where)
        self._source.spend(count * width, where)
        return position + 4, count

    def vector(self, field: str, dtype: str) -> NDArray[np.generic]:
        """A read-only view of a vector of scalars; empty where the file leaves it out."""
        little_endian = np.dtype(dtype).newbyteorder("<")
        start, count = self.span(field, little_endian.itemsize)
        return np.frombuffer(self._source.data, little_endian, count, start)

    def integers(self, field: str) -> tuple[int, ...]:
        """A vector of int32."""
        return tuple(self.vector(field, "i4").tolist())

    def text(self, field: str) -> str:
        """A string field; bytes that are not UTF-8 become U+FFFD."""
        start, count = self.span(field, 1)
        return self._source.data[start : start + count].decode(errors="replace")

    def contents(self, field: str) -> Iterator[bytes]:
        """The bytes of the strings that a vector refers to."""
        start, count = self.span(field, 4)
        for index in range(count):
            where, position = f"{self._path(field)}[{index}]", start + 4 * index
            position += self._source.integer("I", position, where)
            size = self._source.integer("I", position, where)
            self._source.require(position + 4, size, where)
            self._source.spend(size, where)
            yield self._source.data[position + 4 : position + 4 + size]

    def table(self, field: str, fields: Fields) -> "Table | None":
        """The table that a field refers to, or None."""
        position = self._field(field)
        return None if position is None else self._follow(position, self._path(field), fields)

    def tables(self, field: str, fields: Fields) -> Iterator["Table"]:
        """The tables that a vector refers to."""
        start, count = self.span(field, 4)
        for index in range(count):
            yield self._follow(start + 4 * index, f"{self._path(field)}[{index}]", fields)

    def _path(self, field: str) -> str:
        return f"{self.where}.{field}"

    def _follow(self, position: int, where: str, fields: Fields) -> "Table":
        return _table(self._source, position + self._source.integer("I", position, where), where, fields)

    def _field(self, field: str) -> int | None:
        """Where the field's value lies; None where the file leaves it out."""
        source, where = self._source, self._path(field)
        vtable = self._position - source.integer("i", self._position, where)
        slot = 4 + 2 * self.fields[field]
        if slot + 2 > source.integer("H", vtable, where):
            return None
        offset = source.integer("H", vtable + slot, where)
        return self._position + offset if offset else None


def root(data: bytes, fields: Fields, where: str) -> Table:
    """The outermost table of a flatbuffer; `where` begins every error message about it.

    Raises:
        ModelError: the first offset does not lead to a table.
    """
    source = _Source(data)
    return _table(source, source.integer("I", 0, where), where, fields)


def _table(source: _Source, position: int, where: str, fields: Fields) -> Table:
    source.spend(_TABLE_CHARGE, where)
    vtable = position - source.integer("i", position, where)
    vtable_bytes, table_bytes = source.integer("H", vtable, where), source.integer("H", vtable + 2, where)
    if min(vtable_bytes, table_bytes) < 4:
        raise ModelError(f"{where}: there is no table at byte {position}")
    source.require(vtable, vtable_bytes, where)
    source.require(position, table_bytes, where)
    return Table(where, fields, source, position)
