"""Metadata and associated files, which the Edge TPU compiler drops, put back into the model that it wrote.

A FlatBuffer's offsets only point forward. So a new root goes before the old file: its vectors of buffers and metadata
list the old tables and the new ones, and all else stays as it is, moved by a multiple of 64 bytes.
"""

import io
import struct
import zipfile
from collections.abc import Sequence

from lite_toolkit.errors import ModelError
from lite_toolkit.flatbuffer import root
from lite_toolkit.graph import IDENTIFIER, Graph, read_graph
from lite_toolkit.schema import FIELDS

_ALIGNMENT = 64  # bytes; more than any value in a model needs
_MODEL = FIELDS["Model"]  # all of the table's fields, so that none is lost
_EXTENDED = ("buffers", "metadata")
_MOST_BYTES = 64 * 2**20  # of associated files, which are labels and vocabularies


def restore(source: Graph, compiled: bytes) -> bytes:
    """`compiled` with the metadata and the associated files of the model that it was compiled from.

    What it has itself is kept: metadata of the same name is not added, nor files to an archive.

    Raises:
        ModelError: `compiled` is no `.tflite` file, or the source's archive is broken or too large.
    """
    target = read_graph(compiled)
    names = {entry.name for entry in target.metadata}
    missing = [entry for entry in source.metadata if entry.name not in names]
    model = _with_metadata(target, [(entry.name, bytes(source.buffer_content(entry.buffer))) for entry in missing])
    return _with_files(model, source.content)


def _with_metadata(graph: Graph, entries: Sequence[tuple[str, bytes]]) -> bytes:
    if not entries:
        return graph.content
    old, head = root(graph.content, _MODEL, "model"), _Head()
    starts = {name: old.span(name, 1)[0] for name in _MODEL if name != "version"}
    present = [number for name, number in _MODEL.items() if starts.get(name) or name in ("version", *_EXTENDED)]
    table = _model_table(head, old.integer("version", "I"), present)
    for name, start in starts.items():
        if start and name not in _EXTENDED:
            head.link(table + _place(_MODEL[name]), start - 4, old=True)
    vectors = {}
    for name in _EXTENDED:
        start, count = old.span(name, 4)
        vectors[name] = head.vector(count + len(entries))
        head.link(table + _place(_MODEL[name]), vectors[name])
        for index in range(count):
            element = start + 4 * index
            target = element + int.from_bytes(graph.content[element : element + 4], "little")
            head.link(vectors[name] + 4 * (1 + index), target, old=True)
    for index, (name, content) in enumerate(entries):
        number = len(graph.buffers) + index
        head.link(vectors["metadata"] + 4 * (1 + len(graph.metadata) + index), _metadata_table(head, name, number))
        head.link(vectors["buffers"] + 4 * (1 + number), _buffer_table(head, content))
    return head.before(graph.content)


class _Head:
    """Bytes to put before a file, with offsets that are known only when all is there."""

    def __init__(self) -> None:
        self.data = bytearray(4) + IDENTIFIER  # the offset of the root first
        self._links: list[tuple[int, int, bool]] = []

    def append(self, content: bytes, alignment: int = 4, skipped: int = 0) -> int:
        """Where `content` begins; what follows its first `skipped` bytes is aligned."""
        self.data += bytes(-(len(self.data) + skipped) % alignment)
        self.data += content
        return len(self.data) - len(content)

    def vector(self, count: int) -> int:
        """Where a vector of so many offsets begins; they are linked later."""
        return self.append(struct.pack("<I", count) + bytes(4 * count))

    def link(self, place: int, target: int, *, old: bool = False) -> None:
        """Let the offset at `place` lead to `target`, here or in the old file."""
        self._links.append((place, target, old))

    def before(self, content: bytes) -> bytes:
        """All of it before the old file."""
        self.append(b"", _ALIGNMENT)
        for place, target, old in self._links:
            struct.pack_into("<I", self.data, place, target + (len(self.data) if old else 0) - place)
        return bytes(self.data) + content


def _place(field: int) -> int:
    """Where in its table the field of the model lies."""
    return 4 * (1 + field)


def _model_table(head: _Head, version: int, present: Sequence[int]) -> int:
    fields = [_place(number) if number in present else 0 for number in _MODEL.values()]
    size = _place(len(fields))
    table = head.append(struct.pack(f"<{2 + len(fields)}H", 2 * (2 + len(fields)), size, *fields)) + 4 + 2 * len(fields)
    head.append(struct.pack("<iI", 4 + 2 * len(fields), version) + bytes(size - 8))
    head.link(0, table)
    return table


def _metadata_table(head: _Head, name: str, buffer: int) -> int:
    head.append(struct.pack("<4H", 8, 12, 4, 8))
    table = head.append(struct.pack("<iII", 8, 0, buffer))
    text = name.encode()
    head.link(table + 4, head.append(struct.pack("<I", len(text)) + text + b"\0"))
    return table


def _buffer_table(head: _Head, content: bytes) -> int:
    head.append(struct.pack("<4H", 6, 8, 4, 0))
    table = head.append(struct.pack("<iI", 8, 0))
    head.link(table + 4, head.append(struct.pack("<I", len(content)) + content, 16, skipped=4))
    return table


def _with_files(model: bytes, source: bytes) -> bytes:
    if not zipfile.is_zipfile(io.BytesIO(source)) or zipfile.is_zipfile(io.BytesIO(model)):
        return model
    stream = io.BytesIO(model)
    try:
        with zipfile.ZipFile(io.BytesIO(source)) as archive, zipfile.ZipFile(stream, "a") as target:
            members = archive.infolist()
            if sum(member.file_size for member in members) > _MOST_BYTES:
                raise ModelError(f"the associated files are larger than {_MOST_BYTES} bytes")
            for member in members:
                target.writestr(zipfile.ZipInfo(member.filename, member.date_time), archive.read(member))
    except (zipfile.BadZipFile, NotImplementedError, ValueError, RuntimeError, struct.error) as error:
        raise ModelError(f"the archive of associated files is broken: {error}") from error
    return stream.getvalue()
