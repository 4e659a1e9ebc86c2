"""Keras models and the user's files to float .tflite."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lite_toolkit.errors import ModelError
from lite_toolkit.networks.architectures import VARIANTS
from lite_toolkit.runtime.interpreter import Model

pytest.importorskip("tensorflow", reason='needs the extra: pip install ".[convert]"')

from lite_toolkit.conversion.float_model import from_file, from_keras, to_tflite
from lite_toolkit.conversion.origin import origin_of
from lite_toolkit.conversion.request import Request
from lite_toolkit.networks.backend import keras, tf
from lite_toolkit.networks.builder import build
from lite_toolkit.progress import Steps
from lite_toolkit.quantization.recipes import default


def images(count: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(3).uniform(-1, 1, (count, height, width, 3)).astype(np.float32)


@pytest.mark.parametrize("name", ["lite0", "b0", "es"])
def test_float_tflite_computes_what_keras_does(name: str) -> None:
    model = build(VARIANTS[name], input_shape=(64, 64, 3), classes=11, activation="none")
    converted = Model(to_tflite(from_keras(model), "logits"))
    batch = images(20, 64, 64)
    scores = np.stack([converted.scores(image) for image in batch])
    assert np.abs(scores - model(batch, training=False).numpy()).max() <= 1e-5 * np.abs(scores).max()


def test_symmetric_padding_survives_conversion() -> None:
    spec = dataclasses.replace(VARIANTS["lite0"], padding="symmetric", epsilon=1e-5)
    model = build(spec, input_shape=(65, 65, 3), classes=5, activation="none")
    converted = Model(to_tflite(from_keras(model), "logits"))
    batch = images(2, 65, 65)
    scores = np.stack([converted.scores(image) for image in batch])
    assert np.abs(scores - model(batch, training=False).numpy()).max() <= 1e-5 * np.abs(scores).max()


def test_a_choice_among_weights_is_noted_and_recorded(tmp_path: Path) -> None:
    network = build(VARIANTS["lite0"], input_shape=(32, 32, 3), classes=3)
    weights = {variable.path: variable.numpy() for variable in network.weights}
    named = {f"{where}/{name}": values for where in ("raw", "ema") for name, values in weights.items()}
    pytest.importorskip("safetensors.numpy").save_file(named, tmp_path / "training.safetensors")
    request = Request(
        (default("float32"),), variant="lite0", weights=str(tmp_path / "training.safetensors"), input_size=32
    )
    origin = origin_of(request, Steps())
    assert origin.notes == ("The checkpoint holds other weights too: 'ema' (averaged) is used, not 'raw'.",)
    assert origin.provenance["weights"]["chosen"] == "ema/"


def test_batch_is_one_and_the_signature_names_its_ends() -> None:
    model = build(VARIANTS["lite0"], input_shape=(32, 64, 3), classes=4)
    converted = Model(to_tflite(from_keras(model), "probabilities"))
    assert (converted.size, converted.outputs) == ((32, 64), 4)
    signatures = converted.interpreter.get_signature_list()
    assert signatures == {"serving_default": {"inputs": ["image"], "outputs": ["probabilities"]}}


def test_equal_models_give_equal_bytes() -> None:
    first, second = (
        to_tflite(from_keras(build(VARIANTS["lite0"], input_shape=(32, 32, 3), classes=4)), "logits") for _ in range(2)
    )
    assert first == second


@pytest.fixture(scope="module")
def finetuned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A small network of somebody else's, saved both ways, and the model itself."""
    inputs = keras.Input((40, 40, 3))
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = keras.layers.Conv2D(8, 3, strides=2, activation="relu")(x)
    outputs = keras.layers.Dense(3, activation="softmax")(keras.layers.GlobalAveragePooling2D()(x))
    model = keras.Model(inputs, outputs)
    folder = tmp_path_factory.mktemp("finetuned")
    model.save(folder / "model.keras")
    model.export(folder / "saved", verbose=False)
    return folder, model


@pytest.mark.parametrize("name", ["model.keras", "saved"])
def test_a_model_of_ones_own_goes_the_same_way(finetuned: tuple[Path, Any], name: str) -> None:
    folder, model = finetuned
    classifier = from_file(folder / name)
    assert (classifier.height, classifier.width, classifier.classes) == (40, 40, 3)
    converted = Model(to_tflite(classifier, "scores"))
    batch = images(3, 40, 40) * 127 + 128
    scores = np.stack([converted.scores(image) for image in batch])
    assert np.abs(scores - model(batch).numpy()).max() <= 1e-5


def test_an_open_input_size_must_be_settled(tmp_path: Path) -> None:
    model = build(VARIANTS["lite0"], input_shape=(None, None, 3), classes=4)
    with pytest.raises(ModelError, match="--input-size"):
        from_keras(model)
    assert Model(to_tflite(from_keras(model, 48), "logits")).size == (48, 48)


def test_an_input_size_that_contradicts_the_model_is_refused() -> None:
    with pytest.raises(ModelError, match="--input-size 64 contradicts"):
        from_keras(build(VARIANTS["lite0"], input_shape=(32, 32, 3), classes=4), 64)


def _write_text(path: Path) -> Path:
    path.write_text("no model")
    return path


def _make_empty_folder(path: Path) -> Path:
    path.mkdir()
    return path


def _save_sequence_model(path: Path) -> Path:
    inputs = keras.Input((10,))
    keras.Model(inputs, keras.layers.Dense(3)(inputs)).save(path)
    return path


def _save_lambda(path: Path) -> Path:
    inputs = keras.Input((32, 32, 3))
    outputs = keras.layers.Lambda(lambda x: tf.reduce_mean(x, (1, 2)))(inputs)
    keras.Model(inputs, outputs).save(path)
    return path


@pytest.mark.parametrize(
    ("make", "name", "message"),
    [
        (lambda path: path, "missing.keras", "no such file"),
        (_write_text, "text.keras", "damaged, or neither a .keras file nor a SavedModel folder"),
        (_make_empty_folder, "folder", "must be a .keras file or a SavedModel folder"),
        (_save_sequence_model, "sequence.keras", r"must be \(batch, height, width, 3\)"),
        (_save_lambda, "code.keras", "cannot load"),
    ],
)
def test_files_that_are_no_image_classifier(tmp_path: Path, make: Any, name: str, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        from_file(make(tmp_path / name))
    assert "\n" not in str(caught.value)
