"""What a network does to its input, read off its graph; and presets, tried where it does nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from lite_toolkit.cli.main import main
from lite_toolkit.errors import ModelError
from lite_toolkit.images.preprocessing import PRESETS
from lite_toolkit.measurement.description import describe
from lite_toolkit.progress import Steps
from lite_toolkit.runtime.interpreter import Model
from lite_toolkit.tflite import manifest
from lite_toolkit.tflite.graph import read_graph

pytest.importorskip("tensorflow", reason='needs the extra: pip install ".[convert]"')

from lite_toolkit.conversion.expectation import expected
from lite_toolkit.conversion.float_model import from_file, from_keras, to_tflite
from lite_toolkit.conversion.input_folding import folded
from lite_toolkit.conversion.input_scaling import read
from lite_toolkit.conversion.origin import origin_of
from lite_toolkit.conversion.request import Request
from lite_toolkit.networks.backend import keras
from lite_toolkit.quantization import recipes
from lite_toolkit.quantization.quantizer import quantize
from lite_toolkit.quantization.recipes import default

L, ops, applications = keras.layers, keras.ops, keras.applications
SIDE = 12
MEAN, STD = [123.0, 117.0, 104.0], [58.0, 57.0, 57.0]
Layer = Callable[[Any], Any]


def network(scale: Layer, dtype: str = "float32", channels: int = 3) -> Any:
    """A convolution behind `scale`, and three classes."""
    image = keras.Input((SIDE, SIDE, channels), dtype=dtype)
    x = L.Conv2D(4, 3, padding="same", activation="relu")(scale(image))
    return keras.Model(image, L.Dense(3, activation="softmax")(L.GlobalAveragePooling2D()(x)))


def inside(scale: Layer, depth: int) -> Layer:
    """`scale`, in a model in a model, with augmentation before it, which does nothing outside of training."""
    for _ in range(depth):
        image = keras.Input((SIDE, SIDE, 3))
        scale = keras.Model(image, scale(L.RandomRotation(0.1)(L.RandomFlip()(image))))
    return scale


def channels_of(x: Any) -> Any:
    return (x - ops.convert_to_tensor(MEAN)) / ops.convert_to_tensor(STD)


def twice(x: Any) -> Any:
    return L.Conv2D(3, 3, padding="same")(x) + L.Conv2D(3, 3, padding="same")(x)


def normalization(factor: float = 1) -> Any:
    return L.Normalization(mean=[factor * one for one in MEAN], variance=[(factor * one) ** 2 for one in STD])


@pytest.mark.parametrize(
    ("scale", "domain", "low", "high"),
    [
        (L.Rescaling(1 / 127.5, offset=-1), "pixels", -1, 1),
        *((inside(L.Rescaling(1 / 255), depth), "pixels", 0, 1) for depth in (1, 2, 3)),
        (lambda x: x / 127.5 - 1, "pixels", -1, 1),
        (lambda x: 1 - x / 255, "pixels", 0, 1),
        (channels_of, "pixels", -123 / 58, 151 / 57),
        (normalization(), "pixels", -123 / 58, 151 / 57),
        (lambda x: normalization(1 / 255)(L.Rescaling(1 / 255)(x)), "pixels", -123 / 58, 151 / 57),
        (lambda x: applications.resnet50.preprocess_input(x), "pixels", -123.68, 255 - 103.939),
        (lambda x: L.Rescaling(1 / 255)(x)[..., ::-1], "pixels", 0, 1),
        (lambda x: L.RandomContrast(0.1)(L.Rescaling(1 / 255)(x)), "pixels", 0, 1),
        (lambda x: L.Rescaling(1 / 127.5, offset=-1)(L.ZeroPadding2D(2)(x)), "pixels", -1, 1),
        (lambda x: L.ZeroPadding2D(2)(L.Rescaling(1 / 127.5, offset=-1)(x)), "pixels", -1, 1),
        (lambda x: ops.mean(L.Rescaling(1 / 255)(x), -1, keepdims=True), "pixels", 0, 1),
        (lambda x: ops.sqrt(x / 255), "pixels", 0, 1),
        # made for what somebody else scaled to 0..1 or -1..1 before
        (lambda x: 2 * x - 1, "unit", -1, 1),
        (normalization(1 / 255), "unit", -123 / 58, 151 / 57),
        (lambda x: applications.resnet50.preprocess_input(255 * x), "unit", -123.68, 255 - 103.939),
        (lambda x: ops.clip(x, 0, 1), "unit", 0, 1),
        (lambda x: (x + 1) * 127.5, "inception", 0, 255),
    ],
)
def test_a_scaling_is_read_off_the_graph(scale: Layer, domain: str, low: float, high: float) -> None:
    found = read(from_keras(network(scale)))
    assert found.domain == domain
    assert found.span(PRESETS[domain](SIDE)) == pytest.approx((low, high), abs=1e-3)


@pytest.mark.parametrize(
    "scale",
    [
        L.Identity(),
        L.Rescaling(1.0),
        L.RandomBrightness(0.2),
        L.ZeroPadding2D(1),
        lambda x: x[..., ::-1],
        lambda x: L.BatchNormalization()(L.Conv2D(4, 1)(x)),
    ],
)
def test_a_graph_without_scaling_tells_nothing(scale: Layer) -> None:
    assert read(from_keras(network(scale))).domain is None


def test_every_first_layer_is_looked_at() -> None:
    image = keras.Input((SIDE, SIDE, 3))
    both = [L.Rescaling(1 / 255)(image), applications.resnet50.preprocess_input(image)]
    scores = L.Dense(3)(L.Flatten()(L.Concatenate()([L.Conv2D(2, 3)(one) for one in both])))
    assert read(from_keras(keras.Model(image, scores))).domain == "pixels"


@pytest.mark.parametrize(
    "layer", [L.Resizing(8, 6), L.Resizing(8, 6, crop_to_aspect_ratio=True), L.CenterCrop(8, 6), L.AveragePooling2D(2)]
)
def test_another_size_inside_is_known(layer: Layer) -> None:
    found = read(from_keras(network(lambda x: L.Rescaling(1 / 255)(layer(x)))))
    assert (found.domain, found.seen) == ("pixels", (6, 6) if isinstance(layer, L.AveragePooling2D) else (8, 6))


def test_grey_networks_and_saved_models_tell_too(tmp_path: Path) -> None:
    assert read(from_keras(network(L.Rescaling(1 / 255), channels=1))).domain == "pixels"
    network(inside(L.Rescaling(1 / 127.5, offset=-1), 1).layers[-1]).export(tmp_path / "saved", verbose=False)
    assert read(from_file(tmp_path / "saved")).domain == "pixels"


@pytest.mark.parametrize(
    ("scale", "before"),
    [
        (L.Rescaling(1 / 127.5, offset=-1), ["ADD"]),
        (L.Rescaling(1 / 255), []),
        (lambda x: normalization(1 / 255)(L.Rescaling(1 / 255)(x)), ["ADD"]),
        (lambda x: applications.resnet50.preprocess_input(x), ["ADD"]),
        (lambda x: 1 - x / 255, ["ADD"]),
        (lambda x: ops.mean(x / 255, -1, keepdims=True), []),
        (lambda x: L.ZeroPadding2D(2)(L.Rescaling(1 / 127.5, offset=-1)(x)), ["ADD", "PAD"]),
        (lambda x: L.DepthwiseConv2D(3, padding="same")(channels_of(x)), ["ADD"]),
        # a padding that is scaled, too; a resize; two layers that see it
        (lambda x: L.Rescaling(1 / 127.5, offset=-1)(L.ZeroPadding2D(2)(x)), ["PAD", "MUL", "ADD"]),
        (lambda x: L.Rescaling(1 / 127.5, offset=-1)(L.Resizing(6, 6)(x)), ["RESIZE_BILINEAR", "MUL", "ADD"]),
        (lambda x: twice(x / 127.5 - 1), ["MUL", "SUB"]),
    ],
)
def test_a_scaling_becomes_a_part_of_the_first_convolution(scale: Layer, before: list[str]) -> None:
    model = network(scale)
    content = to_tflite(folded(from_keras(model)), "scores")
    names = [operator.name for operator in read_graph(content).subgraphs[0].operators]
    assert names[: next(place for place, name in enumerate(names) if "CONV" in name)] == before
    pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3)).astype(np.float32)
    expected_scores = model(pixels[np.newaxis], training=False).numpy()[0]
    np.testing.assert_allclose(Model(content).scores(pixels), expected_scores, atol=1e-5)


@pytest.mark.parametrize(("zero", "scale", "zero_point"), [(127, 1, -1), (127.5, 256 / 255, -1)])
def test_pixels_keep_their_steps_behind_the_subtraction(zero: float, scale: float, zero_point: int) -> None:
    """Whatever the images are, here all the same grey."""
    content = to_tflite(folded(from_keras(network(lambda x: (x - zero) / 128))), "scores")
    spec = PRESETS["pixels-stretch"](SIDE)
    (recipe,) = recipes.choose((), "int8-minmax", None)
    images = np.full((2, SIDE, SIDE, 3), 99, np.float32)
    graph = read_graph(quantize(content, recipe, spec, images, "uint8")).subgraphs[0]
    (image,), add = graph.inputs, next(operator for operator in graph.operators if operator.name == "ADD")
    ends = [graph.tensors[index].quantization for index in (image, add.outputs[0])]
    found = [(one.scales[0], one.zero_points[0]) for one in ends if one]
    assert found == [(1, 0), (pytest.approx(scale), zero_point)]


def given(name: str, model: Any) -> Any:
    """What is made of that --preprocessing."""
    request = Request((default("float32"),), model=Path("model.keras"), preprocessing=PRESETS[name])
    return expected(from_keras(model), request, Steps())


@pytest.mark.parametrize(
    ("name", "dtype", "message"),
    [
        (
            "inception",
            "float32",
            "but the network scales its input itself, and its first layer sees -1.008 to -0.9922",
        ),
        ("unit", "float32", "pass pixels, pixels-stretch or nothing"),
        ("inception", "uint8", "gives values of -1 to 1, but the network takes whole numbers: pass pixels"),
    ],
)
def test_scaling_twice_is_refused(name: str, dtype: str, message: str) -> None:
    with pytest.raises(ModelError, match=message.replace(".", r"\.")):
        given(name, network(L.Rescaling(1 / 127.5, offset=-1), dtype))


def test_what_is_told_counts_and_what_does_not_fit_is_said() -> None:
    scaling = network(L.Rescaling(1 / 255))
    assert given("pixels", scaling)[0] == PRESETS["pixels"](SIDE)
    assert given("pixels", scaling)[1].certain
    assert given("imagenet", network(L.Identity()))[1].how == "told"
    spec, basis = given("caffe", scaling)
    assert (spec, basis.how) == (PRESETS["caffe"](SIDE), "contradicts")
    assert "-0.485 to 0.5924 instead of 0 to 1" in basis.reason


# A network whose scores follow the brightness that it was made for: dark, middle or bright.
@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, generator = tmp_path_factory.mktemp("brightness"), np.random.default_rng(0)
    for number in range(15):
        name, level = [("a dark", 50), ("b mid", 128), ("c bright", 205)][number % 3]
        (folder / name).mkdir(exist_ok=True)
        pixels = generator.normal(level, 12, (SIDE, SIDE, 3)).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


def brightness(preset: str) -> Any:
    """Scores are the logits of nearness to the three levels, for an input of that preset."""
    spec = PRESETS[preset](SIDE)
    levels = spec.normalize(np.array([50, 128, 205], np.uint8)[:, np.newaxis].repeat(3, 1)).mean(axis=1)
    sharpness = 8 / (levels[2] - levels[0]) ** 2
    image = keras.Input((SIDE, SIDE, 3))
    mean = L.GlobalAveragePooling2D()(L.Conv2D(1, 1, name="mean")(image))
    model = keras.Model(image, L.Dense(3, name="nearness", activation="softmax")(mean))
    model.get_layer("mean").set_weights([np.full((1, 1, 3, 1), 1 / 3, np.float32), np.zeros(1, np.float32)])
    model.get_layer("nearness").set_weights([2 * sharpness * 4 * levels[np.newaxis], -sharpness * 4 * levels**2])
    return model


@pytest.mark.parametrize(
    ("preset", "known"),
    [("unit", True), ("inception", True), ("imagenet", True), ("pixels", False), ("unit", False)],
)
def test_presets_are_tried_where_the_graph_tells_nothing(
    folder: Path, tmp_path: Path, preset: str, known: bool
) -> None:
    if not known:
        for image in folder.rglob("*.png"):
            (tmp_path / image.name).write_bytes(image.read_bytes())
    request = Request((default("int8"),), model=Path("m.keras"), calibration_data=folder if known else tmp_path)
    spec, basis = expected(from_keras(brightness(preset)), request, Steps())
    assert spec == PRESETS[f"{preset}-stretch"](SIDE)
    assert (basis.how, basis.certain) == ("tried", False)
    assert ("top-1 on 15 photographs" if known else "sense made of 15 photographs") in basis.reason


def test_a_float_tflite_is_tried_too(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(to_tflite(from_keras(brightness("unit")), "scores"))
    origin = origin_of(Request((default("int8"),), model=tmp_path / "m.tflite", calibration_data=folder), Steps())
    assert origin.preprocessing == PRESETS["unit-stretch"](SIDE)
    assert (origin.basis.how if origin.basis else "") == "tried"


def test_without_photographs_a_preset_is_assumed() -> None:
    spec, basis = expected(
        from_keras(network(L.Identity())), Request((default("int8"),), model=Path("m.keras")), Steps()
    )
    assert (spec, basis.how) == (PRESETS["inception-stretch"](SIDE), "assumed")


def test_values_of_an_array_tell_their_range(tmp_path: Path) -> None:
    np.save(tmp_path / "values.npy", np.random.default_rng(0).uniform(-1, 1, (20, SIDE, SIDE, 3)).astype(np.float32))
    request = Request((default("int8"),), model=Path("m.keras"), calibration_data=tmp_path / "values.npy")
    spec, basis = expected(from_keras(network(L.Identity())), request, Steps())
    assert (spec, basis.how) == (PRESETS["inception-stretch"](SIDE), "assumed")


def test_the_first_line_and_the_manifest_say_what_was_chosen(folder: Path, tmp_path: Path) -> None:
    brightness("unit").save(tmp_path / "m.keras")
    model, labels = tmp_path / "m.tflite", tmp_path / "labels.txt"
    labels.write_text("a dark\nb mid\nc bright\n")
    options = f"--model {tmp_path / 'm.keras'} --float32 --calibration-data {folder} --output {model} --labels {labels}"
    result = CliRunner().invoke(main, ["convert", *options.split()])
    first = result.stdout.splitlines()[0]
    assert first.startswith("preprocessing  the whole image, tensorflow to 12×12, RGB, values x / 255: nothing")
    assert "the preprocessing is not certain" in result.stderr
    assert (manifest.read(model) or {})["preprocessing_basis"]["how"] == "tried"
    assert describe(model, preprocessing=PRESETS["inception"]).note is None
    shown = CliRunner().invoke(main, ["evaluate", str(model), "--data", str(folder)]).output
    assert "The preprocessing is not certain: nothing tells it" in shown
    assert "15 of 15" in shown
