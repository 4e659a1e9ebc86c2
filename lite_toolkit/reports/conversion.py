"""What `convert` made, as a document."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from lite_toolkit import outputs
from lite_toolkit.conversion import pipeline
from lite_toolkit.decoding import Count
from lite_toolkit.documents import Report
from lite_toolkit.reports.manifest import Manifest


@dataclass(frozen=True)
class File:
    """A file that was written, and its manifest."""

    path: str
    size_bytes: Count
    manifest: Manifest


@dataclass(frozen=True)
class Conversion(Report):
    """Each file's manifest, and what the manifests leave out; `seconds` are the wall time of each step."""

    KIND = "convert"

    files: tuple[File, ...]
    float32_size_bytes: Count
    skipped_images: tuple[str, ...]
    notes: tuple[str, ...]
    seconds: Mapping[str, float]

    @classmethod
    def of(cls, found: pipeline.Conversion) -> "Conversion":
        """What was made."""
        return cls(
            files=tuple(_file(one) for one in found.files),
            float32_size_bytes=found.float_size_bytes,
            skipped_images=found.skipped,
            notes=found.notes,
            seconds=dict(found.seconds),
        )


def _file(found: pipeline.Converted) -> File:
    written = json.loads(outputs.to_json(found.manifest))
    return File(str(found.path), found.size_bytes, Manifest.from_json(written, str(found.path)))
