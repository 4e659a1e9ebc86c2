"""Metadata and associated files, which the Edge TPU compiler drops, put back into the model that it wrote."""

from lite_toolkit.tflite.graph import Graph, read_graph
from lite_toolkit.tflite.metadata import archive, entries


def restore(source: Graph, compiled: bytes) -> bytes:
    """`compiled` with the metadata and the associated files of the model that it was compiled from.

    What it has itself is kept: metadata of the same name is not added, nor files to an archive. The executables in it
    stay as the compiler wrote them.

    Raises:
        ModelError: `compiled` is no `.tflite` file, or an archive is broken or too large.
    """
    target = read_graph(compiled[: archive.model_bytes(compiled)])
    names = {entry.name for entry in target.metadata}
    missing = [entry for entry in source.metadata if entry.name not in names]
    model = entries.added(target, [(entry.name, bytes(source.buffer_content(entry.buffer))) for entry in missing])
    return archive.joined(model, archive.files(compiled) or archive.files(source.content))
