"""Keras files as people have them: any precision, Keras 2's words, code of their own, weights that are no numbers."""

import io
import json
import os
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from lite_toolkit.cli.main import main
from lite_toolkit.errors import ModelError, UsageError
from lite_toolkit.runtime.interpreter import Model

pytest.importorskip("tensorflow", reason='needs the extra: pip install ".[convert]"')

from lite_toolkit.conversion import keras2, keras_file
from lite_toolkit.conversion.float_model import from_file, from_keras, to_tflite
from lite_toolkit.conversion.input_scaling import read
from lite_toolkit.conversion.pipeline import convert
from lite_toolkit.conversion.request import Request
from lite_toolkit.networks.backend import keras, tf
from lite_toolkit.quantization.recipes import default
from lite_toolkit.tflite.graph import read_graph

L = keras.layers


def images() -> np.ndarray:
    return np.random.default_rng(3).uniform(0, 1, (2, 32, 32, 3)).astype(np.float32)


def network(*first: Any) -> Any:
    """A backbone inside a network, as in transfer learning."""
    inside = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            L.Conv2D(8, 3, strides=2, use_bias=False),
            L.BatchNormalization(),
            L.DepthwiseConv2D(3),
            L.SeparableConv2D(8, 3),
        ]
    )
    image = keras.Input((32, 32, 3))
    x = image
    for layer in (*first, inside, L.GlobalAveragePooling2D(), L.Dense(3, activation="softmax", dtype="float32")):
        x = layer(x)
    return keras.Model(image, x)


def saved(model: Any, path: Path) -> Path:
    model.save(path)
    return path


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_any_precision_is_loaded_at_float32(tmp_path: Path, policy: str, name: str) -> None:
    keras.config.set_dtype_policy(policy)
    try:
        model = network()
    finally:
        keras.config.set_dtype_policy("float32")
    rebuilt = network()
    rebuilt.set_weights(model.get_weights())
    loaded = keras_file.load(saved(model, tmp_path / name))
    assert {layer.compute_dtype for layer in loaded._flatten_layers(include_self=False)} == {"float32"}
    np.testing.assert_array_equal(loaded(images()), rebuilt(images()))


def test_a_file_is_what_its_content_is(tmp_path: Path) -> None:
    model = network()
    saved(model, tmp_path / "a.h5").rename(tmp_path / "b.keras")
    saved(model, tmp_path / "a.keras").rename(tmp_path / "b.h5")
    for name in ("b.keras", "b.h5"):
        np.testing.assert_array_equal(keras_file.load(tmp_path / name)(images()), model(images()))


def test_mixed_precision_converts(tmp_path: Path) -> None:
    keras.config.set_dtype_policy("mixed_float16")
    try:
        path = saved(network(), tmp_path / "mixed.keras")
    finally:
        keras.config.set_dtype_policy("float32")
    converted, expected = Model(to_tflite(from_file(path), "scores")), keras_file.load(path)(images()).numpy()
    assert np.abs(np.stack([converted.scores(image) for image in images()]) - expected).max() <= 1e-5


def _keras2(name: str, layers: list[dict[str, Any]], calls: int) -> dict[str, Any]:
    """A chain of layers as Keras 2 describes it: `calls` is what the call of a model inside is numbered."""
    chained = []
    for layer in layers:
        before = chained[-1]["name"] if chained else None
        number = calls if chained and chained[-1]["class_name"] == "Functional" else 0
        inbound = [[[before, number, 0, {}]]] if before else []
        chained.append(layer | {"name": layer["config"]["name"], "inbound_nodes": inbound})
    first, last = layers[0]["config"]["name"], layers[-1]["config"]["name"]
    ends = {"input_layers": [[first, 0, 0]], "output_layers": [[last, 0, 0]]}
    return {"class_name": "Functional", "config": {"name": name, "layers": chained} | ends}


