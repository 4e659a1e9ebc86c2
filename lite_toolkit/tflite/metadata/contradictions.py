"""Where a model's metadata says something else than the model, or than the manifest beside it."""

from pathlib import Path

from lite_toolkit.errors import ModelError
from lite_toolkit.runtime import heads
from lite_toolkit.tflite import manifest
from lite_toolkit.tflite.graph import Graph
from lite_toolkit.tflite.metadata import Metadata, documents


def contradictions(path: Path, graph: Graph, found: Metadata | None) -> list[str]:
    """Where a model's metadata, the model and the manifest beside it contradict each other: one sentence each.

    Args:
        path: of the model, beside its manifest.
        graph: of the model.
        found: its metadata.
    """
    if found is None:
        return []
    problems = [f"The file {name!r} is named, but not there." for name in documents.missing_files(graph, found.files)]
    outputs = documents.outputs_of(graph.subgraphs[0])
    classes = heads.classes(outputs)
    for locale, names in found.labels.items():
        if len(names) not in (classes, outputs):  # of two classes by one output, clients need the second's name alone
            problems.append(f"There are {len(names)} labels{f' of {locale}' * bool(locale)} for {classes} classes.")
    if found.score_calibration and len(found.score_calibration.lines) != outputs:
        problems.append(f"There are {len(found.score_calibration.lines)} lines of calibration for {outputs} outputs.")
    return problems + _of_manifest(found, path)


def _of_manifest(found: Metadata, path: Path) -> list[str]:
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
