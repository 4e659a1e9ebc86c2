"""Models with other metadata on the disk, with their manifests; and associated files, which become files again."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from lite_toolkit import outputs
from lite_toolkit.errors import ModelError, UsageError
from lite_toolkit.text import odd_characters
from lite_toolkit.tflite import manifest, metadata
from lite_toolkit.tflite.graph import read_graph
from lite_toolkit.tflite.metadata import Metadata, archive

_LONGEST_NAME = 255  # bytes, what file systems allow


def write(model: Path, output: Path, new: Metadata, force: bool = False) -> None:
    """Save a model with metadata, see `metadata.write`; a manifest beside `model` goes along and says the same.

    Raises:
        ModelError: the model or its manifest is damaged, or `new` does not fit one of them.
        OutputError: `output` or a manifest beside it exists, unless `force`, or cannot be written.
        UsageError: `output` is the place of a manifest.
    """
    _save(model, output, metadata.write(model, new), new, force)


def strip(model: Path, output: Path, force: bool = False) -> None:
    """Save a model without metadata, see `metadata.strip`; a manifest beside `model` goes along; errors as `write`."""
    _save(model, output, metadata.strip(model), Metadata(), force)


def extract(model: Path, folder: Path, force: bool = False) -> list[Path]:
    """Save the associated files of a model into a folder, all or none.

    Returns:
        The files, in the order of the archive.

    Raises:
        ModelError: the model holds none, its archive is damaged, or a name is hidden or more than that of a file.
        OutputError: a file exists, unless `force`, or cannot be written.
    """
    found = archive.files(read_graph(model).content)
    if not found:
        raise ModelError(f"{model} holds no associated files")
    _require_names(found)
    files: dict[Path, bytes | None] = {folder / name: content for name, content in found.items()}
    outputs.write_all(files, force)
    return list(files)


def _save(model: Path, output: Path, content: bytes, new: Metadata, force: bool) -> None:
    if manifest.path_of(output) == output:
        raise UsageError(f"-o {output} is the place of a manifest: a model ends in .tflite")
    found = manifest.read(model)
    described = _with(manifest.moved(found, output, content), new) if found else None
    outputs.write_all(manifest.files(output, content, described), force)


def _with(document: Mapping[str, Any], new: Metadata) -> dict[str, Any]:
    """The manifest with what is new of labels, mean and std."""
    told: dict[str, Any] = {"labels": new.labels[""]} if "" in new.labels else {}
    if new.normalization:
        mean, std = new.normalization.channels
        told["preprocessing"] = replace(manifest.preprocessing(document), mean=mean, std=std).to_json()
    return {**document, **told}


def _require_names(names: Iterable[str]) -> None:
    for name in names:
        if not name or set(name) & set("/\\:") or len(name.encode()) > _LONGEST_NAME:
            raise ModelError(f"associated file {name[:60]!r}: must be the name of a file, without folders")
        if name.startswith("."):
            raise ModelError(f"associated file {name[:60]!r}: must not begin with a dot, which hides a file")
        if odd_characters(name):
            raise ModelError(f"associated file {name[:60]!r}: the name holds a control character")
