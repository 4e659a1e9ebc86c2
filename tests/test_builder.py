"""The built Keras model against the spec, for every variant."""

import math
from typing import Any

import numpy as np
import pytest

from lite_toolkit.errors import LiteToolkitError
from lite_toolkit.images.preprocessing import google_lite
from lite_toolkit.networks import costs
from lite_toolkit.networks.architectures import VARIANTS, ModelSpec, custom

pytest.importorskip("tensorflow", reason='needs the extra: pip install ".[convert]"')

from lite_toolkit.networks.backend import keras
from lite_toolkit.networks.builder import build, endpoints, features
from lite_toolkit.networks.modules import keras_layers

MADDS_MILLIONS = {"lite0": 385.2, "lite1": 600.2, "lite2": 859.7, "lite3": 1383.3, "lite4": 2553.0}


def multiply_adds(model: Any) -> int:
    """Counted from the shapes of the built layers alone."""
    count = 0
    for layer in model.layers:
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            count += math.prod(layer.output.shape[1:]) * math.prod(layer.kernel.shape[:2])
        elif isinstance(layer, keras.layers.Conv2D):
            count += math.prod(layer.output.shape[1:]) * math.prod(layer.kernel.shape[:3])
        elif isinstance(layer, keras.layers.Dense):
            count += math.prod(layer.kernel.shape)
    return count


@pytest.mark.parametrize("name", VARIANTS)
def test_the_model_has_the_layers_of_its_spec(name: str) -> None:
    spec = VARIANTS[name]
    model = build(spec)
    assert model.input_shape == (None, spec.resolution, spec.resolution, 3)
    assert model.output_shape == (None, 1000)
    cost = costs.total(spec)
    assert model.count_params() == cost.params
    assert sum(math.prod(weight.shape) for weight in model.trainable_weights) == cost.trainable
    assert multiply_adds(model) == cost.madds
    for layer in spec.layers():
        built = model.get_layer(layer.name)
        assert (built.output.shape[-1], built.use_bias) == (layer.outputs, layer.bias)
    if name in MADDS_MILLIONS:
        assert round(multiply_adds(model) / 1e6, 1) == MADDS_MILLIONS[name]


@pytest.fixture(scope="module")
def lite0() -> Any:
    return build(VARIANTS["lite0"], input_shape=(64, 96, 3), classes=7)


def test_softmax_gives_probabilities_and_none_logits(lite0: Any) -> None:
    image = np.random.default_rng(0).normal(size=(2, 64, 96, 3)).astype(np.float32)
    logits = build(VARIANTS["lite0"], input_shape=(64, 96, 3), classes=7, activation="none")(image).numpy()
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(lite0(image).numpy(), expected, atol=1e-6)


def test_without_top_the_last_map_or_its_average() -> None:
    spec = VARIANTS["lite0"]
    image = np.random.default_rng(0).normal(size=(1, 64, 64, 3)).astype(np.float32)
    maps = build(spec, classes=None, input_shape=(64, 64, 3))(image).numpy()
    pooled = build(spec, classes=None, pooling=True, input_shape=(64, 64, 3))(image).numpy()
    assert maps.shape == (1, 2, 2, 1280)
    np.testing.assert_allclose(pooled, maps.mean(axis=(1, 2)), atol=1e-5)


@pytest.mark.parametrize("name", ["lite0", "b0", "es"])
def test_pyramid_levels_halve_and_stages_match_the_table(name: str) -> None:
    spec = VARIANTS[name]
    model = build(spec, input_shape=(64, 64, 3))
    names = list(endpoints(spec))
    maps = features(model, spec, [*names, "pooled"])(np.zeros((1, 64, 64, 3), np.float32))
    assert [maps[f"P{level}"].shape[1] for level in range(1, 6)] == [32, 16, 8, 4, 2]
    assert maps["P5"].shape[-1] == maps["pooled"].shape[-1] == spec.head_filters
    for number in range(1, len(spec.stages) + 1):
        last = [block for block in spec.blocks if block.stage == number][-1]
        assert maps[f"stage{number}"].shape[-1] == last.outputs
        np.testing.assert_array_equal(maps[f"stage{number}"], maps[last.name])


def test_an_unknown_feature_map_lists_the_known(lite0: Any) -> None:
    with pytest.raises(LiteToolkitError, match=r"'P6'.*P1.*top.*pooled"):
        features(lite0, VARIANTS["lite0"], ["P6"])


def test_equal_seeds_give_equal_weights() -> None:
    first, again, other = (build(VARIANTS["lite0"], seed=seed, input_shape=(32, 32, 3)) for seed in (1, 1, 2))
    kernels = [model.get_layer("block3b_dwconv").kernel.numpy() for model in (first, again, other)]
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert np.abs(kernels[0] - kernels[2]).max() > 0.1


