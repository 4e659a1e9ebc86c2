"""Models -> compiled models: the compiler's files with metadata and a manifest, beside what was forecast."""

import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lite_toolkit import outputs
from lite_toolkit.documents import Report
from lite_toolkit.edgetpu.compiled import Compiled, open_compiled
from lite_toolkit.edgetpu.compiler import PROGRAM, Compiler, Request, run
from lite_toolkit.edgetpu.forecast import Forecast, check
from lite_toolkit.edgetpu.log import ModelLog
from lite_toolkit.edgetpu.restoring import restore
from lite_toolkit.errors import CompilerError, ModelError
from lite_toolkit.progress import Steps
from lite_toolkit.tflite import manifest
from lite_toolkit.tflite.graph import read_graph


@dataclass(frozen=True)
class Run:
    """The compiler: its version, the seconds that it took by its own account, and lines that are not understood."""

    version: str
    seconds: float | None
    other: tuple[str, ...]


@dataclass(frozen=True)
class Result:
    """What became of a model.

    Attributes:
        files: what is inside each file that was written, in the order of the segments.
        logs: the sections of the compiler's log, likewise; empty where it has none for this model.
        differences: where the forecast was wrong, a phrase each.
    """

    files: tuple[Compiled, ...]
    logs: tuple[ModelLog, ...]
    differences: tuple[str, ...]


@dataclass(frozen=True)
class Model:
    """A model: what was expected, and what became of it; None where there is no compiler."""

    forecast: Forecast
    result: Result | None = None


@dataclass(frozen=True)
class Compilation(Report):
    """A run of the compiler, or only the forecasts where there is none."""

    KIND = "edgetpu-compile"

    compiler: Run | None
    models: tuple[Model, ...]


def forecasts(request: Request) -> list[Forecast]:
    """The forecast of each model of a request whose outcome can be written.

    Raises:
        OutputError: a file exists, unless `request.force`, or cannot be written.
        ModelError: a file is no readable `.tflite` file, or is compiled already, or two have the same name.
    """
    outputs.require_free(request.files(), request.force)
    names = Counter(model.stem for model in request.models)
    for name, count in names.items():
        if count > 1:
            raise ModelError(f"{count} models are called {name!r}: models that are compiled together need other names")
    found = []
    for model in request.models:
        outcome = check(model)
        if isinstance(outcome, Compiled):
            raise ModelError(f"{model} is compiled for the Edge TPU already: compile the model that it was made from")
        found.append(outcome)
    return found


def compile_models(
    request: Request, compiler: Compiler, expected: Sequence[Forecast], steps: Steps | None = None
) -> Compilation:
    """Run the compiler, complete what it writes, and put it into `request.output`.

    Args:
        request: what to compile.
        compiler: from `compiler.find`.
        expected: `forecasts(request)`.
        steps: are told what runs.

    Raises:
        CompilerError: the compiler fails, takes too long, or leaves a file out.
        ModelError: what it writes cannot be read, or a manifest belongs to another model.
        OutputError: a file exists, unless `request.force`, or cannot be written.
    """
    steps = steps or Steps()
    manifests = {model: manifest.read(model) for model in request.models}  # which may be refused, so before the work
    with tempfile.TemporaryDirectory() as folder:
        with steps.step("compile"):
            log = run(compiler, request, Path(folder))
        contents = {model: _completed(request, model, Path(folder)) for model in request.models}
    models = []
    written: dict[Path, bytes | None] = {}
    for model, forecast in zip(request.models, expected, strict=True):
        names = request.names(model)
        files = tuple(
            open_compiled(name, read_graph(content)) for name, content in zip(names, contents[model], strict=True)
        )
        logs = tuple(section for name in names for section in log.models if _is_about(section, name))
        source = manifests[model] if request.segments == 1 else None
        described = _described(source, model, files[0], compiler, logs) if source else None
        for name, content in zip(names, contents[model], strict=True):
            written |= manifest.files(request.output / name, content, described)
        models.append(Model(forecast, Result(files, logs, _differences(forecast, files))))
    outputs.write_all(written, request.force)
    return Compilation(Run(compiler.version, log.seconds, log.other), tuple(models))


def _differences(forecast: Forecast, files: Sequence[Compiled]) -> tuple[str, ...]:
    expected = Counter(operator.name for operator in forecast.operators if not operator.mapped)
    found: Counter[str] = sum((Counter(file.cpu_operators) for file in files), Counter())
    told = [
        f"{name}: {found[name]} on the CPU, {expected[name]} forecast"
        for name in sorted(expected.keys() | found.keys())
        if found[name] != expected[name]
    ]
    off = sum(file.cached_bytes + file.streamed_bytes for file in files) - forecast.parameters_bytes
    return (*told, *([f"parameters: {off:+,} bytes against the forecast"] if off else []))


def _completed(request: Request, model: Path, folder: Path) -> list[bytes]:
    """The files that the compiler made of a model; the first takes what the model knows of itself."""
    contents = []
    for name in request.names(model):
        try:
            contents.append((folder / name).read_bytes())
        except OSError as error:
            raise CompilerError(f"{PROGRAM} ended well, but wrote no {name}") from error
    return [restore(read_graph(model), contents[0]), *contents[1:]]


def _is_about(section: ModelLog, name: str) -> bool:
    return Path(section.output or "").name == name


def _described(
    found: Mapping[str, Any], model: Path, part: Compiled, compiler: Compiler, logs: Sequence[ModelLog]
) -> Mapping[str, Any]:
    """The manifest of the source for the compiled file; it holds no path, as no manifest does."""
    figures = [{key: value for key, value in asdict(log).items() if key not in ("model", "output")} for log in logs]
    edgetpu = {
        "compiler": compiler.version,
        "minimum_runtime": part.minimum_runtime,
        "source": {"file": model.name, "sha256": found["model"]["sha256"]},
        "log": figures[0] if figures else None,
    }
    described = {**found["model"], "file": part.file, "sha256": part.sha256, "size_bytes": part.size_bytes}
    return {**found, "model": described, "edgetpu": edgetpu}