def _layer(kind: str, name: str, **config: Any) -> dict[str, Any]:
    return {"class_name": kind, "config": {"name": name, "trainable": True, "dtype": "float32"} | config}


def _image(name: str) -> dict[str, Any]:
    config = {"batch_input_shape": [None, 32, 32, 3], "dtype": "float32", "sparse": False, "ragged": False}
    return {"class_name": "InputLayer", "config": config | {"name": name}}


@pytest.fixture(params=["tf_keras", "Keras 3"])
def reader_of_keras2(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to read a file of Keras 2."""
    if request.param == "tf_keras":
        pytest.importorskip("tf_keras", reason="needs tf_keras")
    else:
        monkeypatch.setitem(sys.modules, "tf_keras", None)


@pytest.mark.usefixtures("reader_of_keras2")
@pytest.mark.parametrize("half", [False, True], ids=["float32", "mixed_float16"])
def test_keras_2_is_understood(tmp_path: Path, half: bool) -> None:
    """What Keras 3 refuses in such files: groups, axes in a list, policies, kernels' initializers, numbers of calls."""
    h5py = pytest.importorskip("h5py")
    policy = {"class_name": "Policy", "config": {"name": "mixed_float16"}} if half else "float32"
    base = _keras2(
        "base",
        [
            _image("inside"),
            _layer("Conv2D", "conv", filters=8, kernel_size=[3, 3], use_bias=False, groups=1, dtype=policy),
            _layer("BatchNormalization", "bn", axis=[3], dtype=policy),
            _layer("DepthwiseConv2D", "depthwise", kernel_size=[3, 3], groups=1, dtype=policy),
            _layer("SeparableConv2D", "separable", filters=8, kernel_size=[3, 3], groups=1, kernel_initializer=None),
        ],
        calls=0,
    )
    whole = _keras2(
        "whole",
        [
            _image("image"),
            _layer("RandomFlip", "flip", mode="horizontal", rng_type="stateful"),
            base,
            _layer("GlobalAveragePooling2D", "pool"),
            _layer("Dense", "scores", units=3, activation="softmax"),
        ],
        calls=1,
    )
    image = keras.Input((32, 32, 3))
    x = L.SeparableConv2D(8, 3)(L.DepthwiseConv2D(3)(L.BatchNormalization()(L.Conv2D(8, 3, use_bias=False)(image))))
    model = keras.Model(image, L.Dense(3, activation="softmax")(L.GlobalAveragePooling2D()(x)))
    inside = keras.Model(image, x, name="base")
    outer = keras.Sequential([keras.Input((32, 32, 3)), L.RandomFlip(), inside, *model.layers[-2:]])
    path = saved(outer, tmp_path / "keras2.h5")
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = json.dumps(whole)
        file.attrs["keras_version"] = "2.15.0"
    np.testing.assert_allclose(keras_file.load(path)(images(), training=False), model(images()), atol=1e-6)


def _operation(function: Any, kind: str = "TFOpLambda") -> dict[str, Any]:
    return _layer(kind, "step", function=function)


def test_arithmetic_of_keras_2_needs_tf_keras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    h5py = pytest.importorskip("h5py")
    path = saved(network(), tmp_path / "keras2.h5")
    whole = _keras2("whole", [_image("image"), _operation("math.truediv")], calls=0)
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = json.dumps(whole)
        file.attrs["keras_version"] = "2.15.0"
    monkeypatch.setitem(sys.modules, "tf_keras", None)
    with pytest.raises(ModelError, match="layer 'step' of class TFOpLambda cannot be made: pip install tf_keras"):
        keras_file.load(path)


@pytest.mark.parametrize(
    "layer", [_layer("RandomCrop", "step", height=20, width=20), _layer("Dense", "step", activation="hard_sigmoid")]
)
def test_what_keras_3_computes_otherwise_needs_tf_keras(layer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keras 3 gives the image of RandomCrop as it is, and hard_sigmoid a slope of 1/6 instead of 1/5."""
    monkeypatch.setitem(sys.modules, "tf_keras", None)
    whole = _keras2("whole", [_image("image"), layer], calls=0)
    with pytest.raises(ModelError, match=r"layer 'step' of class .* means something else in Keras 3: pip install"):
        keras2.reader(Path("a.h5"), whole)


@pytest.mark.parametrize(
    ("layer", "harmless"),
    [
        (_operation("math.truediv"), True),
        (_operation("cast"), True),
        (_operation("nn.relu6"), True),
        (_operation("__operators__.getitem", "SlicingOpLambda"), True),
        (_operation("io.write_file"), False),
        (_operation("load_op_library"), False),
        (_operation("keras.utils.get_file"), False),
        (_operation("py_function"), False),
        (_operation(["math.truediv"]), False),
        (_layer("ClassMethod", "step", cls_symbol="data.Dataset"), False),
        (_layer("Dense", "step", activation={"module": "os", "class_name": "function", "config": "system"}), False),
        (_layer("Dense", "step", kernel_initializer={"module": "subprocess", "class_name": "Popen"}), False),
        (_layer("Dense", "step", activation={"module": "builtins", "class_name": "function", "config": "exec"}), False),
        (_layer("TimeDistributed", "step", layer=_layer("Lambda", "inside", function="exec")), False),
    ],
)
def test_files_for_tf_keras_call_nothing_but_what_computes(
    layer: Any, harmless: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tf_keras", SimpleNamespace())
    whole = _keras2("whole", [_image("image"), layer], calls=0)
    if harmless:
        assert keras2.reader(Path("a.h5"), whole).config == whole
    else:
        with pytest.raises(ModelError, match=r"a\.h5: it calls .*, which is not run"):
            keras2.reader(Path("a.h5"), whole)


class Doubling(L.Layer):
    """Somebody's own layer, of a class that is not registered."""

    def call(self, x: Any) -> Any:
        """Twice the image."""
        return x * 2


@keras.saving.register_keras_serializable("of others")
class Ones(keras.initializers.Initializer):
    """Somebody's own initializer."""

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        """Ones."""
        return keras.ops.ones(shape, dtype)


def test_what_training_alone_needs_is_left_out(tmp_path: Path) -> None:
    path = saved(network(L.Conv2D(3, 1, kernel_initializer=Ones())), tmp_path / "model.keras")
    registered = keras.saving.get_custom_objects()
    kept = registered.pop("of others>Ones")
    try:
        assert (keras_file.load(path).layers[1].get_weights()[0] == 1).all()
    finally:
        registered["of others>Ones"] = kept


def _lambda() -> Any:
    return L.Lambda(lambda x: x / 255.0, name="scaling")


def _with_nan(path: Path) -> Path:
    model = network()
    model.layers[-1].set_weights([np.full((8, 3), np.nan), np.zeros(3)])
    model.layers[-1].name = "scores"
    return saved(model, path)


def _weights_alone(path: Path) -> Path:
    network().save_weights(path.with_suffix(".weights.h5"))
    return path.with_suffix(".weights.h5").rename(path)


def _archive_of_nothing(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "[" * 100_000)
    return path


@pytest.mark.parametrize("extension", [".keras", ".h5"])
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: saved(network(Doubling(name="twice")), path), "layer 'twice' of class Doubling cannot be made: "),
        (lambda path: saved(network(_lambda()), path), "layer 'scaling' of class Lambda is Python code, which is not"),
        (
            lambda path: saved(network(L.Conv2D(3, 1, activation=lambda x: x, name="conv")), path),
            "layer 'conv' of class Conv2D is Python code, which is not run",
        ),
        (_with_nan, "has weights that are not finite (kernel)"),
        (_weights_alone, "is an HDF5 file of weights without their network: "),
        (_archive_of_nothing, "is damaged, or no .keras file: config.json in it cannot be read"),
    ],
)
def test_what_cannot_be_converted_says_why(
    tmp_path: Path, make: Callable[[Path], Path], message: str, extension: str
) -> None:
    path = make(tmp_path / f"model{extension}")
    done = CliRunner().invoke(main, ["convert", "--model", str(path), "--float32", "--output", str(tmp_path / "o")])
    (said,) = [line for line in done.stderr.splitlines() if line.startswith("Error")]
    assert (done.exit_code, str(path) in said, message in said) == (1, True, True), said
    assert not (tmp_path / "o").exists()