@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_a_fresh_classifier_has_no_opinion(classes: int) -> None:
    """Its first loss is that of guessing, ln(classes), on features as large as those of lite0's trained weights."""
    head = build(VARIANTS["lite0"], classes=classes, input_shape=(32, 32, 3)).get_layer("predictions")
    generator = np.random.default_rng(0)
    features = np.abs(generator.normal(0, 0.41, (200, 1280))).astype(np.float32)
    logits = features @ head.kernel.numpy() + head.bias.numpy()
    truth = generator.integers(0, classes, 200)
    loss = np.log(np.exp(logits).sum(1)) - logits[np.arange(200), truth]
    assert loss.mean() == pytest.approx(np.log(classes), rel=0.06)


@pytest.mark.parametrize(
    ("variant", "layer", "fan_out"),
    [
        ("lite0", "stem_conv", 3 * 3 * 32),
        ("lite0", "block5a_dwconv", 5 * 5),  # one output for each channel
        ("lite0", "top_conv", 1280),
        ("es", "block2a_expand_conv", 3 * 3 * 192),
        ("b0", "block7a_se_expand", 1152),
    ],
)
def test_convolutions_start_as_in_the_tpu_repository(variant: str, layer: str, fan_out: int) -> None:
    """Its `conv_kernel_initializer`: a standard deviation of sqrt(2 / fan_out)."""
    kernel = build(VARIANTS[variant], input_shape=(32, 32, 3)).get_layer(layer).kernel.numpy()
    assert kernel.mean() == pytest.approx(0, abs=0.1 * float(kernel.std()))
    assert kernel.std() == pytest.approx(np.sqrt(2 / fan_out), rel=0.05)


def test_rescaling_takes_pixels() -> None:
    spec, pixels = VARIANTS["lite0"], np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3)).astype(np.float32)
    plain = build(spec, input_shape=(64, 64, 3))
    rescaling = build(spec, input_shape=(64, 64, 3), include_rescaling=google_lite(64))
    kerascv = build(spec, input_shape=(64, 64, 3), include_rescaling=True)
    np.testing.assert_allclose(rescaling(pixels), plain((pixels - 127) / 128), rtol=1e-4)
    np.testing.assert_allclose(kerascv(pixels), plain(pixels / 255), rtol=1e-4)


def test_input_tensor_and_open_sizes() -> None:
    spec = VARIANTS["lite0"]
    tensor = keras.Input((48, 80, 3))
    assert build(spec, input_tensor=tensor).input_shape == (None, 48, 80, 3)
    open_sized = build(spec, input_shape=(None, None, 3))
    assert open_sized(np.zeros((1, 33, 57, 3), np.float32)).shape == (1, 1000)


def test_a_custom_network_has_any_stages() -> None:
    spec = custom(
        stackwise_kernel_sizes=[3, 5],
        stackwise_num_repeats=[2, 1],
        stackwise_input_filters=[16, 24],
        stackwise_output_filters=[24, 40],
        stackwise_expansion_ratios=[1, 4],
        stackwise_strides=[2, 2],
        activation="relu",
        dropout_rate=0,
        drop_connect_rate=0,
        head=64,
    )
    model = build(spec, input_shape=(32, 32, 3), classes=3)
    assert model.count_params() == costs.total(spec, 3).params
    assert model(np.zeros((1, 32, 32, 3), np.float32)).shape == (1, 3)
    assert not any(isinstance(layer, keras.layers.Dropout) for layer in model.layers)


def test_stochastic_depth_drops_whole_samples_while_training() -> None:
    spec = ModelSpec("steep", VARIANTS["lite0"].stages[:2], activation="relu6", drop_connect=0.75)
    model = build(spec, input_shape=(32, 32, 3), classes=None)
    drop = keras.Model(model.input, model.get_layer("block2b_drop").output)  # the last of three: rate 2/3 of 0.75
    outputs = drop(np.ones((64, 32, 32, 3), np.float32), training=True).numpy()
    dropped = np.array([not sample.any() for sample in outputs])
    assert 0 < dropped.sum() < 64
    assert drop(np.ones((1, 32, 32, 3), np.float32), training=False).numpy().any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": 0}, "classes 0"),
        ({"activation": "sigmoid"}, "activation 'sigmoid'"),
        ({"input_shape": (31, 64, 3)}, "at least 32"),
        ({"input_shape": (64, 64, 1)}, r"must be \(height, width, 3\)"),
    ],
)
def test_what_cannot_be_built_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(LiteToolkitError, match=message):
        build(VARIANTS["lite0"], **options)


@pytest.mark.parametrize("name", ["b0", "b3"])
def test_keras_applications_has_the_layers_that_are_counted(name: str) -> None:
    network = getattr(keras.applications, f"EfficientNet{name.upper()}")
    model = network(include_top=False, weights=None, input_shape=(32, 32, 3), name=name)
    assert {layer.name for layer in model.layers[3:]} == set(list(keras_layers(VARIANTS[name]))[3:])
    assert [type(layer).__name__ for layer in model.layers[:3]] == ["InputLayer", "Rescaling", "Normalization"]
