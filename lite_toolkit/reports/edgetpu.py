"""What the Edge TPU compiler will do with models, and did, as documents."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lite_toolkit.decoding import decode
from lite_toolkit.documents import Report
from lite_toolkit.edgetpu import compilation
from lite_toolkit.edgetpu.compiled import Compiled
from lite_toolkit.edgetpu.forecast import Forecast
from lite_toolkit.edgetpu.log import ModelLog
from lite_toolkit.errors import ReportError


@dataclass(frozen=True)
class Check(Report):
    """The forecast for a model, or what is inside of one that is compiled."""

    KIND = "edgetpu-check"

    found: Forecast | Compiled

    def content(self) -> dict[str, Any]:
        """What stands below the header."""
        return self.found.to_json()

    @classmethod
    def from_json(cls, content: Any, file: str) -> "Check":
        """What a document tells; errors as those of every report."""
        title = f"{file} is damaged"
        if content.get("compiled") is True:
            return cls(decode(Compiled, content, title, ReportError, exact=False))
        return cls(decode(Forecast, content, title, ReportError, exact=False))


@dataclass(frozen=True)
class Run:
    """The compiler: its version, the seconds that it took by its own account, and lines that are not understood."""

    version: str
    seconds: float | None
    other: tuple[str, ...]


@dataclass(frozen=True)
class Result:
    """What became of a model: the files, the sections of the log, and where the forecast was wrong, a phrase each."""

    files: tuple[Compiled, ...]
    logs: tuple[ModelLog, ...]
    differences: tuple[str, ...]


@dataclass(frozen=True)
class Model:
    """A model: what was expected, and what became of it; None where there is no compiler."""

    forecast: Forecast
    result: Result | None


@dataclass(frozen=True)
class Compilation(Report):
    """A run of the compiler, or only the forecasts where there is none."""

    KIND = "edgetpu-compile"

    compiler: Run | None
    models: tuple[Model, ...]

    @classmethod
    def without_compiler(cls, forecasts: Sequence[Forecast]) -> "Compilation":
        """What it would do."""
        return cls(None, tuple(Model(forecast, None) for forecast in forecasts))

    @classmethod
    def of(cls, found: compilation.Compilation) -> "Compilation":
        """What it did."""
        models = (Model(one.forecast, Result(one.parts, one.logs, one.differences)) for one in found.results)
        return cls(Run(found.compiler.version, found.log.seconds, found.log.other), tuple(models))
