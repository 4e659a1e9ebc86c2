"""The metadata entries of a model: named buffers, added and removed without touching anything else of the file.

A new root before the old file lists the old tables and the new ones; the rest stays as it is, moved by a multiple of 64
bytes.
"""

import struct
from collections.abc import Iterator, Sequence

from lite_toolkit.errors import ModelError
from lite_toolkit.flatbuffer import Table, root
from lite_toolkit.flatbuffer_writer import SIZE_PLACE, Following, Place, Scalar, Value, write
from lite_toolkit.graph import IDENTIFIER, Graph, read_graph
from lite_toolkit.schema import FIELDS

_MODEL = FIELDS["Model"]  # all of the table's fields, so that none is lost
_ENTRY, _BUFFER = FIELDS["Metadata"], FIELDS["Buffer"]


def added(graph: Graph, entries: Sequence[tuple[str, bytes]]) -> bytes:
    """The model with more entries of metadata, each a name and its content.

    Args:
        graph: of a file without associated files, whose archive would be moved.
        entries: names that the model does not have.
    """
    if not entries:
        return graph.content
    old = root(graph.content, _MODEL, "model")
    new: dict[int, Value] = {_MODEL["version"]: Scalar("I", old.integer("version", "I"))}
    for name, number in _MODEL.items():
        start = old.span(name, 1)[0] if name != "version" else 0
        if start:
            new[number] = Following(start - 4)
    listed: list[Value] = [
        {_ENTRY["name"]: name, _ENTRY["buffer"]: Scalar("I", len(graph.buffers) + index)}
        for index, (name, _) in enumerate(entries)
    ]
    new[_MODEL["metadata"]] = [*_members(graph.content, old, "metadata"), *listed]
    new[_MODEL["buffers"]] = [*_buffers(graph, old), *({_BUFFER["data"]: content} for _, content in entries)]
    return write(new, IDENTIFIER, graph.content)


def removed(graph: Graph, name: str) -> bytes:
    """The model without an entry: as it was where `added` put it there, otherwise with zeros in the entry's place."""
    index = next((index for index, entry in enumerate(graph.metadata) if entry.name == name), None)
    if index is None:
        return graph.content
    before = _before(graph, name, index)
    return before if before is not None else _without(graph, index)


def _before(graph: Graph, name: str, index: int) -> bytes | None:
    """The file that `added` has put a root before; None where that was not so."""
    size = int.from_bytes(graph.content[SIZE_PLACE : SIZE_PLACE + 4], "little")
    inside = graph.content[size:]
    if not size or inside[4:8] != IDENTIFIER:
        return None
    try:
        again = added(read_graph(inside), [(name, bytes(graph.buffer_content(graph.metadata[index].buffer)))])
    except ModelError:
        return None
    return inside if again == graph.content else None


def _without(graph: Graph, index: int) -> bytes:
    content, buffer = bytearray(graph.content), graph.buffers[graph.metadata[index].buffer]
    start, count = root(graph.content, _MODEL, "model").span("metadata", 4)
    for place in range(start + 4 * index, start + 4 * (count - 1), 4):
        # Each offset counts from its own place, which is now four bytes earlier.
        struct.pack_into("<I", content, place, struct.unpack_from("<I", content, place + 4)[0] + 4)
    struct.pack_into("<I", content, start - 4, count - 1)
    shared = sum(other.offset == buffer.offset for other in graph.buffers) > 1
    if buffer.size and not shared:
        content[buffer.offset : buffer.offset + buffer.size] = bytes(buffer.size)
    return bytes(content)


def _buffers(graph: Graph, model: Table) -> Iterator[Value]:
    """The old tables; new ones where the bytes lie behind all tables, at a place counted from the file's start."""
    for old, table in zip(_members(graph.content, model, "buffers"), model.tables("buffers", _BUFFER), strict=True):
        place, size = table.integer("offset", "Q"), table.integer("size", "Q")
        if place > 1 and not table.span("data", 1)[1]:
            yield {_BUFFER["offset"]: Place(place), _BUFFER["size"]: Scalar("Q", size)}
        else:
            yield old


def _members(content: bytes, table: Table, field: str) -> Iterator[Following]:
    """Where the tables of a list lie."""
    start, count = table.span(field, 4)
    for place in range(start, start + 4 * count, 4):
        yield Following(place + int.from_bytes(content[place : place + 4], "little"))
