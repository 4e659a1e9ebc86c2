"""A choice of weights -> a built network with those weights."""

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lite_toolkit.errors import WeightsError
from lite_toolkit.images.preprocessing import PRESETS, google_lite
from lite_toolkit.networks.architectures import VARIANTS, ModelSpec, StageSpec
from lite_toolkit.networks.names import Timm, variant
from lite_toolkit.weights import loading, sources
from lite_toolkit.weights.loading import default_preprocessing, load_model, read_weights
from lite_toolkit.weights.sources import CONVENTIONS, local

safetensors_numpy = pytest.importorskip("safetensors.numpy")

TINY = ModelSpec(
    name="tiny",
    stages=(StageSpec("mbconv", 3, 1, 1, 8, 8, 1), StageSpec("mbconv", 5, 2, 6, 8, 16, 1)),
    resolution=40,
    stem=8,
    head=32,
    activation="relu6",
    family="lite",
)
# timm's names of the network above -> Keras' layers; a conv is followed by its normalisation.
CONVOLUTIONS = {
    "conv_stem": ("stem_conv", (8, 3, 3, 3)),
    "blocks.0.0.conv_dw": ("block1a_dwconv", (8, 1, 3, 3)),
    "blocks.0.0.conv_pw": ("block1a_project_conv", (8, 8, 1, 1)),
    "blocks.1.0.conv_pw": ("block2a_expand_conv", (48, 8, 1, 1)),
    "blocks.1.0.conv_dw": ("block2a_dwconv", (48, 1, 5, 5)),
    "blocks.1.0.conv_pwl": ("block2a_project_conv", (16, 48, 1, 1)),
    "conv_head": ("top_conv", (32, 16, 1, 1)),
}
NORMALISATIONS = {
    "bn1": ("stem_bn", 8),
    "blocks.0.0.bn1": ("block1a_bn", 8),
    "blocks.0.0.bn2": ("block1a_project_bn", 8),
    "blocks.1.0.bn1": ("block2a_expand_bn", 48),
    "blocks.1.0.bn2": ("block2a_bn", 48),
    "blocks.1.0.bn3": ("block2a_project_bn", 16),
    "bn2": ("top_bn", 32),
}
STATISTICS = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}


def state_dict(classes: int | None = 10) -> dict[str, np.ndarray]:
    """Random weights of the tiny network under timm's names."""
    shapes: dict[str, tuple[int, ...]] = {f"{name}.weight": shape for name, (_, shape) in CONVOLUTIONS.items()}
    for name, (_, channels) in NORMALISATIONS.items():
        shapes |= {f"{name}.{statistic}": (channels,) for statistic in STATISTICS}
    if classes:
        shapes |= {"classifier.weight": (classes, 32), "classifier.bias": (classes,)}
    generator = np.random.default_rng(3)
    return {name: generator.uniform(0.5, 1, shape).astype(np.float32) for name, shape in shapes.items()}


