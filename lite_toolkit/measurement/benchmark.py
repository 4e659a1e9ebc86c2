"""Latency of models: one process for each model and number of threads, so that cold start and memory are its own."""

import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from lite_toolkit.devices import jobs
from lite_toolkit.edgetpu.compiled import for_delegate
from lite_toolkit.errors import ModelError
from lite_toolkit.images.files import read_image
from lite_toolkit.images.preprocessing import PreprocessingSpec, Sized
from lite_toolkit.measurement.description import endpoints, find_preprocessing
from lite_toolkit.measurement.latency import Environment, Measurement, Operator, Profile, Times
from lite_toolkit.measurement.stability import doubts
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
class Benchmark:
    """All that was measured, and where."""

    environment: Environment
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
    found = [_measure(request, model, graphs[model], threads, steps, run) for model, threads in pairs]
    profiled = graphs.items() if request.profile else ()
    profiles = tuple(_profile(request, model, graph, steps, run) for model, graph in profiled)
    return Benchmark(found[0][0], tuple(measurement for _, measurement in found), profiles)


def _measure(
    request: Request, model: Path, graph: Graph, threads: int, steps: Steps, run: jobs.Run
) -> tuple[Environment, Measurement]:
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
        result = jobs.result(run(job, files), steps)
    environment = Environment(**result["environment"] | {"governors": tuple(result["environment"]["governors"])})
    measurement = Measurement.of(model, threads, result, note)
    return environment, replace(measurement, doubts=tuple(doubts(measurement, environment)))


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
    times = (
        Operator.of(taken, index=one.index, layer=layer_name(main, one), operator=one.name) for one, taken in named
    )
    return Profile(model.name, 1, Times.of(result["model"]), tuple(times))
