"""Networks by everybody's names and configurations answer what their owners' answer, and refuse what they cannot be."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import fill
import numpy as np
import pytest
from PIL import Image

pytest.importorskip("tensorflow", reason="building a network needs TensorFlow")
safetensors_numpy = pytest.importorskip("safetensors.numpy")

import lite_toolkit  # noqa: E402
from lite_toolkit.errors import LiteToolkitError, UnknownVariantError, WeightsError  # noqa: E402
from lite_toolkit.networks.architectures import VARIANTS  # noqa: E402
from lite_toolkit.networks.builder import features, loss  # noqa: E402
from lite_toolkit.weights import presets  # noqa: E402

GOLDEN = Path(__file__).parent / "golden"


RECORDINGS: dict[str, Any] = json.loads((GOLDEN / "configurations.json").read_text())


def saved(name: str, folder: Path) -> Path:
    """What transformers' `save_pretrained` leaves of a recorded network."""
    recorded = RECORDINGS[name]
    (folder / "config.json").write_text(json.dumps(recorded["config"]))
    safetensors_numpy.save_file(fill.filled(recorded), folder / "model.safetensors")
    return folder


def image(name: str) -> np.ndarray:
    config = RECORDINGS[name]["config"]
    size = config["image_size"]
    return fill.image(*(size if isinstance(size, list) else [size] * 2), config["num_channels"])


@pytest.mark.parametrize("name", RECORDINGS)
def test_transformers_configurations(name: str, tmp_path: Path) -> None:
    model = lite_toolkit.from_preset(saved(name, tmp_path), activation="none")
    answer = np.asarray(model(image(name), training=False))[0]
    np.testing.assert_allclose(answer, RECORDINGS[name]["logits"], rtol=0, atol=1e-4)


@pytest.fixture(scope="module")
def grey(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved("grey", tmp_path_factory.mktemp("grey"))


@pytest.mark.parametrize("name", ["max", "odd padded"])
def test_the_features_are_what_transformers_gives(name: str, tmp_path: Path) -> None:
    recorded, model = RECORDINGS[name], lite_toolkit.from_preset(saved(name, tmp_path), activation="none")
    spec = presets.find(tmp_path)[0].spec
    named = ["last_hidden_state", "pooler_output", "hidden_states", "logits"]
    found = features(model, spec, named)(image(name), training=False)
    assert tuple(found["last_hidden_state"].shape) == tuple(recorded["last_hidden_state"][at] for at in (0, 2, 3, 1))
    means = [np.mean(state, (0, 1, 2))[:4] for state in found["hidden_states"]]
    np.testing.assert_allclose(means, recorded["hidden_states"], rtol=0, atol=1e-4)
    np.testing.assert_allclose(found["pooler_output"][0, :4], recorded["pooled"], rtol=0, atol=1e-4)
    np.testing.assert_allclose(found["logits"][0], recorded["logits"], rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["silu", "swish"])
def test_the_loss_is_what_transformers_gives(name: str) -> None:
    """Of ten classes the cross-entropy, of one the squared error."""
    recorded = RECORDINGS[name]
    logits, label = np.array([recorded["logits"]], np.float32), np.array(recorded["label"])
    assert float(loss(logits, label)) == pytest.approx(recorded["loss"], abs=1e-5)


def test_the_loss_of_several_labels_for_each_image_is_of_each_class() -> None:
    logits, labels = np.array([[2.0, -1.0, 0.5]], np.float32), np.array([[1.0, 0.0, 1.0]])
    probabilities = 1 / (1 + np.exp(-logits))
    expected = -np.mean(labels * np.log(probabilities) + (1 - labels) * np.log(1 - probabilities))
    assert float(loss(logits, labels)) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("labels", "reason"), [([3], "label 3: must be from 0 to 2"), ([0, 1], "2 labels for 1 im")])
def test_labels_that_fit_no_class_are_refused(labels: list[int], reason: str) -> None:
    with pytest.raises(LiteToolkitError, match=reason):
        loss(np.zeros((1, 3), np.float32), np.array(labels))