def test_weights_of_a_saved_model_are_finite(tmp_path: Path) -> None:
    model = network()
    model.layers[-1].set_weights([np.full((8, 3), np.inf), np.zeros(3)])
    model.export(tmp_path / "saved", verbose=False)
    with pytest.raises(ModelError, match=rf"saved: layer '.*{model.layers[-1].name}' has weights that are not finite"):
        from_file(tmp_path / "saved")


def test_augmentation_in_a_saved_model_is_told(tmp_path: Path) -> None:
    model = network(L.RandomFlip(), L.RandomContrast(0.1))
    model.export(tmp_path / "saved", verbose=False)
    with pytest.raises(ModelError, match="augmentation layers hold state that cannot be frozen; convert"):
        to_tflite(from_file(tmp_path / "saved"), "scores")
    assert to_tflite(from_file(saved(model, tmp_path / "model.keras")), "scores")


def test_a_saved_model_that_computes_in_float16_is_told(tmp_path: Path) -> None:
    keras.config.set_dtype_policy("mixed_float16")
    try:
        network().export(tmp_path / "saved", verbose=False)
    finally:
        keras.config.set_dtype_policy("float32")
    with pytest.raises(ModelError, match="computes in float16, which TFLite does not: convert") as caught:
        to_tflite(from_file(tmp_path / "saved"), "scores")
    assert "\n" not in str(caught.value)


