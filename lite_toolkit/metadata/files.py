"""Models with other metadata on the disk, with their manifests; and associated files, which become files again."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lite_toolkit import manifest, metadata, outputs
from lite_toolkit.errors import ModelError
from lite_toolkit.graph import read_graph
from lite_toolkit.labels import odd_characters
from lite_toolkit.metadata import Metadata, archive

_LONGEST_NAME = 255  # bytes, what file systems allow


def write(model: Path, output: Path, new: Metadata) -> None:
    """Save a model with metadata, see `metadata.write`; a manifest beside `model` goes along and says the same.

    Raises:
        ModelError: the model or its manifest is damaged, or `new` does not fit the model.
        OutputError: `output` cannot be written.
    """
    told: dict[str, Any] = {"labels": new.labels[""]} if "" in new.labels else {}
    if new.normalization:
        mean, std = new.normalization.channels
        told["preprocessing"] = {"mean": mean, "std": std}
    _save(model, output, metadata.write(model, new), told)


def strip(model: Path, output: Path) -> None:
    """Save a model without metadata, see `metadata.strip`; a manifest beside `model` goes along.

    Raises:
        ModelError: the model or its manifest is damaged.
        OutputError: `output` cannot be written.
    """
    _save(model, output, metadata.strip(model), {})


def extract(model: Path, folder: Path, force: bool = False) -> list[Path]:
    """Save the associated files of a model into a folder, all or none.

    Returns:
        The files, in the order of the archive.

    Raises:
        ModelError: the model holds none, its archive is damaged, or a name is more than that of a file.
        OutputError: a file exists, unless `force`, or cannot be written.
    """
    found = archive.files(read_graph(model).content)
    if not found:
        raise ModelError(f"{model} holds no associated files")
    _require_names(found)
    files = {folder / name: content for name, content in found.items()}
    outputs.require_free(list(files), force)
    outputs.write_all(files)
    return list(files)


def _save(model: Path, output: Path, content: bytes, told: Mapping[str, Any]) -> None:
    files, found = {output: content}, manifest.read(model)
    if found:
        files[manifest.path_of(output)] = outputs.to_json(_with(manifest.moved(found, output, content), told)).encode()
    outputs.write_all(files)


def _with(document: Mapping[str, Any], told: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest with what was told; of its preprocessing only what was told of that."""
    preprocessing = {**manifest.preprocessing(document).to_json(), **told.get("preprocessing", {})}
    return {**document, **told, "preprocessing": preprocessing}


def _require_names(names: Iterable[str]) -> None:
    for name in names:
        if name in ("", ".", "..") or set(name) & set("/\\:") or len(name.encode()) > _LONGEST_NAME:
            raise ModelError(f"associated file {name[:60]!r}: must be the name of a file, without folders")
        if odd_characters(name):
            raise ModelError(f"associated file {name[:60]!r}: the name holds a control character")
