"""JSON documents: every one names its schema, the schema's version and the toolkit's."""

from collections.abc import Mapping
from typing import Any

from lite_toolkit import __version__

SCHEMA_VERSION = 1


def document(kind: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """`content` under a header; `kind` is "variants", "manifest", "inspect", ..."""
    header = {"schema": f"lite-toolkit/{kind}", "schema_version": SCHEMA_VERSION, "toolkit_version": __version__}
    return header | dict(content)
