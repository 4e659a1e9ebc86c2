"""The JSON beside a `.tflite`: where it comes from, what it takes and gives, and what quantization cost."""

import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from lite_toolkit import outputs
from lite_toolkit.decoding import decode
from lite_toolkit.documents import SCHEMA_VERSION, document, sha256
from lite_toolkit.errors import ModelError
from lite_toolkit.images.preprocessing import PreprocessingSpec
from lite_toolkit.runtime import heads

SCHEMA = "lite-toolkit/manifest"
_DISTRIBUTIONS = ("numpy", "pillow", "tensorflow", "keras", "ai-edge-litert", "ai-edge-quantizer")


@dataclass(frozen=True)
class Basis:
    """What the preprocessing of a user's own model was chosen by.

    Attributes:
        how: "told" by the user, perhaps in a way that the network "contradicts"; read off its "graph"; "tried" on
            images; or "assumed".
        reason: what tells it, the rest of a sentence.
    """

    how: Literal["told", "contradicts", "graph", "tried", "assumed"]
    reason: str

    @property
    def certain(self) -> bool:
        """Whether it is known."""
        return self.how in ("told", "graph")


def compose(content: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest of `content`; it holds no times or paths, so that equal inputs give equal bytes."""
    return document("manifest", content) | {"versions": _versions()}


def path_of(model: Path) -> Path:
    """Where the manifest of `model` stands: beside it, under its name."""
    return model.with_suffix(".json")


def files(model: Path, content: bytes, found: Mapping[str, Any] | None) -> dict[Path, bytes | None]:
    """What `outputs.write_all` is to write of a model; without a manifest `found`, that of an older model goes."""
    beside = path_of(model)
    if found is not None:
        return {beside: outputs.to_json(found).encode(), model: content}
    return {model: content} | ({beside: None} if _is_manifest(beside) else {})


def read(model: Path) -> Mapping[str, Any] | None:
    """The manifest beside `model`; None where there is none, or where that JSON file is something else.

    Raises:
        ModelError: the file is damaged, of a newer schema, or belongs to another model.
    """
    path = path_of(model)
    try:
        found = _manifest(path)
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} beside the model is no JSON file: repair it or move it away") from error
    if found is None:
        return None
    if found.get("schema_version") != SCHEMA_VERSION:
        raise ModelError(
            f"{path} has schema version {found.get('schema_version')!r}: this toolkit reads {SCHEMA_VERSION}"
        )
    described = found.get("model")
    if not isinstance(described, dict) or described.get("sha256") != sha256(model):
        raise ModelError(f"{path} is the manifest of another model than {model.name}: their sha256 differ")
    return found


def preprocessing(found: Mapping[str, Any]) -> PreprocessingSpec:
    """The preprocessing that a manifest names.

    Raises:
        ModelError: it names none, or one that cannot be.
    """
    return decode(PreprocessingSpec, found.get("preprocessing"), "the manifest's preprocessing", ModelError)


def basis(found: Mapping[str, Any]) -> Basis | None:
    """What the preprocessing was chosen by; None where the manifest does not tell.

    Raises:
        ModelError: it tells something else.
    """
    told = found.get("preprocessing_basis")
    return None if told is None else decode(Basis, told, "the manifest's preprocessing_basis", ModelError)


def head(found: Mapping[str, Any] | None, outputs: int) -> str | None:
    """What a model's outputs mean by its manifest; None where it does not tell.

    Raises:
        ModelError: so many outputs cannot mean that.
    """
    told = None if found is None else found.get("head")
    if told is not None and not heads.fits(told, outputs):
        raise ModelError(f"the manifest's head {str(told)[:60]!r} does not fit {outputs} outputs")
    return told


def moved(found: Mapping[str, Any], path: Path, content: bytes) -> dict[str, Any]:
    """The manifest of a model whose file has another name or other bytes now."""
    named = {"file": path.name, "sha256": sha256(content), "size_bytes": len(content)}
    return {**found, "model": {**found["model"], **named}}


def _manifest(path: Path) -> dict[str, Any] | None:
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    return found if isinstance(found, dict) and found.get("schema") == SCHEMA else None


def _is_manifest(path: Path) -> bool:
    try:
        return _manifest(path) is not None
    except (OSError, ValueError, RecursionError):
        return False  # a file of somebody else's


def _versions() -> dict[str, str]:
    installed = {"python": platform.python_version()}
    for name in _DISTRIBUTIONS:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return installed
