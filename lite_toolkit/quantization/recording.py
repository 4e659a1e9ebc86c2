"""What a float network makes of the representative images: the extent of every activation, and samples of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lite_toolkit.progress import Steps
from lite_toolkit.quantization import operators
from lite_toolkit.quantization.operators import Activation, Taps
from lite_toolkit.quantization.ranges import Range, extent
from lite_toolkit.runtime.interpreter import interpreter
from lite_toolkit.tflite.graph import Operator, Subgraph, read_graph
from lite_toolkit.tflite.surgery import expose, unfused

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Recording:
    """Activations of the float network.

    Attributes:
        extents: number of a tensor -> least and greatest value over all images, for every output of an operator.
        samples: number of a tensor -> (images, places, channels) at `operators.places`; of linear operators' outputs
            before the activation that is fused into them.
        patches: index of an operator -> (images, places, taps, channels) of its input.
    """

    extents: dict[int, Range]
    samples: Mapping[int, Array]
    patches: Mapping[int, Array]


def observe(
    float_model: bytes, images: Sequence[Array], input_range: Range, progress: Steps | None = None
) -> dict[str, Range]:
    """Smallest and largest value that each activation takes.

    Args:
        float_model: a float32 `.tflite` with one input.
        images: normalised float32 arrays of shape (height, width, 3).
        input_range: of the input itself, which is known and need not be observed.
        progress: shown over the images.

    Returns:
        Tensor name -> (min, max) over all images, for the input and the outputs of every operator.

    Raises:
        ModelError: an activation is not finite.
    """
    graph = read_graph(float_model).subgraphs[0]
    extents = {graph.inputs[0]: input_range} | record(float_model, images, progress=progress).extents
    return {graph.tensors[index].name: limits for index, limits in extents.items()}


def record(
    float_model: bytes,
    images: Sequence[Array],
    counts: Mapping[int, int] | None = None,
    taps: Mapping[int, Taps] | None = None,
    progress: Steps | None = None,
) -> Recording:
    """Run the network once.

    Args:
        float_model: a float32 `.tflite` with one input.
        images: normalised float32 arrays of shape (height, width, 3).
        counts: number of a tensor -> places of each image to keep of it.
        taps: index of an operator -> what to keep of its input.
        progress: shown over the images.

    Raises:
        ModelError: an activation is not finite.
    """
    graph = read_graph(float_model).subgraphs[0]
    counts, taps = counts or {}, taps or {}
    fused = [makers for makers in graph.operators if makers.outputs[0] in counts and _clips(makers, graph)]
    model, before = unfused(float_model, [operator.index for operator in fused])
    shown = {before.get(index, index): index for index in _computed(graph)}
    loaded = interpreter(expose(model, list(shown)))
    source, outputs = loaded.get_input_details()[0]["index"], loaded.get_output_details()
    numbers = {details["index"]: index for details, index in zip(outputs, shown.values(), strict=True)}
    bounds = {operator.outputs[0]: operators.bounds(operator) for operator in fused}
    recorder = _Recorder(graph, counts, taps, bounds, len(images))
    for number, image in enumerate((progress or Steps()).track(images, len(images))):
        loaded.set_tensor(source, image[np.newaxis])
        loaded.invoke()
        recorder.see(graph.inputs[0], image[np.newaxis], number)
        for place, index in numbers.items():
            recorder.add(index, loaded.get_tensor(place), number)
    return Recording(recorder.extents, recorder.samples, recorder.patches)


class _Recorder:
    """Gathers one image after the other; `bounds` are those of the activations behind what is recorded."""

    def __init__(
        self,
        graph: Subgraph,
        counts: Mapping[int, int],
        taps: Mapping[int, Taps],
        bounds: Mapping[int, Range],
        images: int,
    ) -> None:
        self.graph, self.counts, self.bounds, self.images = graph, counts, bounds, images
        self.readers: dict[int, list[tuple[int, Taps]]] = {}
        for index, one in taps.items():
            self.readers.setdefault(graph.operators[index].inputs[0], []).append((index, one))
        self.extents: dict[int, Range] = {}
        self.samples: dict[int, Array] = {}
        self.patches: dict[int, Array] = {}

    def add(self, tensor: int, values: Array, number: int) -> None:
        """What an operator makes of one image."""
        low, high = extent(values, f"{self.graph.tensors[tensor].name} for calibration image {number + 1}")
        least, most = self.bounds.get(tensor, operators.UNBOUNDED)
        low, high = (min(max(end, least), most) for end in (low, high))
        known = self.extents.get(tensor, (low, high))
        self.extents[tensor] = min(low, known[0]), max(high, known[1])
        if tensor in self.counts:
            self._keep(self.samples, tensor, number, Activation(values[np.newaxis]).at(self.counts[tensor]).stored)
        self.see(tensor, values, number)

    def see(self, tensor: int, values: Array, number: int) -> None:
        """What operators see of one image in a tensor."""
        for index, taps in self.readers.get(tensor, ()):
            seen = taps.of(Activation(values)).stored
            self._keep(self.patches, index, number, np.clip(seen, *self.bounds.get(tensor, operators.UNBOUNDED)))

    def _keep(self, kept: dict[int, Array], key: int, number: int, values: Array) -> None:
        if key not in kept:
            kept[key] = np.empty((self.images, *values.shape[1:]), np.float32)
        kept[key][number] = values[0]


def _clips(operator: Operator, graph: Subgraph) -> bool:
    return operators.is_linear(operator, graph) and operators.bounds(operator) != operators.UNBOUNDED


def _computed(graph: Subgraph) -> list[int]:
    """The numbers of the float tensors that operators compute."""
    outputs = [index for operator in graph.operators for index in operator.outputs]
    return [index for index in outputs if graph.tensors[index].dtype == "float32"]