def test_probabilities_are_no_logits() -> None:
    spec = dataclasses.replace(VARIANTS["lite0"], width=0.1, stages=VARIANTS["lite0"].stages[:1])
    model = lite_toolkit.build(spec, input_shape=(32, 32, 3), classes=2)
    with pytest.raises(LiteToolkitError, match="no feature map 'logits'"):
        features(model, spec, ["logits"])


def test_weights_are_left_random_where_they_are_not_asked_for(grey: Path) -> None:
    config = grey / "config.json"
    first, second = (lite_toolkit.from_preset(config, False, seed=seed).get_weights() for seed in (0, 1))
    assert [one.shape for one in first] == [one.shape for one in second]
    assert not np.array_equal(first[0], second[0])


def test_the_image_processor_beside_the_weights_may_be_any(grey: Path, tmp_path: Path) -> None:
    for file in grey.iterdir():
        (tmp_path / file.name).symlink_to(file)
    config = {
        "do_resize": False,
        "do_center_crop": True,
        "crop_size": {"height": 50, "width": 60},
        "image_mean": [0] * 3,
    }
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(config))
    lite_toolkit.from_preset(tmp_path)
    assert lite_toolkit.image_processor(tmp_path)(Image.new("RGB", (20, 30))).shape == (50, 60, 3)


def test_another_number_of_classes_starts_a_fresh_classifier(grey: Path) -> None:
    own, fresh = (lite_toolkit.from_preset(grey, classes=classes) for classes in (None, 4))
    assert (own.output_shape, fresh.output_shape) == ((None, 10), (None, 4))
    for name in ("stem_conv", "top_bn"):
        np.testing.assert_array_equal(own.get_layer(name).get_weights(), fresh.get_layer(name).get_weights())


def test_read_weights_takes_what_shapes_do_not_tell_from_the_configuration(tmp_path: Path) -> None:
    folder = saved("silu", tmp_path)
    spec = dataclasses.replace(presets.find(folder)[0].spec, activation="relu", name="mine", padding="same")
    weights = lite_toolkit.read_weights(spec, str(folder))
    assert (weights.spec.activation, weights.spec.name, weights.spec.padding) == ("silu", "mine", "trailing")
    assert weights.labels == ("cat", "dog", "grey owl")
    other = dataclasses.replace(spec, channels=1)
    with pytest.raises(WeightsError):
        lite_toolkit.read_weights(other, str(folder))


REFUSED = {
    "hidden_act": ("quick_gelu", "hidden_act 'quick_gelu': must be a text that is one of gelu"),
    "hidden_dim": (321, "hidden_dim 321: must be 320"),
    "pooling_type": ("sum", "pooling_type 'sum': must be one of mean, max"),
    "strides": ([1, 3, 1], r"strides\[1\] 3: must be one of 1, 2"),
    "kernel_sizes": ([3, 4, 3], r"kernel_sizes\[1\] 4: must be"),
    "in_channels": ([32, 16, 24], "block3a gets 16 channels: the 8 of its inputs must be as many"),
    "out_channels": ([16, 40], "the lists of the stages differ in length"),
    "num_block_repeats": ([1, 10**9, 1], "must be a whole number from 1 to 100"),
    "id2label": ({"0": "cat", "2": "dog"}, "id2label: its keys must be 0 to 1"),
}


@pytest.mark.parametrize(("key", "value", "reason"), [(key, *rest) for key, rest in REFUSED.items()])
def test_configurations_that_transformers_cannot_build_are_one_line(
    key: str, value: object, reason: str, tmp_path: Path
) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(RECORDINGS["gelu"]["config"] | {key: value}))
    with pytest.raises(WeightsError, match=reason) as refused:
        lite_toolkit.from_preset(tmp_path, load_weights=False)
    assert str(refused.value).startswith(str(file))


@pytest.mark.parametrize("name", ["efficientnetlite_b1", "efficientnet_b2a", "google/efficientnet-b1"])
def test_a_name_is_that_network_with_a_classifier(name: str) -> None:
    network, weights = presets.find(name)
    side = network.spec.resolution
    assert (network.spec, weights) == (lite_toolkit.variant(name), "imagenet")
    assert (network.classes, network.input_shape) == (1000, (side, side, 3))