def test_integers_are_pixels() -> None:
    model = _ends((32, 32, 3), L.GlobalAveragePooling2D())
    image = keras.Input((32, 32, 3), dtype="uint8")
    assert read(from_keras(keras.Model(image, model(L.Rescaling(1.0)(image))))).domain == "pixels"
    image = keras.Input((32, 32, 3), dtype="int32")
    with pytest.raises(ModelError, match="takes int32 input: must be float32 or uint8"):
        from_keras(keras.Model(image, model(L.Rescaling(1.0)(image))))


def test_a_signature_is_chosen_by_name(tmp_path: Path) -> None:
    model = network()
    ask = tf.function(lambda image: {"scores": model(image)}, input_signature=[tf.TensorSpec((None, 32, 32, 3))])
    tf.saved_model.save(model, str(tmp_path / "saved"), signatures={"predict": ask})
    with pytest.raises(ModelError, match="no signature 'serving_default'; it has predict: pass one as --signature"):
        from_file(tmp_path / "saved")
    assert from_file(tmp_path / "saved", signature="predict").classes == 3
    with pytest.raises(ModelError, match=r"--signature a: .* is no SavedModel folder"):
        from_file(saved(model, tmp_path / "model.keras"), signature="a")
    with pytest.raises(UsageError, match="--signature belongs to --model"):
        Request((default("float32"),), variant="lite0", signature="a")


