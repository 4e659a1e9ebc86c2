"""Latency of models: one process for each model and number of threads, so that cold start and memory are its own."""

import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from lite_toolkit.board.distribution import Distribution
from lite_toolkit.devices import jobs
from lite_toolkit.edgetpu.compiled import for_delegate
from lite_toolkit.errors import ModelError
from lite_toolkit.images.files import read_image
from lite_toolkit.images.preprocessing import PreprocessingSpec, Sized
from lite_toolkit.measurement.description import endpoints, find_preprocessing
from lite_toolkit.progress import Steps
from lite_toolkit.tflite import manifest, metadata
from lite_toolkit.tflite.graph import Graph, read_graph
from lite_toolkit.tflite.layers import layer_name


@dataclass(frozen=True)
class Request:
    """What to measure.

    Attributes:
        models: `.tflite` files.
        threads: numbers of threads; each model is measured with each.
        delegate, delegate_options: for `delegates.choose`, on the machine that measures.
        require_full_delegation: fail where the delegate leaves a node to others.
        runs, seconds: at least so many inferences, for at least so long,
        max_seconds: but not longer.
        sustained_minutes: run on for so long, with the machine's state every second; 0 for not at all.
        image: also measure the way from this image file to the scores,
        preprocessing: prepared so; by default as the manifest says.
        profile: also measure each operator of each model.
    """

    models: tuple[Path, ...]
    threads: tuple[int, ...] = (1,)
    delegate: str = "xnnpack"
    delegate_options: Mapping[str, str] = field(default_factory=dict)
    require_full_delegation: bool = False
    runs: int = 50
    seconds: float = 1.0
    max_seconds: float = 150.0
    sustained_minutes: float = 0.0
    image: Path | None = None
    preprocessing: Sized | None = None
    profile: bool = False


@dataclass(frozen=True)
class OperatorTime:
    """One operator: its number in the graph, its layer's name, its kind, and its times as `latency.times` has them."""

    index: int
    layer: str
    operator: str
    times: Mapping[str, Any]


@dataclass(frozen=True)
class Profile:
    """The operators of a model in its order, and the whole in between: see `operator_times.profile`."""

    model: Path
    operators: tuple[OperatorTime, ...]
    whole: Mapping[str, Any]


@dataclass(frozen=True)
class Measurement:
    """One model with one number of threads.

    Attributes:
        result: as `latency.benchmark` yields it.
        note: how the image's preprocessing was found, where that is not certain.
    """

    model: Path
    threads: int
    result: Mapping[str, Any]
    note: str | None = None

    @cached_property
    def latency(self) -> Distribution:
        """Of the runs that count."""
        return Distribution(**self.result["latency"]["distribution"])

    @property
    def model_bytes(self) -> int | None:
        """How much memory the model added; None where the system does not tell."""
        before, peak = self.result["memory"]["before_bytes"], self.result["memory"]["peak_bytes"]
        return None if before is None or peak is None else peak - before


@dataclass(frozen=True)
class Benchmark:
    """All that was measured."""

    measurements: tuple[Measurement, ...]
    profiles: tuple[Profile, ...]


def benchmark(request: Request, steps: Steps | None = None, run: jobs.Run = jobs.run) -> Benchmark:
    """Measure every model with every number of threads.

    Args:
        request: what to measure.
        steps: shows how far it is.
        run: runs the jobs, here or on a board.

    Raises:
        ModelError, ImageError: a model or the image cannot be used.
        DelegateError: an Edge TPU is to run a model that is not compiled for it.
        JobError: a measurement failed.
    """
    graphs = {model: read_graph(model) for model in request.models}
    if request.image:
        read_image(request.image)
    steps = steps or Steps()
    pairs = [(model, threads) for model in graphs for threads in request.threads]
    measurements = tuple(_measure(request, model, graphs[model], threads, steps, run) for model, threads in pairs)
    profiled = graphs.items() if request.profile else ()
    return Benchmark(measurements, tuple(_profile(request, model, graph, steps, run) for model, graph in profiled))


def _measure(request: Request, model: Path, graph: Graph, threads: int, steps: Steps, run: jobs.Run) -> Measurement:
    compiled = for_delegate(model, graph, request.delegate)
    job = {
        "job": "benchmark",
        "threads": threads,
        "delegate": request.delegate,
        "delegate_options": dict(request.delegate_options),
        "minimum_runtime": compiled.minimum_runtime if compiled else None,
        "require_full_delegation": request.require_full_delegation,
        "runs": request.runs,
        "seconds": request.seconds,
        "max_seconds": request.max_seconds,
        "sustained_seconds": 60 * request.sustained_minutes,
    }
    files, note = {"model": model}, None
    if request.image:
        spec, note = _preprocessing(model, graph, request.preprocessing)
        job["preprocessing"], files["image"] = spec.to_json(), request.image
    with steps.step(f"{model.name}, threads {threads}"):
        return Measurement(model, threads, jobs.result(run(job, files), steps), note)


def _preprocessing(model: Path, graph: Graph, given: Sized | None) -> tuple[PreprocessingSpec, str | None]:
    """That of a model which may run on a board's delegate only: its file tells its input, without a runtime."""
    inputs, _ = endpoints(graph)
    shape = inputs[0].shape if len(inputs) == 1 else ()
    if len(shape) != 4 or shape[0] != 1 or shape[3] != 3:
        raise ModelError(f"{model}: an image needs a model with one input of shape (1, height, width, 3)")
    described = manifest.read(model)
    return find_preprocessing(inputs[0], described, metadata.hint(graph)[0], given)


def _profile(request: Request, model: Path, graph: Graph, steps: Steps, run: jobs.Run) -> Profile:
    from lite_toolkit.tflite import surgery  # needs ai-edge-litert, which measuring does not

    main, indices = graph.subgraphs[0], []
    options = dict(request.delegate_options)
    job = {"job": "profile", "delegate": request.delegate, "delegate_options": options, "seconds": request.seconds}
    with steps.step(f"{model.name}, operators"), tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "operators.zip"
        with zipfile.ZipFile(archive, "w") as writer:
            for index, operator in surgery.operators(graph.content):
                writer.writestr(f"{index:06}.tflite", operator)
                indices.append(index)
        result = jobs.result(run(job, {"model": model, "operators": archive}), steps)
    operators = (main.operators[index] for index in indices)
    named = zip(operators, result["operators"], strict=True)
    times = (OperatorTime(one.index, layer_name(main, one), one.name, taken) for one, taken in named)
    return Profile(model, tuple(times), result["model"])