def test_what_is_neither_name_nor_preset_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UnknownVariantError, match="did you mean 'efficientnetlite_b"):
        lite_toolkit.from_preset("efficientnetlite_b9")
    with pytest.raises(WeightsError, match=r"is the name of no preset, and a folder without a config\.json"):
        lite_toolkit.from_preset(tmp_path)


@pytest.mark.parametrize(
    ("architecture", "name", "conventions"),
    [
        ("tf_efficientnet_es", "es", ("same", 1e-3)),
        ("efficientnet_b6", "b6", ("symmetric", 1e-5)),
        ("efficientnet_b0", "efficientnet_b0", ("symmetric", 1e-5)),
    ],
)
def test_timms_saved_folder(architecture: str, name: str, conventions: tuple[str, float], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"architecture": architecture, "num_classes": 7}))
    network, weights = presets.find(tmp_path)
    assert (network.spec.name, network.classes, weights) == (name, 7, tmp_path)
    assert (network.spec.padding, network.spec.epsilon) == conventions


@pytest.mark.parametrize("content", ["[]", '{"model_type": "vit"}', '{"config": 3}'])
def test_configurations_of_other_networks_are_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(WeightsError, match="describes no network"):
        lite_toolkit.from_preset(tmp_path)


BACKBONES: dict[str, Any] = json.loads((GOLDEN / "backbones.json").read_text())


@pytest.mark.parametrize("name", BACKBONES)
def test_backbones_of_kerascv_and_kerashub(name: str, tmp_path: Path) -> None:
    recorded = BACKBONES[name]
    (tmp_path / "config.json").write_text(json.dumps(recorded["config"]))
    model = lite_toolkit.from_preset(tmp_path, load_weights=False)
    for layer in model.layers:
        for variable in layer.weights:
            variable.assign(fill.of_keras(layer.name, variable.name, tuple(variable.shape)))
    answer = np.asarray(model(fill.image(recorded["side"], channels=model.input_shape[-1]), training=False))[0]
    assert list(answer.shape) == recorded["shape"]
    np.testing.assert_allclose(answer[0, 0, :8], recorded["first"], rtol=0, atol=1e-4)
    np.testing.assert_allclose(answer.mean((0, 1))[:8], recorded["means"], rtol=0, atol=1e-4)


def test_kerashubs_own_names_are_known_beside_its_configuration(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(BACKBONES["hub"]["config"]))
    model = lite_toolkit.from_preset(tmp_path, load_weights=False)
    theirs = {"block1a_bn": "block1a_dwconv_bn", "block1a_project_conv": "block1a_project"}
    values = {
        f"{theirs.get(layer.name, layer.name)}/{variable.name}": np.asarray(variable)
        for layer in model.layers
        for variable in layer.weights
    }
    safetensors_numpy.save_file(values, tmp_path / "model.safetensors")
    for one, other in zip(lite_toolkit.from_preset(tmp_path).get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    (tmp_path / "config.json").unlink()
    with pytest.raises(WeightsError, match="does not fit"):
        lite_toolkit.read_weights(VARIANTS["b0"], str(tmp_path))


HUB = {
    "stackwise_block_types": (["v1", "cba", "v1"], r"stackwise_block_types\[1\] 'cba': must be one of v1, fused"),
    "stackwise_width_coefficients": ([1.0, 1.0, 2.0], "each must be of one value"),
    "include_stem_padding": (False, "stem_conv_padding must be 'valid' with include_stem_padding"),
    "stackwise_force_input_filters": ([24, 0, 0], "block1a gets 16 channels: the 12 of its inputs must be as many"),
    "projection_activation": ("glu", "projection_activation 'glu': must be one of relu6"),
    "activation": ("glu", "activation 'glu': must be one of relu6"),
    "min_depth": (32, "16 channels become 32: they must be rounded"),
}


@pytest.mark.parametrize(("key", "value", "reason"), [(key, *rest) for key, rest in HUB.items()])
def test_backbones_that_are_not_of_the_family_are_one_line(
    key: str, value: object, reason: str, tmp_path: Path
) -> None:
    config = BACKBONES["hub"]["config"]["config"] | {
        "depth_divisor": 4,
        "use_depth_divisor_as_min_depth": key != "min_depth",
        key: value,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match=reason):
        lite_toolkit.from_preset(tmp_path, load_weights=False)
