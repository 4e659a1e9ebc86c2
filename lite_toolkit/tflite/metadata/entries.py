"""The metadata entries of a model: named buffers, added and removed without touching anything else of the file.

A new root before the old file lists the old tables and the new ones; the rest stays as it is, moved by a multiple of 64
bytes.
"""

import struct
from collections import Counter
from collections.abc import Iterator, Sequence

from lite_toolkit.errors import ModelError
from lite_toolkit.tflite.flatbuffer import Table, root
from lite_toolkit.tflite.flatbuffer_writer import SIZE_PLACE, Following, Place, Scalar, Value, write
from lite_toolkit.tflite.graph import IDENTIFIER, Graph, read_graph
from lite_toolkit.tflite.schema import FIELDS

_MODEL = FIELDS["Model"]
_ENTRY, _BUFFER = FIELDS["Metadata"], FIELDS["Buffer"]


def added(graph: Graph, entries: Sequence[tuple[str, bytes]]) -> bytes:
    """The model with more entries of metadata, each a name and its content.

    Args:
        graph: of a file without associated files, whose archive would be moved.
        entries: names that the model does not have.

    Raises:
        ModelError: the model has something that would be lost, or would not be found at its new place.
    """
    if not entries:
        return graph.content
    old = root(graph.content, _MODEL, "model")
    _require_movable(old)
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
    """The model without all entries of a name: as it was where `added` put them there, otherwise with zeros instead."""
    numbers = [number for number, entry in enumerate(graph.metadata) if entry.name == name]
    if not numbers:
        return graph.content
    before = _before(graph, numbers)
    return before if before is not None else _without(graph, numbers)


def _require_movable(model: Table) -> None:
    later = sorted({*model.field_numbers()} - {*_MODEL.values()})
    if later:
        raise ModelError(f"{model.where} has field {later[0]} of a later schema, which a changed model would lose")
    for subgraph in model.tables("subgraphs", FIELDS["SubGraph"]):
        for operator in subgraph.tables("operators", FIELDS["Operator"]):
            # A position in the whole file, inside a table that is not written again; 0 and 1 mean that there is none.
            if operator.integer("large_custom_options_offset", "Q") > 1:
                raise ModelError(f"{operator.where} has its options behind the tables: such a model is not changed")


def _before(graph: Graph, numbers: Sequence[int]) -> bytes | None:
    """The file that `added` has put a root before; None where that was not so."""
    size = int.from_bytes(graph.content[SIZE_PLACE : SIZE_PLACE + 4], "little")
    inside = graph.content[size:]
    if not size or inside[4:8] != IDENTIFIER:
        return None
    entries = [graph.metadata[number] for number in numbers]
    try:
        again = added(read_graph(inside), [(one.name, bytes(graph.buffer_content(one.buffer))) for one in entries])
    except ModelError:
        return None
    return inside if again == graph.content else None


def _without(graph: Graph, numbers: Sequence[int]) -> bytes:
    content = bytearray(graph.content)
    start, count = root(graph.content, _MODEL, "model").span("metadata", 4)
    kept = sorted({*range(count)} - {*numbers})
    for place, number in enumerate(kept):
        # Each offset counts from its own place, which is now nearer to the start.
        (offset,) = struct.unpack_from("<I", content, start + 4 * number)
        struct.pack_into("<I", content, start + 4 * place, offset + 4 * (number - place))
    struct.pack_into("<I", content, start - 4, len(kept))
    sharing = Counter(buffer.offset for buffer in graph.buffers)
    for buffer in {graph.buffers[graph.metadata[number].buffer] for number in numbers}:
        if sharing[buffer.offset] == 1:
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
