"""TFLite Model Metadata: what clients such as MediaPipe read in a `.tflite` itself, written, read, checked, taken away.

Source: https://ai.google.dev/edge/litert/models/metadata.
"""

from collections.abc import Callable
from pathlib import Path

from lite_toolkit.errors import ModelError
from lite_toolkit.tflite.graph import Graph, read_graph
from lite_toolkit.tflite.metadata import archive, documents, entries, schema
from lite_toolkit.tflite.metadata.values import Metadata, Normalization, ScoreCalibration

__all__ = ["Metadata", "Normalization", "ScoreCalibration", "hint", "read", "strip", "write"]


def read(source: Path | bytes | Graph) -> Metadata | None:
    """What a model says of itself, given by its path, its bytes or its graph; None where it has no metadata.

    Raises:
        ModelError: the model, its metadata or its archive of associated files is damaged.
    """
    return _read(source if isinstance(source, Graph) else read_graph(source), archive.files)


def hint(graph: Graph) -> tuple[Metadata | None, str | None]:
    """What a model says of itself, for those who can do without it, and what is wrong with that; None for neither.

    Where a file of labels or the archive is damaged, the rest is read without files.
    """
    problem = None
    for files in (archive.files, _no_files):
        try:
            return _read(graph, files), problem
        except ModelError as error:
            problem = str(error)
    return None, problem


def write(source: Path | bytes, new: Metadata) -> bytes:
    """The bytes of a model with metadata: all of `new` that is not None or empty, and else what the model had.

    The tables of the model stay as they are; `strip` takes them out again. Equal arguments give equal bytes.

    Args:
        source: a `.tflite` file with one input and one output, or its bytes.
        new: its labels and calibration have a line for each value of the output.

    Raises:
        ModelError: the model is damaged, is no classifier, or has another number of classes.
    """
    graph = read_graph(source)
    document, files = documents.composed(graph, documents.document_of(graph) or {}, archive.files(graph.content), new)
    bare = read_graph(strip(graph.content))
    return archive.joined(entries.added(bare, [(schema.ENTRY, schema.encode(document))]), files)


def strip(source: Path | bytes) -> bytes:
    """The bytes of a model without metadata and associated files: those that `write` was given, where it put them.

    Raises:
        ModelError: the model is damaged.
    """
    content = read_graph(source).content
    return entries.removed(read_graph(content[: archive.model_bytes(content)]), schema.ENTRY)


def _read(graph: Graph, files: Callable[[bytes], documents.Files]) -> Metadata | None:
    document = documents.document_of(graph)
    return None if document is None else documents.described(document, files(graph.content))


def _no_files(_content: bytes) -> documents.Files:
    return {}