def in_keras(tensors: dict[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    """The backbone's tensors as Keras has them."""
    for name, (layer, _) in CONVOLUTIONS.items():
        yield f"{layer}/kernel", tensors[f"{name}.weight"].transpose((2, 3, 0, 1) if "_dw" in name else (2, 3, 1, 0))
    for name, (layer, _) in NORMALISATIONS.items():
        for torch, keras in STATISTICS.items():
            yield f"{layer}/{keras}", tensors[f"{name}.{torch}"]


def in_torchvision(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same under torchvision's names: a stage is a number, so is each step of a block, and each layer of a step."""
    steps = {
        "conv_stem": "features.0.0",
        "bn1": "features.0.1",
        "conv_head": "features.8.0",
        "bn2": "features.8.1",
        "blocks.0.0.conv_dw": "features.1.0.block.0.0",
        "blocks.0.0.bn1": "features.1.0.block.0.1",
        "blocks.0.0.conv_pw": "features.1.0.block.1.0",
        "blocks.0.0.bn2": "features.1.0.block.1.1",
        "blocks.1.0.conv_pw": "features.2.0.block.0.0",
        "blocks.1.0.bn1": "features.2.0.block.0.1",
        "blocks.1.0.conv_dw": "features.2.0.block.1.0",
        "blocks.1.0.bn2": "features.2.0.block.1.1",
        "blocks.1.0.conv_pwl": "features.2.0.block.2.0",
        "blocks.1.0.bn3": "features.2.0.block.2.1",
        "classifier": "classifier.1",
    }
    layers = ((*name.rpartition("."), value) for name, value in tensors.items())
    return {f"{steps[layer]}.{variable}": value for layer, _, variable, value in layers}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.safetensors"
    safetensors_numpy.save_file(state_dict(), path)
    return path


def configure(checkpoint: Path, architecture: str) -> None:
    """Put timm's config.json beside the checkpoint."""
    pretrained = {"input_size": [3, 48, 48], "crop_pct": 0.9, "interpolation": "bilinear", "mean": [0.5, 0.5, 0.5]}
    config = {"architecture": architecture, "pretrained_cfg": pretrained}
    (checkpoint.parent / "config.json").write_text(json.dumps(config))


def variables(model: Any) -> dict[str, np.ndarray]:
    return {f"{layer.name}/{value.name}": np.asarray(value) for layer in model.layers for value in layer.weights}


class TestReading:
    def test_none_reads_nothing(self) -> None:
        weights = read_weights(TINY, "none")
        assert (weights.sha256, weights.layout, weights.classes, dict(weights.variables)) == (None, None, None, {})
        assert weights.spec == TINY
        assert weights.preprocessing == google_lite(40)

    @pytest.mark.parametrize(
        ("name", "size", "crop"), [("efficientnet_b2a", 288, 1.0), ("efficientnet_b3", 300, 0.904)]
    )
    def test_timms_index_tells_size_and_crop(self, name: str, size: int, crop: float) -> None:
        expected = dataclasses.replace(PRESETS["imagenet"](size), crop_fraction=crop)
        assert read_weights(variant(name), "none").preprocessing == expected

    def test_timms_index_tells_the_crop_of_its_own_weights_alone(
        self, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        configure(checkpoint, "efficientnet_tiny")
        source = local(checkpoint)
        monkeypatch.setitem(sources.IMAGENET, "tiny", type("Own", (), {"find": lambda _: source})())
        monkeypatch.setitem(loading.TIMM, "tiny", Timm("tiny", 40, 1.0, "tiny.in1k"))
        own, given = (read_weights(TINY, argument).preprocessing for argument in ("imagenet", str(checkpoint)))
        assert (own.crop_fraction, own.height, own.interpolation) == (1.0, 40, "bilinear")
        assert given == dataclasses.replace(own, crop_fraction=0.9)

    def test_everything_that_comes_with_a_checkpoint(self, checkpoint: Path) -> None:
        weights = read_weights(TINY, str(checkpoint), "tensorflow", 64)
        assert weights.name == "tiny.safetensors"
        assert weights.sha256 == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
        assert (weights.layout, weights.classes) == ("timm", 10)
        assert (weights.spec.padding, weights.spec.epsilon) == ("same", 1e-3)
        assert weights.preprocessing == google_lite(64)

    def test_conventions_are_asked_for_where_timm_does_not_tell(self, checkpoint: Path) -> None:
        with pytest.raises(WeightsError) as refused:
            read_weights(TINY, str(checkpoint))
        for part in ("tiny.safetensors", "config.json", "--conventions", "tensorflow", "tf_efficientnet_*", "pytorch"):
            assert part in str(refused.value)

    def test_pytorch_conventions(self, checkpoint: Path) -> None:
        weights = read_weights(TINY, str(checkpoint), "pytorch")
        assert (weights.spec.padding, weights.spec.epsilon) == ("symmetric", 1e-5)
        assert weights.preprocessing == PRESETS["imagenet"](40)

    @pytest.mark.parametrize(
        ("architecture", "told", "padding", "epsilon"),
        [
            ("tf_efficientnet_lite0", "tensorflow", "same", 1e-3),
            ("efficientnet_lite0", "pytorch", "symmetric", 1e-5),
            ("efficientnet_tf", "pytorch", "symmetric", 1e-5),
        ],
    )
    def test_timm_tells_by_its_configuration(
        self, checkpoint: Path, architecture: str, told: str, padding: str, epsilon: float
    ) -> None:
        configure(checkpoint, architecture)
        for asked in (None, told):
            spec = read_weights(TINY, str(checkpoint), asked).spec
            assert (spec.padding, spec.epsilon) == (padding, epsilon)
        other = {"tensorflow": "pytorch", "pytorch": "tensorflow"}[told]
        with pytest.raises(WeightsError, match=rf"tiny\.safetensors .* --conventions {other} contradicts"):
            read_weights(TINY, str(checkpoint), other)

    def test_the_configuration_tells_the_preprocessing_but_not_the_size(self, checkpoint: Path) -> None:
        configure(checkpoint, "tf_efficientnet_lite0")
        for size, expected in ((None, 40), (72, 72)):
            preprocessing = read_weights(TINY, str(checkpoint), None, size).preprocessing
            assert (preprocessing.height, preprocessing.width) == (expected, expected)
            assert (preprocessing.crop, preprocessing.crop_fraction) == ("after-resize", 0.9)
            assert preprocessing.mean == (127.5, 127.5, 127.5)

    def test_a_folder_is_read_with_its_configuration(self, tmp_path: Path, checkpoint: Path) -> None:
        folder = tmp_path / "saved"
        folder.mkdir()
        configure(checkpoint.rename(folder / "model.safetensors"), "tf_efficientnet_lite0")
        weights = read_weights(TINY, str(folder))
        assert (weights.name, weights.spec.padding) == ("model.safetensors", "same")
        assert weights.preprocessing.crop_fraction == 0.9

    def test_a_choice_among_weights_is_told(self, tmp_path: Path) -> None:
        tensors = {f"model.{name}": value for name, value in state_dict().items()}
        assert read_weights(TINY, self.saved(tmp_path, tensors), "pytorch").chosen is None
        averages = {f"ema.{name}": value + 1 for name, value in state_dict().items()}
        weights = read_weights(TINY, self.saved(tmp_path, tensors | averages), "pytorch")
        assert weights.chosen == "ema."
        assert weights.note == "The checkpoint holds other weights too: 'ema' (averaged) is used, not 'model'."

    def saved(self, folder: Path, tensors: dict[str, np.ndarray]) -> str:
        safetensors_numpy.save_file(tensors, folder / "training.safetensors")
        return str(folder / "training.safetensors")

    @pytest.mark.parametrize(
        ("name", "epsilon"), [("tiny", 1e-5), ("b4", 1e-5), ("b5", 1e-3), ("b7", 1e-3), ("efficientnet_b5", 1e-3)]
    )
    def test_torchvision_has_one_convention_for_each_network(self, tmp_path: Path, name: str, epsilon: float) -> None:
        spec = dataclasses.replace(TINY, name=name)
        weights = read_weights(spec, self.saved(tmp_path, in_torchvision(state_dict())))
        assert (weights.layout, weights.classes) == ("torchvision", 10)
        assert (weights.spec.padding, weights.spec.epsilon) == ("symmetric", epsilon)
        assert weights.preprocessing == PRESETS["imagenet"](40)
        for variable, values in in_keras(state_dict()):
            np.testing.assert_array_equal(weights.variables[variable], values, err_msg=variable)

    def test_other_layouts_have_one_convention_only(self, tmp_path: Path) -> None:
        path = tmp_path / "keras.safetensors"
        safetensors_numpy.save_file({name: np.ascontiguousarray(value) for name, value in in_keras(state_dict())}, path)
        weights = read_weights(TINY, str(path))
        assert (weights.layout, weights.spec.padding, weights.spec.epsilon) == ("keras", "same", 1e-3)
        with pytest.raises(WeightsError, match=r"keras\.safetensors .* --conventions pytorch contradicts"):
            read_weights(TINY, str(path), "pytorch")

    @pytest.mark.parametrize(
        ("argument", "reason"),
        [
            ("imagenet", "no ImageNet weights are known for 'tiny': pass --weights none or a path"),
            ("hf:../x", "weights 'hf:../x': must be hf:OWNER/REPO or hf:OWNER/REPO@REVISION"),
            ("", "accepted are"),
            ("nowhere.pth", "nowhere.pth does not exist; accepted are"),
        ],
    )
    def test_other_choices_are_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argument: str, reason: str
    ) -> None:
        monkeypatch.chdir(tmp_path)
        with pytest.raises(WeightsError) as refused:
            read_weights(TINY, argument)
        assert reason in str(refused.value)


IMAGENET_MEAN = (0.485 * 255, 0.456 * 255, 0.406 * 255)
IMAGENET_STD = (0.229 * 255, 0.224 * 255, 0.225 * 255)


@pytest.mark.parametrize("name", VARIANTS)
def test_default_preprocessing_is_that_of_the_family(name: str) -> None:
    spec = VARIANTS[name]
    google = default_preprocessing(spec, spec.resolution)
    v1 = spec.family == "v1"
    assert google.mean == pytest.approx(IMAGENET_MEAN if v1 else (127.0,) * 3)
    assert google.std == pytest.approx(IMAGENET_STD if v1 else (128.0,) * 3)
    assert (google.crop, google.interpolation) == ("before-resize", "bicubic")
    assert google.crop_fraction == pytest.approx(spec.resolution / (spec.resolution + 32))
    timm = default_preprocessing(spec, 64, CONVENTIONS["pytorch"])
    assert (timm.crop, timm.crop_fraction, timm.interpolation) == ("after-resize", 0.875, "bicubic")
    assert timm.mean == pytest.approx(IMAGENET_MEAN)
    assert timm.std == pytest.approx(IMAGENET_STD)


class TestBuilding:
    @pytest.fixture(autouse=True)
    def tensorflow(self) -> None:
        pytest.importorskip("tensorflow", reason="building a network needs TensorFlow")

    def test_every_variable_is_the_checkpoints(self, checkpoint: Path) -> None:
        tensors = state_dict()
        loaded = load_model(read_weights(TINY, str(checkpoint), "pytorch"))
        found = variables(loaded.model)
        expected = dict(in_keras(tensors))
        expected |= {
            "predictions/kernel": tensors["classifier.weight"].T,
            "predictions/bias": tensors["classifier.bias"],
        }
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            np.testing.assert_array_equal(found[name], value, err_msg=name)
        assert (loaded.classes, loaded.fresh_head) == (10, False)
        assert loaded.model.get_layer("stem_bn").epsilon == 1e-5

    def test_another_number_of_classes_keeps_the_backbone(self, checkpoint: Path) -> None:
        weights = read_weights(TINY, str(checkpoint), "tensorflow")
        first, again, other = (load_model(weights, classes=7, seed=seed) for seed in (0, 0, 1))
        assert (first.classes, first.fresh_head, first.model.output_shape) == (7, True, (None, 7))
        found = variables(first.model)
        for name, value in in_keras(state_dict()):
            np.testing.assert_array_equal(found[name], value, err_msg=name)
        kernels = [variables(loaded.model)["predictions/kernel"] for loaded in (first, again, other)]
        assert np.array_equal(kernels[0], kernels[1])
        assert not np.array_equal(kernels[0], kernels[2])
        assert not found["predictions/bias"].any()

    @pytest.mark.parametrize("asked", [None, 1001])
    def test_1001_classes_are_kept(self, tmp_path: Path, asked: int | None) -> None:
        tensors = state_dict(1001)
        safetensors_numpy.save_file(tensors, tmp_path / "background.safetensors")
        weights = read_weights(TINY, str(tmp_path / "background.safetensors"), "tensorflow")
        loaded = load_model(weights, classes=asked)
        assert (loaded.classes, loaded.fresh_head, loaded.model.output_shape) == (1001, False, (None, 1001))
        assert np.array_equal(variables(loaded.model)["predictions/kernel"], tensors["classifier.weight"].T)

    def test_a_checkpoint_without_classifier_gets_a_fresh_one(self, tmp_path: Path) -> None:
        safetensors_numpy.save_file(state_dict(None), tmp_path / "features.safetensors")
        weights = read_weights(TINY, str(tmp_path / "features.safetensors"), "tensorflow")
        assert weights.classes is None
        loaded = load_model(weights)
        assert (loaded.classes, loaded.fresh_head) == (1000, True)
        assert np.array_equal(variables(loaded.model)["top_bn/gamma"], state_dict()["bn2.weight"])

    def test_seeded_weights(self) -> None:
        weights = read_weights(TINY, "none")
        first, again, other = (variables(load_model(weights, classes=5, seed=seed).model) for seed in (0, 0, 1))
        assert all(np.array_equal(first[name], again[name]) for name in first)
        kernels = [name for name in first if name.endswith("kernel")]
        assert len(kernels) == 8
        assert not any(np.array_equal(first[name], other[name]) for name in kernels)

    @pytest.mark.parametrize(("activation", "total"), [("softmax", 1.0), ("none", None)])
    def test_scores_are_probabilities_or_logits(self, checkpoint: Path, activation: Any, total: float | None) -> None:
        loaded = load_model(read_weights(TINY, str(checkpoint), "tensorflow"), activation=activation)
        scores = np.asarray(loaded.model(np.ones((1, 40, 40, 3), np.float32)))
        assert (scores.sum() == pytest.approx(total)) if total else (scores.max() > 1)

    def test_the_input_has_the_size_asked_for(self) -> None:
        loaded = load_model(read_weights(TINY, "none", None, 56))
        assert loaded.model.input_shape == (None, 56, 56, 3)

    @pytest.mark.parametrize("name", ["lite0", "lite2"])
    def test_imagenet_weights_answer_as_googles_graph(self, shared: Path, imagenet_lite0: str, name: str) -> None:
        """The recording is of the whole image, resized by TensorFlow without antialiasing."""
        import tensorflow as tf

        size = {"lite0": 224, "lite2": 260}[name]
        image = tf.io.decode_jpeg((shared / "golden/panda.jpg").read_bytes(), channels=3)
        pixels = tf.image.resize(image, (size, size), method="bilinear")
        loaded = load_model(read_weights(variant(name)))
        scores = np.asarray(loaded.model((pixels[tf.newaxis] - 127) / 128, training=False))
        expected = np.load(shared / f"golden/{name}_panda_{size}.npy")
        assert expected.argmax() == 388
        np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-5)
