"""Models -> compiled models: the compiler's files with metadata and a manifest, beside what was forecast."""

import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lite_toolkit import outputs
from lite_toolkit.edgetpu.compiled import Compiled, open_compiled
from lite_toolkit.edgetpu.compiler import PROGRAM, Compiler, Job, run
from lite_toolkit.edgetpu.forecast import Forecast, check
from lite_toolkit.edgetpu.log import CompilerLog, ModelLog
from lite_toolkit.edgetpu.restoring import restore
from lite_toolkit.errors import CompilerError, ModelError
from lite_toolkit.progress import Steps
from lite_toolkit.tflite import manifest
from lite_toolkit.tflite.graph import read_graph


@dataclass(frozen=True)
class Request:
    """What to compile, and how.

    Attributes:
        models: several are compiled together, so that they share the chip's memory.
        output: the folder for what is written.
        timeout: seconds until the compiler is stopped.
        segments: into how many parts each model is cut, for as many Edge TPUs.
        minimum_runtime: the oldest runtime to compile for; None leaves it to the compiler.
        force: replace files that exist.
    """

    models: tuple[Path, ...]
    output: Path
    timeout: float = 600.0
    segments: int = 1
    minimum_runtime: int | None = None
    force: bool = False

    def names(self, model: Path) -> list[str]:
        """How the compiler calls what it makes of a model."""
        if self.segments == 1:
            return [f"{model.stem}_edgetpu.tflite"]
        return [f"{model.stem}_segment_{n}_of_{self.segments}_edgetpu.tflite" for n in range(self.segments)]

    def files(self) -> list[Path]:
        """All that may be written, manifests included."""
        files = [self.output / name for model in self.models for name in self.names(model)]
        return files + [manifest.path_of(file) for file in files]


@dataclass(frozen=True)
class Result:
    """What became of one model.

    Attributes:
        files: what was written, in the order of the segments.
        parts: what is inside each.
        logs: the sections of the compiler's log, likewise; empty where it has none for this model.
        manifest: of the compiled model; None without one of the source, or with segments.
    """

    forecast: Forecast
    files: tuple[Path, ...]
    parts: tuple[Compiled, ...]
    logs: tuple[ModelLog, ...]
    manifest: Mapping[str, Any] | None

    @property
    def on_cpu(self) -> dict[str, int]:
        """Operators that stay on the CPU by name."""
        return dict(sum((Counter(part.cpu_operators) for part in self.parts), Counter()))

    @property
    def parameters_bytes(self) -> int:
        """Parameters on the chip and streamed."""
        return sum(part.cached_bytes + part.streamed_bytes for part in self.parts)

    @property
    def differences(self) -> tuple[str, ...]:
        """Where the forecast was wrong, a phrase each."""
        expected = Counter(operator.name for operator in self.forecast.operators if not operator.mapped)
        found, names = self.on_cpu, sorted(expected.keys() | self.on_cpu.keys())
        told = [
            f"{name}: {found.get(name, 0)} on the CPU, {expected[name]} forecast"
            for name in names
            if found.get(name, 0) != expected[name]
        ]
        off = self.parameters_bytes - self.forecast.parameters_bytes
        return (*told, *([f"parameters: {off:+,} bytes against the forecast"] if off else []))


@dataclass(frozen=True)
class Compilation:
    """The outcome of a run of the compiler."""

    compiler: Compiler
    log: CompilerLog
    results: tuple[Result, ...]


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
        job = Job(request.models, Path(folder), request.timeout, request.segments, request.minimum_runtime)
        with steps.step("compile"):
            log = run(compiler, job)
        contents = {model: _completed(request, model, Path(folder)) for model in request.models}
    results = []
    for model, forecast in zip(request.models, expected, strict=True):
        files = tuple(request.output / name for name in request.names(model))
        parts = tuple(
            open_compiled(file.name, read_graph(content)) for file, content in zip(files, contents[model], strict=True)
        )
        logs = tuple(section for name in request.names(model) for section in log.models if _is_about(section, name))
        source = manifests[model]
        described = _described(source, model, parts[0], compiler, logs) if source and request.segments == 1 else None
        results.append(Result(forecast, files, parts, logs, described))
    _write(results, contents.values(), request.force)
    return Compilation(compiler, log, tuple(results))


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


def _write(results: Sequence[Result], contents: Iterable[Sequence[bytes]], force: bool) -> None:
    written: dict[Path, bytes | None] = {}
    for result, parts in zip(results, contents, strict=True):
        for file, content in zip(result.files, parts, strict=True):
            written |= manifest.files(file, content, result.manifest)
    outputs.write_all(written, force)
