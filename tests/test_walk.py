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
from lite_toolkit.runtime.interpreter import Model, interpreter
from lite_toolkit.tflite.graph import Operator, Subgraph, Tensor, read_graph

pytest.importorskip("tensorflow", reason='needs the extra: pip install ".[convert]"')

from lite_toolkit.conversion.float_model import from_keras, to_tflite
from lite_toolkit.networks.backend import keras, tf
from lite_toolkit.quantization import moments, operators
from lite_toolkit.quantization.operators import Activation
from lite_toolkit.quantization.parameters import with_parameters
from lite_toolkit.quantization.quantizer import quantize
from lite_toolkit.quantization.ranges import search, search_scores, steps
from lite_toolkit.quantization.recording import record
from lite_toolkit.quantization.walk import choose_parameters

Convert = Callable[..., pipeline.Conversion]
LIMITS = (-127 / 128, 1.0)


def images(count: int, seed: int = 0, size: int = 64) -> np.ndarray:
    """Smooth random fields, in -1..1."""
    coarse = np.random.default_rng(seed).uniform(-1, 1, (count, 8, 8, 3))
    return coarse.repeat(size // 8, 1).repeat(size // 8, 2).astype(np.float32)


@pytest.fixture(scope="module", params=["lite0", "b0", "es"])
def float_model(request: pytest.FixtureRequest, convert: Convert) -> bytes:
    return convert(request.param, "float32").files[0].path.read_bytes()


def test_operators_one_by_one_compute_what_the_network_does(float_model: bytes) -> None:
    network = operators.Network(float_model)
    image = images(1)
    live = {network.graph.inputs[0]: Activation(image)}
    for operator in network.graph.operators:
        live |= network.outputs(operator, live)
    expected = Model(float_model).scores(image[0])
    np.testing.assert_allclose(live[network.graph.outputs[0]].stored[0], expected, atol=1e-4 * np.abs(expected).max())


def test_rounded_activations_are_the_nearest_steps(float_model: bytes) -> None:
    """Of every output, where the operator reads exact values; a value between two steps may go to either."""
    network = operators.Network(float_model)
    live = {network.graph.inputs[0]: Activation(images(2))}
    for operator in network.graph.operators:
        made = network.outputs(operator, live)
        for tensor, exact in made.items():
            limits = float(exact.stored.min()), float(exact.stored.max())
            stored = network.outputs(operator, live, {tensor: limits})[tensor]
            assert stored.stored.dtype == np.int8
            assert np.abs(stored.real() - exact.stored).max() <= 0.501 * steps(limits)[0]
        live |= made


@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (5, 5)])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("size", [7, 8])
def test_taps_are_what_a_convolution_multiplies(kernel: tuple[int, int], stride: int, padding: str, size: int) -> None:
    x = np.random.default_rng(0).normal(size=(2, size, size, 3)).astype(np.float32)
    weights = np.random.default_rng(1).normal(size=(4, *kernel, 3)).astype(np.float32)
    expected = np.asarray(tf.nn.conv2d(x, weights.transpose(1, 2, 3, 0), stride, padding))
    operator, graph = layer("CONV_2D", x.shape, weights, expected.shape, padding, stride)
    seen = operators.taps(operator, graph, 10**6).of(Activation(x)).stored
    products = seen.reshape(*seen.shape[:2], -1) @ weights.reshape(4, -1).T
    np.testing.assert_allclose(products, Activation(expected).at(10**6).stored, atol=1e-4)


def test_taps_outside_an_image_are_zero_in_steps_too() -> None:
    x, weights = np.full((1, 4, 4, 1), 0.5, np.float32), np.ones((1, 3, 3, 1), np.float32)
    operator, graph = layer("CONV_2D", x.shape, weights, (1, 4, 4, 1), "SAME", 1)
    taps = operators.taps(operator, graph, 16)
    exact, stored = taps.of(Activation(x)).real(), taps.of(operators.quantized(x, (-1.0, 0.5))).real()
    assert (exact == 0).any()
    np.testing.assert_allclose(stored, exact, atol=0.5 * 1.5 / 255)
    np.testing.assert_array_equal(stored == 0, exact == 0)


