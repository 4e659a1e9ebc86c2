"""The layer walk: what it chooses, what it leaves alone, and what it is worth."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from lite_toolkit.conversion import pipeline
from lite_toolkit.errors import RecipeError
from lite_toolkit.images.preprocessing import google_lite
from lite_toolkit.measurement import validation
from lite_toolkit.quantization import recipes
from lite_toolkit.runtime.interpreter import Model
from lite_toolkit.tflite.graph import read_graph

pytest.importorskip("tensorflow", reason='needs the extra: pip install ".[convert]"')

from lite_toolkit.conversion.float_model import from_keras, to_tflite
from lite_toolkit.networks.backend import keras
from lite_toolkit.quantization import operators
from lite_toolkit.quantization.quantizer import quantize
from lite_toolkit.quantization.ranges import search, search_scores, steps
from lite_toolkit.quantization.walk import choose_parameters
from lite_toolkit.quantization.writer import with_parameters

Convert = Callable[..., pipeline.Conversion]
LIMITS = (-127 / 128, 1.0)


def images(count: int, seed: int = 0, size: int = 64) -> np.ndarray:
    """Smooth random fields, in -1..1."""
    coarse = np.random.default_rng(seed).uniform(-1, 1, (count, 8, 8, 3))
    return coarse.repeat(size // 8, 1).repeat(size // 8, 2).astype(np.float32)


@pytest.fixture(scope="module", params=["lite0", "b0", "es"])
def float_model(request: pytest.FixtureRequest, convert: Convert) -> bytes:
    return convert(request.param, "float32").files[0].path.read_bytes()


def test_operators_compute_what_the_runtime_does(float_model: bytes) -> None:
    network, image = operators.Network(float_model), images(1)
    live = {network.graph.inputs[0]: image}
    for operator in network.graph.operators:
        live |= network.outputs(operator, live)
    expected = Model(float_model).scores(image[0])
    np.testing.assert_allclose(live[network.graph.outputs[0]][0], expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (5, 5)])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("size", [7, 8])
def test_patches_are_those_that_a_convolution_multiplies(
    kernel: tuple[int, int], stride: int, padding: str, size: int
) -> None:
    from lite_toolkit.tflite.graph import Operator

    shared = {
        "padding": padding,
        "stride_h": stride,
        "stride_w": stride,
        "dilation_h_factor": 1,
        "dilation_w_factor": 1,
    }
    operator = Operator(0, "CONV_2D", 1, (0, 1, 2), (3,), shared)
    x = np.random.default_rng(0).normal(size=(2, size, size, 3)).astype(np.float32)
    weights = np.random.default_rng(1).normal(size=(4, *kernel, 3)).astype(np.float32)
    patches = operators.sample_patches(operator, x, kernel, 10**6, seed=0)
    products = patches.reshape(len(patches), -1) @ weights.reshape(4, -1).T
    expected = operators.linear(operator, x, weights).reshape(-1, 4)
    assert len(products) == len(expected)
    np.testing.assert_allclose(np.sort(products, axis=0), np.sort(expected, axis=0), atol=1e-4)


def test_a_perfect_layer_is_left_as_it_is(convert: Convert) -> None:
    """16-bit activations leave nothing to correct where the weights are on their steps already."""
    float_model = convert("lite0", "float32").files[0].path.read_bytes()
    nearest = recipes.Recipe("nearest", "int16x8", rounding="nearest", corrections=("bias",))
    on_grid = with_parameters(float_model, choose_parameters(float_model, images(4), LIMITS, nearest))
    both = recipes.Recipe("both", "int16x8", rounding="nearest", corrections=("inputs", "slope", "bias"))
    graph = read_graph(on_grid).subgraphs[0]
    chosen = choose_parameters(on_grid, images(4), LIMITS, both)
    for index, weights in chosen.weights.items():
        stored = graph.tensors[graph.operators[index].inputs[1]].data()
        np.testing.assert_allclose(weights, stored, rtol=1e-3, atol=1e-6 * np.abs(stored).max())


@pytest.mark.parametrize(
    "batch",
    [images(1), np.zeros((3, 64, 64, 3), np.float32), np.ones((2, 64, 64, 3), np.float32)],
    ids=["single", "black", "white"],
)
def test_single_and_constant_images_give_finite_parameters(convert: Convert, batch: np.ndarray) -> None:
    float_model = convert("lite0", "float32").files[0].path.read_bytes()
    chosen = choose_parameters(float_model, batch, LIMITS, recipes.load("int8"))
    assert all(np.isfinite(values).all() for values in (*chosen.weights.values(), *chosen.biases.values()))
    assert np.isfinite(list(chosen.ranges.values())).all()


def test_without_damping_inputs_must_not_depend_on_each_other(tiny: keras.Model) -> None:
    """Of an image of one colour, every input of the convolution is the same."""
    float_model = to_tflite(from_keras(tiny), "logits")
    undamped = replace(recipes.load("int8"), damping=0.0)
    with pytest.raises(RecipeError, match="damping 0 is too small for operator 0 CONV_2D"):
        choose_parameters(float_model, np.ones((2, 32, 32, 3), np.float32), LIMITS, undamped)


def test_the_walk_is_worth_its_time(convert: Convert) -> None:
    """GPTQ and its corrections beat rounding to nearest, with and without corrections, on images not seen before."""
    float_model = convert("lite0", "float32").files[0].path.read_bytes()
    calibration, unseen = images(40, seed=1), images(20, seed=2)
    reference = validation.scores(float_model, unseen)

    def sqnr(recipe: str) -> float:
        quantized = quantize(float_model, recipes.load(recipe), google_lite(64), calibration, "int8")
        found = validation.compare(reference, validation.scores(quantized, unseen)).sqnr_db
        assert found is not None
        return found

    assert sqnr("int8") > max(sqnr("int8-fast"), sqnr("int8-minmax"))


def test_squared_error_clips_heavy_tails_and_minmax_does_not() -> None:
    values = np.random.default_rng(0).standard_t(3, 50_000).astype(np.float32)
    low, high = search(values, "minmax")
    assert (low, high) == (values.min(), values.max())
    clipped_low, clipped_high = search(values, "mse")
    assert low < clipped_low < 0 < clipped_high < high


def test_the_range_of_scores_serves_their_differences() -> None:
    """Against every range with both ends on a grid, by the error that is left without each image's mean error."""
    generator = np.random.default_rng(0)
    scores = (generator.normal(size=(20, 200)) + generator.exponential(2, (20, 200)) ** 1.5).astype(np.float32)

    def error(low: float, high: float) -> float:
        scale, zero_point = steps((low, high))
        rounded = (np.clip(np.rint(scores / scale) + zero_point, -128, 127) - zero_point) * scale
        return float(np.square(rounded - scores - (rounded - scores).mean(1, keepdims=True)).mean())

    ends = np.linspace(0.3, 1, 15)
    best = min(error(scores.min() * low, scores.max() * high) for low in ends for high in ends)
    assert error(*search_scores(scores, "logits")) <= 1.02 * best


@pytest.mark.parametrize("limits", [(0.0, 6.0), (-3.0, 1.0), (0.0, 0.0), (2.0, 5.0), (-5.0, -2.0)])
def test_zero_is_a_step_of_every_range(limits: tuple[float, float]) -> None:
    scale, zero_point = steps(limits)
    assert scale > 0
    assert -128 <= zero_point <= 127
    assert (-128 - zero_point) * scale <= max(limits[0], 0) + scale / 2
    assert (127 - zero_point) * scale >= min(limits[1], 0) - scale / 2