def _ends(image: tuple[int, ...], head: Callable[[Any], Any], **options: Any) -> Any:
    inputs = keras.Input(image, **options)
    return keras.Model(inputs, head(L.Conv2D(4, 3, name="conv")(inputs)))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: _ends((32, 32, 4), L.GlobalAveragePooling2D()), r"shape \(None, 32, 32, 4\): must be \(batch, height"),
        (lambda: _ends((32, 32, 3), L.Identity()), r"output of shape \(1, 30, 30, 4\): must be \(batch"),
        (lambda: _ends((32, 32, 3), lambda x: [x, x]), r"2 outputs: conv:0 \(1, 30, 30, 4\), conv:1 .*--output-name"),
        (lambda: _ends((None, None, 3), L.GlobalAveragePooling2D()), "leaves its input size open: pass --input-size"),
    ],
    ids=["four channels", "segmentation", "two outputs", "open size"],
)
def test_other_ends_are_refused_by_their_shape(model: Callable[[], Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        from_keras(model())


def test_a_batch_of_eight_becomes_one() -> None:
    model = _ends((32, 32, 3), L.GlobalAveragePooling2D(), batch_size=8)
    assert Model(to_tflite(from_keras(model), "scores")).outputs == 4


def _given(classifier: Any, image: np.ndarray) -> np.ndarray:
    return Model(to_tflite(classifier, "scores")).scores(image)


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_may_come_first(channels: int) -> None:
    inner = _ends((32, 32, channels), L.GlobalAveragePooling2D())
    image = keras.Input((channels, 32, 32))
    classifier = from_keras(keras.Model(image, inner(L.Permute((2, 3, 1))(image))))
    pixels = images()[0][..., :channels]
    assert (classifier.height, classifier.width, classifier.channels) == (32, 32, channels)
    np.testing.assert_allclose(_given(classifier, pixels), inner(pixels[None])[0], atol=1e-6)


def test_grey_images_may_have_no_axis_of_channels() -> None:
    model = keras.Sequential([keras.Input((28, 28)), L.Flatten(), L.Dense(3)])
    pixels = images()[0][:28, :28, :1]
    np.testing.assert_allclose(_given(from_keras(model), pixels), model(pixels[None, ..., 0])[0], atol=1e-5)


def test_scores_may_stand_in_four_axes() -> None:
    model = _ends((32, 32, 3), L.AveragePooling2D(30))
    classifier = from_keras(model)
    assert classifier.classes == 4
    np.testing.assert_allclose(_given(classifier, images()[0]), model(images()[:1])[0, 0, 0], atol=1e-6)


@pytest.mark.parametrize("how", ["keras", "saved"])
def test_one_of_several_outputs_is_chosen_by_name(tmp_path: Path, how: str) -> None:
    def heads(x: Any) -> dict[str, Any]:
        pooled = L.GlobalAveragePooling2D()(x)
        return {"box": L.Dense(2)(pooled), "kind": L.Dense(3)(pooled)}

    model = _ends((32, 32, 3), heads)
    path = saved(model, tmp_path / "model.keras")
    if how == "saved":
        path = tmp_path / "saved"
        model.export(path, verbose=False)
    classifier = from_file(path, output_name="kind")
    np.testing.assert_allclose(_given(classifier, images()[0]), model(images()[:1])["kind"][0], atol=1e-6)
    with pytest.raises(ModelError, match=r"no output 'x': .*kind \(1, 3\)"):
        from_file(path, output_name="x")


def test_the_image_of_a_saved_model_may_be_integers(tmp_path: Path) -> None:
    """Whose change to floats is left out, as no int8 model has one."""
    image = keras.Input((32, 32, 3), dtype="uint8")
    model = keras.Model(image, _ends((32, 32, 3), L.GlobalAveragePooling2D())(L.Rescaling(1 / 255)(image)))
    model.export(tmp_path / "saved", verbose=False)
    content = to_tflite(from_file(tmp_path / "saved"), "scores")
    assert "CAST" not in [operator.name for operator in read_graph(content).subgraphs[0].operators]
    pixels = (images() * 255).astype(np.uint8)
    np.testing.assert_allclose(Model(content).scores(pixels[0].astype(np.float32)), model(pixels)[0], atol=1e-6)


def test_augmentation_that_counts_its_calls_converts() -> None:
    model = network(L.RandomHue(0.1), L.RandomGrayscale())
    assert from_keras(model).classes == 3


def test_text_is_no_image(tmp_path: Path) -> None:
    model = network()
    pixels = tf.function(lambda image: model(image), input_signature=[tf.TensorSpec((None, 32, 32, 3))])
    decode = tf.function(
        lambda text: model(tf.reshape(tf.io.decode_raw(text, tf.float32), (1, 32, 32, 3))),
        input_signature=[tf.TensorSpec((), tf.string)],
    )
    tf.saved_model.save(model, str(tmp_path / "saved"), signatures={"serving_default": decode, "pixels": pixels})
    with pytest.raises(ModelError, match=r"text or encoded images \(text\): .* it has pixels \(--signature\)"):
        from_file(tmp_path / "saved")
    assert from_file(tmp_path / "saved", signature="pixels").classes == 3


def test_finite_weights_may_give_scores_that_are_no_numbers(tmp_path: Path) -> None:
    large = keras.initializers.Constant(1e30)
    model = _ends((32, 32, 3), lambda x: L.Dense(2, kernel_initializer=large)(L.GlobalAveragePooling2D()(x * 1e30)))
    path = saved(model, tmp_path / "model.keras")
    with pytest.raises(ModelError, match="the float32 model gives scores that are not numbers for image a synthetic"):
        convert(Request((default("float32"),), model=path, output=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_constants_of_a_saved_model_are_numbers(tmp_path: Path) -> None:
    model = network()
    shifted = tf.function(
        lambda image: model(image) + tf.constant([0.0, np.nan, 0.0]),
        input_signature=[tf.TensorSpec((None, 32, 32, 3))],
    )
    tf.saved_model.save(model, str(tmp_path / "saved"), signatures=shifted)
    with pytest.raises(ModelError, match=r"saved: constant '.*' has values that are not numbers"):
        from_file(tmp_path / "saved")


def _zip_of(name: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(name, b"x")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a pointer of Git LFS: git lfs pull"),
        (b"\n<!DOCTYPE html>", "is a web page"),
        (b"\x1f\x8b\x08", "is an archive: unpack it"),
        (b"\x08\x01\x12\x80\x01", "is the graph of a SavedModel: pass its folder"),
        (b"\x08\x08\x12\x07pytorch", "is an ONNX model: convert it with onnx2tf"),
        (b"\x0a\x2b\x0a\x05input\x12\x0bPlaceholder", "is a frozen graph of TensorFlow 1: export a SavedModel"),
        (b"\x80\x02}q\x00.", "is a checkpoint of PyTorch, .*--weights"),
        (_zip_of("model/data.pkl"), "is a checkpoint of PyTorch, .*--weights"),
        (b"\x20\0\0\0\0\0\0\0" + b'{"a":{"dtype"', "is safetensors, weights without their network: .*--weights"),
        (b'{"format": "layers-model"}', "is JSON, a network without its weights"),
        (_zip_of("saved/saved_model.pb"), "is an archive of a SavedModel: unpack it"),
        (_zip_of("best.keras"), "is an archive: unpack it, and pass best.keras"),
        (_zip_of("readme"), "is damaged, or no .keras file"),
        (b"\x89HDF\r\n\x1a\n", "is damaged, or neither a .keras file nor a SavedModel folder"),
    ],
)
def test_other_files_are_told_by_their_content(tmp_path: Path, content: bytes, kind: str) -> None:
    path = tmp_path / "model.keras"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=rf"model\.keras {kind}"):
        from_file(path)


def test_folders_beside_a_model_name_it(tmp_path: Path) -> None:
    network().export(tmp_path / "served" / "1", verbose=False)
    with pytest.raises(ModelError, match=r"served holds no saved_model.pb: .*; .*served/1 is one"):
        from_file(tmp_path / "served")


def test_a_model_may_have_any_name(tmp_path: Path) -> None:
    path = saved(network(), tmp_path / "model.keras").rename(tmp_path / os.fsdecode(b"caf\xe9.keras"))
    (made,) = convert(Request((default("float32"),), model=path, output=tmp_path)).files
    assert made.path.stem == os.fsdecode(b"caf\xe9-float32")
    assert Model(made.path).output.shape == (1, 3)
