"""Float `.tflite` -> quantized `.tflite`: observe ranges, write the file, set the types of its ends."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lite_toolkit.images.preprocessing import PreprocessingSpec
from lite_toolkit.progress import Steps
from lite_toolkit.quantization.boundary import set_types
from lite_toolkit.quantization.headroom import widened
from lite_toolkit.quantization.operators import is_linear
from lite_toolkit.quantization.parameters import Parameters, with_parameters
from lite_toolkit.quantization.precision import in_float, named
from lite_toolkit.quantization.ranges import Range, first_sum
from lite_toolkit.quantization.recipes import InputOutput, Recipe
from lite_toolkit.quantization.recording import observe
from lite_toolkit.quantization.walk import choose_parameters
from lite_toolkit.quantization.writer import write
from lite_toolkit.tflite.graph import Subgraph, read_graph

__all__ = ["quantize"]


def quantize(
    float_model: bytes,
    recipe: Recipe,
    preprocessing: PreprocessingSpec,
    images: Sequence[NDArray[np.float32]] = (),
    io: InputOutput = "float32",
    steps: Steps | None = None,
) -> bytes:
    """Quantize a float32 `.tflite` of one image input by a recipe.

    Args:
        float_model: the content of the file.
        recipe: how.
        preprocessing: what the model's input is; it fixes the scale and zero point of a quantized input.
        images: normalised float32 (height, width, 3), for the formats that are calibrated.
        io: dtype of input and output; formats that are not calibrated keep float32.
        steps: shows progress.

    Returns:
        The content of the quantized file; equal arguments give equal bytes.

    Raises:
        ModelError: the model has an operator that the recipe cannot quantize.
        RecipeError: the recipe keeps a layer in float that the model does not have.
    """
    return next(choices(float_model, recipe, preprocessing, images, io, steps))[1]


def choices(
    float_model: bytes,
    recipe: Recipe,
    preprocessing: PreprocessingSpec,
    images: Sequence[NDArray[np.float32]] = (),
    io: InputOutput = "float32",
    steps: Steps | None = None,
) -> Iterator[tuple[Recipe, bytes]]:
    """As `quantize`; and then, where the recipe walks, the model by the classic recipe, on what the walk has observed.

    Yields:
        A recipe, and the content of the file that it makes.
    """
    graph = read_graph(float_model).subgraphs[0]
    if not recipe.calibrated:
        kept = _outputs(graph, named(graph, recipe.in_float))
        yield recipe, write(float_model, recipe.format, recipe.granularity, {}, kept)
        return
    input_range = _input_range(preprocessing, recipe)
    if not recipe.walks:
        known = first_sum(graph, input_range) if recipe.format == "int8" else {}
        chosen = Parameters(ranges=observe(float_model, images, input_range, steps) | known)
        yield recipe, _calibrated(float_model, chosen, recipe, io)
        return
    chosen = choose_parameters(float_model, images, input_range, recipe, steps)
    yield recipe, _calibrated(with_parameters(float_model, chosen), chosen, recipe, io)
    yield recipe.classic, _calibrated(float_model, Parameters(ranges=chosen.extents), recipe.classic, io)


def _calibrated(float_model: bytes, chosen: Parameters, recipe: Recipe, io: InputOutput) -> bytes:
    """The quantized file of a model with the chosen parameters in it."""
    graph = read_graph(float_model).subgraphs[0]
    kept = in_float(graph, recipe)
    if (recipe.format, recipe.granularity) == ("int8", "channel"):
        float_model = _with_headroom(float_model, chosen.ranges, kept)
    written = write(float_model, recipe.format, recipe.granularity, chosen.ranges, _outputs(graph, kept))
    return set_types(written, io, chosen.ranges)


def _outputs(graph: Subgraph, kept: frozenset[int]) -> list[str]:
    """The names of what operators write, which belong to one operator each."""
    return [graph.tensors[graph.operators[index].outputs[0]].name for index in sorted(kept)]


def _with_headroom(float_model: bytes, ranges: Mapping[str, Range], kept: frozenset[int]) -> bytes:
    """The model with room in int32 for the biases of its int8 layers."""
    graph = read_graph(float_model).subgraphs[0]
    wider = Parameters()
    for operator in graph.operators:
        if is_linear(operator, graph) and operator.index not in kept:
            weights = widened(graph, operator, ranges[graph.tensors[operator.inputs[0]].name])
            if weights is not None:
                wider.weights[operator.index] = weights
    return with_parameters(float_model, wider) if wider.weights else float_model


def _input_range(preprocessing: PreprocessingSpec, recipe: Recipe) -> Range:
    """The real values at both ends of the quantized input, which are the same for every image."""
    dtype: Literal["int8", "int16"] = "int8" if recipe.format == "int8" else "int16"
    scale, zero_point = preprocessing.quantization(dtype)
    limits = np.iinfo(dtype)
    return (limits.min - zero_point) * scale, (limits.max - zero_point) * scale
