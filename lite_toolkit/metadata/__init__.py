"""TFLite Model Metadata: what clients such as MediaPipe read in a `.tflite` itself, written, read, checked, taken away.

Source: https://ai.google.dev/edge/litert/models/metadata.
"""

from pathlib import Path

from lite_toolkit import manifest
from lite_toolkit.errors import ModelError
from lite_toolkit.graph import Graph, read_graph
from lite_toolkit.metadata import archive, documents, entries, schema
from lite_toolkit.metadata.values import Metadata, Normalization, ScoreCalibration

__all__ = ["Metadata", "Normalization", "ScoreCalibration", "check", "read", "strip", "write"]

_NAME = "TFLITE_METADATA"


def read(source: Path | bytes | Graph) -> Metadata | None:
    """What a model says of itself, given by its path, its bytes or its graph; None where it has no metadata.

    Raises:
        ModelError: the model, its metadata or its archive of associated files is damaged.
    """
    graph = source if isinstance(source, Graph) else read_graph(source)
    document = _document(graph)
    return None if document is None else documents.described(document, archive.files(graph.content))


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
    document, files = documents.composed(graph, _document(graph) or {}, archive.files(graph.content), new)
    bare = read_graph(strip(graph.content))
    return archive.joined(entries.added(bare, [(_NAME, schema.encode(document))]), files)


def strip(source: Path | bytes) -> bytes:
    """The bytes of a model without metadata and associated files: those that `write` was given, where it put them.

    Raises:
        ModelError: the model is damaged.
    """
    content = read_graph(source).content
    return entries.removed(read_graph(content[: archive.model_bytes(content)]), _NAME)


def check(path: Path) -> list[str]:
    """Where a model's metadata, the model and the manifest beside it contradict each other: one sentence each.

    Raises:
        ModelError: one of them is damaged.
    """
    graph = read_graph(path)
    found, document = read(graph), _document(graph)
    if found is None or document is None:
        return []
    missing = documents.missing_files(document, archive.files(graph.content))
    problems = [f"The file {name!r} is named, but not there." for name in missing]
    classes = documents.classes_of(graph.subgraphs[0])
    for locale, names in found.labels.items():
        if len(names) != classes:
            problems.append(f"There are {len(names)} labels{f' of {locale}' * bool(locale)} for {classes} classes.")
    if found.score_calibration and len(found.score_calibration.lines) != classes:
        problems.append(f"There are {len(found.score_calibration.lines)} lines of calibration for {classes} classes.")
    return problems + _contradictions(found, path)


def _contradictions(found: Metadata, path: Path) -> list[str]:
    try:
        beside = manifest.read(path)
    except ModelError as error:
        return [f"{error}."]
    if beside is None:
        return []
    problems, spec = [], manifest.preprocessing(beside)
    if found.normalization and found.normalization.channels != (spec.mean, spec.std):
        mean, std = found.normalization.channels
        problems.append(f"Mean {mean} and std {std} are {spec.mean} and {spec.std} in the manifest.")
    told = beside.get("labels")
    if told and found.class_names and list(found.class_names) != told:
        problems.append("The labels are other ones than the manifest's.")
    return problems


def _document(graph: Graph) -> dict[str, object] | None:
    """The first metadata of a model; clients read no other."""
    for entry in graph.metadata:
        if entry.name == _NAME:
            return schema.decode(bytes(graph.buffer_content(entry.buffer)))
    return None
