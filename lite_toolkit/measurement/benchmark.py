"""Latency of models: one process for each model and number of threads, so that cold start and memory are its own."""

import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from lite_toolkit.board.latency import LatencyJob, LatencyResult
from lite_toolkit.board.operator_times import OperatorsJob, OperatorsResult
from lite_toolkit.devices import profiles
from lite_toolkit.devices.profiles import Delegation
from lite_toolkit.edgetpu.compiled import for_delegate
from lite_toolkit.errors import ModelError, UsageError, require_range
from lite_toolkit.images.files import read_image
from lite_toolkit.images.preprocessing import PreprocessingSpec, Sized
from lite_toolkit.measurement.description import endpoints, find_preprocessing
from lite_toolkit.measurement.latency import Benchmark, Environment, Measurement, Operator, Profile, Times
from lite_toolkit.measurement.stability import doubts
from lite_toolkit.progress import Steps
from lite_toolkit.runtime import processors
from lite_toolkit.runtime.delegates import NONE, has_library
from lite_toolkit.tflite import manifest, metadata
from lite_toolkit.tflite.graph import Graph, read_graph
from lite_toolkit.tflite.layers import layer_name


@dataclass(frozen=True)
class Request:
    """What to measure.

    Attributes:
        models: `.tflite` files.
        threads: numbers of threads; each model is measured with each. None is the device's own, or 1.
        delegate, delegate_options: for `delegates.choose`, on the machine that measures; None is the device's own.
        require_full_delegation: fail where the delegate leaves a node to others.
        runs, seconds: at least so many inferences, for at least so long,
        max_seconds: but not longer.
        sustained_minutes: run on for so long, with the machine's state every second; 0 for not at all.
        image: also measure the way from this image file to the scores,
        preprocessing: prepared so; by default as the manifest says.
        profile: also measure each operator of each model.
        device: what measures, see `profiles.load`; by default this machine.

    Raises:
        UsageError: a value is out of range, or means nothing with others.
    """

    models: tuple[Path, ...]
    threads: tuple[int, ...] | None = None
    delegate: str | None = None
    delegate_options: Mapping[str, str] = field(default_factory=dict)
    require_full_delegation: bool = False
    runs: int = 50
    seconds: float = 1.0
    max_seconds: float = 150.0
    sustained_minutes: float = 0.0
    image: Path | None = None
    preprocessing: Sized | None = None
    profile: bool = False
    device: profiles.Profile = field(default_factory=profiles.here)

    def __post_init__(self) -> None:
        for option, value, low, high in (
            *(("--threads", count, 1, processors.MAXIMUM) for count in self.each_threads),
            ("--runs", self.runs, 1, 10**6),
            ("--seconds", self.seconds, 0, 3600),
            ("--max-seconds", self.max_seconds, 0.1, 86400),
            ("--sustained", self.sustained_minutes, 0, 1440),
        ):
            require_range(option, value, low, high)
        if self.preprocessing and not self.image:
            raise UsageError("--preprocessing is for --preprocess IMAGE, which is not given")
        name = self.delegation.name
        if self.require_full_delegation and name == NONE.name:
            raise UsageError("--require-full-delegation needs a delegate: --delegate none has none")
        if self.profile and has_library(name):
            raise UsageError("--profile measures operators on the processor: --delegate must be xnnpack or none")

    @property
    def each_threads(self) -> tuple[int, ...]:
        """The numbers of threads to measure with."""
        return self.threads or (self.device.threads or 1,)

    @property
    def delegation(self) -> Delegation:
        """The delegate that runs the models, on their device."""
        return self.device.delegation(self.delegate, self.delegate_options)


def benchmark(request: Request, steps: Steps | None = None) -> Benchmark:
    """Measure every model with every number of threads, where the request says.

    Args:
        request: what to measure.
        steps: shows how far it is.

    Raises:
        ModelError, ImageError: a model or the image cannot be used.
        DelegateError: an Edge TPU is to run a model that is not compiled for it.
        JobError: a measurement failed.
    """
    graphs = {model: read_graph(model) for model in request.models}
    if request.image:
        read_image(request.image)
    steps = steps or Steps()
    pairs = [(model, threads) for model in graphs for threads in request.each_threads]
    found = [_measure(request, model, graphs[model], threads, steps) for model, threads in pairs]
    profiled = graphs.items() if request.profile else ()
    operators = tuple(_profile(request, model, graph, steps) for model, graph in profiled)
    return Benchmark(request.device.name, found[0][0], tuple(measurement for _, measurement in found), operators)


def _measure(
    request: Request, model: Path, graph: Graph, threads: int, steps: Steps
) -> tuple[Environment, Measurement]:
    delegate = request.delegation
    compiled = for_delegate(model, graph, delegate.name)
    files, spec, note = {"model": model}, None, None
    if request.image:
        spec, note = _preprocessing(model, graph, request.preprocessing)
        files["image"] = request.image
    job = LatencyJob(
        threads=threads,
        delegate=delegate.name,
        delegate_options=delegate.options,
        minimum_runtime=compiled.minimum_runtime if compiled else None,
        require_full_delegation=request.require_full_delegation,
        runs=request.runs,
        seconds=request.seconds,
        max_seconds=request.max_seconds,
        sustained_seconds=60 * request.sustained_minutes,
        preprocessing=spec.to_json() if spec else None,
    )
    with steps.step(f"{model.name}, threads {threads}"), request.device.start() as session:
        found = session.result(job, files, LatencyResult, steps)
    environment = Environment(**vars(found.environment))
    measurement = Measurement.of(model, threads, found, note)
    return environment, replace(measurement, doubts=tuple(doubts(measurement, environment)))


def _preprocessing(model: Path, graph: Graph, given: Sized | None) -> tuple[PreprocessingSpec, str | None]:
    """That of a model which may run on a board's delegate only: its file tells its input, without a runtime."""
    inputs, _ = endpoints(graph)
    shape = inputs[0].shape if len(inputs) == 1 else ()
    if len(shape) != 4 or shape[0] != 1 or shape[3] not in (1, 3):
        raise ModelError(f"{model}: an image needs a model with one input of shape (1, height, width, 3 or 1)")
    described = manifest.read(model)
    return find_preprocessing(inputs[0], described, metadata.hint(graph)[0], given)


def _profile(request: Request, model: Path, graph: Graph, steps: Steps) -> Profile:
    from lite_toolkit.tflite import surgery  # needs ai-edge-litert, which measuring does not

    main, indices = graph.subgraphs[0], []
    job = OperatorsJob(request.seconds, request.delegation.name, request.delegation.options)
    with steps.step(f"{model.name}, operators"), tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "operators.zip"
        with zipfile.ZipFile(archive, "w") as writer:
            for index, operator in surgery.operators(graph.content):
                writer.writestr(f"{index:06}.tflite", operator)
                indices.append(index)
        with request.device.start() as session:
            found = session.result(job, {"model": model, "operators": archive}, OperatorsResult, steps)
    if len(found.operators) != len(indices):
        session.refuse(f"answered for {len(found.operators)} operators: must be {len(indices)}")
    operators = (main.operators[index] for index in indices)
    named = zip(operators, found.operators, strict=True)
    times = (
        Operator.of(taken, index=one.index, layer=layer_name(main, one), operator=one.name) for one, taken in named
    )
    return Profile(model.name, 1, Times.of(found.model), tuple(times))
