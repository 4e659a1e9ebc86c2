"""Saved reports of every kind, read without trust."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from lite_toolkit.documents import Report, Several, read_document
from lite_toolkit.edgetpu.compilation import Compilation
from lite_toolkit.edgetpu.forecast import Check
from lite_toolkit.errors import ReportError
from lite_toolkit.measurement.latency import Benchmark, Benchmarks
from lite_toolkit.measurement.loss import Validation
from lite_toolkit.reports.conversion import Conversion
from lite_toolkit.reports.evaluation import Evaluation, Evaluations
from lite_toolkit.reports.manifest import Manifest
from lite_toolkit.text import LONGEST_TEXT, cleaned
from lite_toolkit.training.contents import Survey

T = TypeVar("T")

KINDS: tuple[type[Report], ...] = (
    *(Manifest, Conversion, Validation, Evaluation, Evaluations),
    *(Benchmark, Benchmarks, Check, Compilation, Survey),
)


@dataclass(frozen=True)
class Source:
    """A file: its name without the folder, the version that wrote it, its sha256, and what it tells."""

    file: str
    toolkit_version: str
    sha256: str
    report: Report

    @property
    def parts(self) -> Iterator[object]:
        """What it tells, apart: of each device, and of each model."""
        match self.report:
            case Several():
                yield from self.report.devices
            case Conversion():
                yield from (file.manifest for file in self.report.files)
            case Check():
                yield self.report.found
            case Compilation():
                for model in self.report.models:
                    yield model.forecast
                    yield from model.result.files if model.result else ()
            case _:
                yield self.report

    def of(self, kind: type[T]) -> list[T]:
        """The parts of one kind."""
        return [part for part in self.parts if isinstance(part, kind)]


def read(path: Path, kinds: Sequence[type[Report]] = KINDS) -> Source:
    """Read a report or manifest.

    Raises:
        ReportError: the file is no document of `kinds`, of another schema version, or damaged.
        OSError: it cannot be read.
    """
    known = {kind.KIND: kind for kind in kinds}
    document = read_document(path, known)
    version = document.content.get("toolkit_version")
    if not isinstance(version, str):
        raise ReportError(f"{path} is damaged: toolkit_version {version!r}: must be a text")
    report = known[document.kind].from_json(document.content, str(path))
    return Source(cleaned(path.name, LONGEST_TEXT), version, document.sha256, report)
