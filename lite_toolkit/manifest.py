"""The JSON beside a `.tflite`: where it comes from, what it takes and gives, and what quantization cost."""

import json
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from lite_toolkit.errors import ModelError
from lite_toolkit.preprocessing import PreprocessingSpec
from lite_toolkit.report import SCHEMA_VERSION, document

SCHEMA = "lite-toolkit/manifest"
_DISTRIBUTIONS = ("numpy", "pillow", "tensorflow", "keras", "ai-edge-litert", "ai-edge-quantizer")


def compose(content: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest of `content`; it holds no times or paths, so that equal inputs give equal bytes."""
    return document("manifest", content) | {"versions": _versions()}


def path_of(model: Path) -> Path:
    """Where the manifest of `model` stands: beside it, under its name."""
    return model.with_suffix(".json")


def read(model: Path) -> Mapping[str, Any] | None:
    """The manifest beside `model`; None where there is none, or where that file is something else.

    Raises:
        ModelError: it is a manifest, but of a newer schema.
    """
    try:
        found = json.loads(path_of(model).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        return None
    if found.get("schema_version") != SCHEMA_VERSION:
        version = found.get("schema_version")
        raise ModelError(f"{path_of(model)} has schema version {version!r}: this toolkit reads {SCHEMA_VERSION}")
    return found


def preprocessing(found: Mapping[str, Any]) -> PreprocessingSpec:
    """The preprocessing that a manifest names."""
    return PreprocessingSpec.from_json(found.get("preprocessing") or {})


def _versions() -> dict[str, str]:
    installed = {"python": platform.python_version()}
    for name in _DISTRIBUTIONS:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return installed
