"""`lite-toolkit metadata show`, and what `lite-toolkit inspect` says of metadata."""

from collections.abc import Iterator, Sequence
from typing import Any

from lite_toolkit.cli.console import print_facts
from lite_toolkit.tflite.metadata import Metadata
from lite_toolkit.tflite.metadata.values import TEXTS

_SHOWN = 3  # labels of each locale


def facts(found: Metadata) -> Iterator[tuple[str, str]]:
    """Names and values, for people."""
    for name in TEXTS:
        if getattr(found, name):
            yield name, getattr(found, name)
    if found.normalization:
        mean, std = (", ".join(f"{value:g}" for value in values) for values in found.normalization.channels)
        yield "normalization", f"(pixel - mean) / std: mean {mean}; std {std}"
    for locale, names in found.labels.items():
        more = ", ..." if len(names) > _SHOWN else ""
        yield f"labels {locale}".strip(), f"{len(names)}: {', '.join(names[:_SHOWN])}{more}"
    if found.score_threshold is not None:
        yield "score threshold", f"{found.score_threshold:g}"
    if found.score_calibration:
        calibration = found.score_calibration
        yield "score calibration", f"{len(calibration.lines)} classes, {calibration.transformation.lower()}"


def report(file: str, found: Metadata | None, problems: Sequence[str]) -> dict[str, Any]:
    """The report of `lite-toolkit metadata show`."""
    return {"file": file, "metadata": found.to_json() if found else None, "problems": list(problems)}


def show(file: str, found: Metadata | None) -> None:
    """The same for people."""
    told = [*facts(found), ("associated files", ", ".join(found.files) or "none")] if found else [("metadata", "none")]
    print_facts([("file", file), *told])
