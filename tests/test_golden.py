"""The built networks with matched weights answer what the original models answered."""

import dataclasses
import functools
from pathlib import Path
from typing import Any

import fill
import numpy as np
import pytest
import renames

from lite_toolkit.networks.names import variant
from lite_toolkit.weights import checkpoints
from lite_toolkit.weights.checkpoints import Checkpoint
from lite_toolkit.weights.matching import match

pytest.importorskip("tensorflow", reason="building a network needs TensorFlow")
h5py = pytest.importorskip("h5py")

GOLDEN = Path(__file__).parent / "golden"

SAME, SYMMETRIC = ("same", 1e-3), ("symmetric", 1e-5)  # Google's and timm's own padding and epsilon

RECORDINGS = [
    ("efficientnet_lite0", 96, "lite0", SYMMETRIC),
    ("efficientnet_lite0", 99, "lite0", SYMMETRIC),
    ("tf_efficientnet_lite0", 96, "lite0", SAME),
    ("efficientnet_b0", 96, "b0", SYMMETRIC),
    ("tf_efficientnet_b0", 96, "b0", SAME),
    ("huggingface_b0", 96, "b0", SAME),
    ("torchvision_b0", 96, "b0", SYMMETRIC),
    ("efficientnet_es", 96, "es", SYMMETRIC),
    ("tf_efficientnet_es", 96, "es", SAME),
    ("efficientnet_b2", 96, "efficientnet_b2a", SYMMETRIC),
    ("efficientnet_b3", 96, "efficientnet_b3a", SYMMETRIC),
    ("efficientnet_em", 96, "efficientnet_em", SYMMETRIC),
]
GOOGLE_MODELS = [("tf_efficientnet_lite0", "lite0"), ("tf_efficientnet_b0", "b0"), ("tf_efficientnet_es", "es")]


@functools.cache
def network(name: str, padding: str, epsilon: float) -> Any:
    from lite_toolkit.networks.builder import build

    spec = dataclasses.replace(variant(name), padding=padding, epsilon=epsilon)
    return build(spec, activation="none", input_shape=(None, None, 3))


def assert_answers(checkpoint: Checkpoint, model: str, size: int, name: str, conventions: tuple[str, float]) -> None:
    """`checkpoint` in the network `name` gives the logits that were recorded of `model`."""
    built = network(name, *conventions)
    variables = match(checkpoint, variant(name)).variables
    for variable in built.weights:
        variable.assign(variables[variable.path])
    answer = np.asarray(built(fill.image(size), training=False))[0]
    np.testing.assert_allclose(answer, np.load(GOLDEN / f"{model}_{size}.npy"), rtol=0, atol=1e-4)


@pytest.mark.parametrize(("model", "size", "name", "conventions"), RECORDINGS)
def test_state_dict(model: str, size: int, name: str, conventions: tuple[str, float]) -> None:
    assert_answers(Checkpoint(Path(model), "safetensors", fill.state_dict(model)), model, size, name, conventions)


@pytest.mark.parametrize("averaged", [True, False])
@pytest.mark.parametrize(("model", "name"), GOOGLE_MODELS)
def test_tensorflow_checkpoint(tmp_path: Path, model: str, name: str, averaged: bool) -> None:
    import tensorflow as tf

    tensors = fill.state_dict(model)
    names = renames.google(tensors, f"efficientnet-{name}")
    values = {theirs: renames.to_keras(ours, tensors[ours]) for ours, theirs in names.items()}
    if averaged:
        raw = {theirs: value * 0.5 for theirs, value in values.items()}
        values = raw | {f"{theirs}/ExponentialMovingAverage": value for theirs, value in values.items()}
    values["global_step"] = np.array(218949, np.int64)
    prefix = str(tmp_path / "model.ckpt")
    tf.raw_ops.SaveV2(
        prefix=prefix, tensor_names=list(values), shape_and_slices=[""] * len(values), tensors=list(values.values())
    )
    assert_answers(checkpoints.read(Path(prefix)), model, 96, name, SAME)


@pytest.mark.parametrize(("model", "name"), GOOGLE_MODELS)
def test_keras2_h5(tmp_path: Path, model: str, name: str) -> None:
    tensors = fill.state_dict(model)
    layers: dict[str, list[str]] = {}
    for theirs in (names := renames.keras(tensors, depthwise="depthwise_kernel")).values():
        layers.setdefault(theirs.split("/")[0], []).append(f"{theirs}:0")
    path = tmp_path / "weights.h5"
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = np.array(["input_1", *layers], "S")
        file.create_group("input_1").attrs["weight_names"] = np.array([], "S")
        for layer, variables in layers.items():
            file.create_group(layer).attrs["weight_names"] = np.array(variables, "S")
        for ours, theirs in names.items():
            file[f"{theirs.split('/')[0]}/{theirs}:0"] = renames.to_keras(ours, tensors[ours])
    assert_answers(checkpoints.read(path), model, 96, name, SAME)


@pytest.mark.parametrize("file", ["m.keras", "m.weights.h5", "m.h5"])
@pytest.mark.parametrize("name", ["lite0", "b0", "es"])
def test_a_model_that_keras_saved_comes_back(tmp_path: Path, name: str, file: str) -> None:
    built = network(name, *SAME)
    (built.save_weights if file == "m.weights.h5" else built.save)(tmp_path / file)
    matched = match(checkpoints.read(tmp_path / file), variant(name))
    assert matched.layout == "keras"
    assert matched.variables.keys() == {variable.path for variable in built.weights}
    for variable in built.weights:
        np.testing.assert_array_equal(matched.variables[variable.path], variable.numpy(), err_msg=variable.path)