@pytest.mark.parametrize("name", ["CONV_2D", "DEPTHWISE_CONV_2D"])
def test_moments_are_those_of_all_places(name: str) -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(1, 2, (3, 6, 6, 4)).astype(np.float32)
    depthwise = name == "DEPTHWISE_CONV_2D"
    weights = generator.normal(size=(1, 3, 3, 8) if depthwise else (5, 3, 3, 4)).astype(np.float32)
    kernel = weights.reshape(3, 3, 4, 2) if depthwise else weights.transpose(1, 2, 3, 0)
    y = np.asarray((tf.nn.depthwise_conv2d if depthwise else tf.nn.conv2d)(x, kernel, [1, 1, 1, 1], "SAME"))
    operator, graph = layer(name, x.shape, weights, y.shape, "SAME", 1)
    exact = Activation(y + generator.normal(size=y.shape).astype(np.float32)).at(36).stored
    found = moments.of(operator, graph, Activation(x), exact)
    flat, truth = Activation(y).at(36).stored.reshape(-1, y.shape[-1]), exact.reshape(-1, y.shape[-1])
    np.testing.assert_allclose(found.product_mean(weights), flat.mean(0), rtol=1e-3, atol=1e-4)
    covariance = (flat * (truth - truth.mean(0))).mean(0)
    np.testing.assert_allclose(found.slopes(weights), covariance / truth.var(0), rtol=1e-3)
    rows = weights.reshape(-1, 8).T if depthwise else weights.reshape(5, -1)
    power = np.einsum(
        "on,onm,om->o", rows, np.broadcast_to(found.squares, (len(rows), *found.squares.shape[-2:])), rows
    )
    np.testing.assert_allclose(power, flat.var(0), rtol=1e-3)


def test_the_record_holds_what_the_network_computes(float_model: bytes) -> None:
    """Extents of all places of all images, behind the fused activation; samples before it."""
    graph, batch = read_graph(float_model).subgraphs[0], images(3)
    counts = {operator.outputs[0]: 10**6 for operator in graph.operators}
    found = record(float_model, batch, counts, {})
    whole = interpreter(float_model, keep_all=True)
    values: dict[int, list[np.ndarray]] = {index: [] for index in counts}
    for image in batch:
        whole.set_tensor(graph.inputs[0], image[np.newaxis])
        whole.invoke()
        for index, seen in values.items():
            seen.append(whole.get_tensor(index))
    for operator in graph.operators:
        index, bounds = operator.outputs[0], operators.bounds(operator)
        expected = np.stack(values[index])
        near = 1e-4 * max(1.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(found.extents[index], (expected.min(), expected.max()), atol=near)
        behind = np.clip(found.samples[index], *bounds)
        np.testing.assert_allclose(behind, Activation(expected).at(10**6).stored, atol=near)
    assert any(
        found.samples[operator.outputs[0]].min() < 0 for operator in graph.operators if operator.name == "CONV_2D"
    )


def layer(
    name: str, source: tuple[int, ...], weights: np.ndarray, output: tuple[int, ...], padding: str, stride: int
) -> tuple[Operator, Subgraph]:
    """A graph of one convolution."""
    options: dict[str, str | int] = {"padding": padding, "stride_h": stride, "stride_w": stride}
    options |= {"dilation_h_factor": 1, "dilation_w_factor": 1}
    shapes = ((1, *source[1:]), weights.shape, (1, *output[1:]))
    tensors = tuple(
        Tensor(index, str(index), shape, "float32", shape, None, False, 0, memoryview(b""))
        for index, shape in enumerate(shapes)
    )
    operator = Operator(0, name, 1, (0, 1), (2,), options)
    return operator, Subgraph("main", tensors, (0,), (2,), (operator,))


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
    """Of images of one colour, every input of the convolution is the same."""
    float_model = to_tflite(from_keras(tiny), "logits")
    undamped = replace(recipes.load("int8"), damping=0.0)
    with pytest.raises(RecipeError, match="damping 0 is too small for operator 0 CONV_2D"):
        choose_parameters(
            float_model, np.stack([np.full((32, 32, 3), grey, np.float32) for grey in (0.5, 1)]), LIMITS, undamped
        )


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
    reached = float(values.min()), float(values.max())
    low, high = search(values, "minmax", reached)
    assert (low, high) == (values.min(), values.max())
    clipped_low, clipped_high = search(values, "mse", reached)
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
    assert error(*search_scores(scores)) <= 1.02 * best


@pytest.mark.parametrize("limits", [(0.0, 6.0), (-3.0, 1.0), (0.0, 0.0), (2.0, 5.0), (-5.0, -2.0)])
def test_zero_is_a_step_of_every_range(limits: tuple[float, float]) -> None:
    scale, zero_point = steps(limits)
    assert scale > 0
    assert -128 <= zero_point <= 127
    assert (-128 - zero_point) * scale <= max(limits[0], 0) + scale / 2
    assert (127 - zero_point) * scale >= min(limits[1], 0) - scale / 2
