"""Networks that are not of the family: every operator that classifiers convert to, and float `.tflite` files."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lite_toolkit.conversion import pipeline, tflite_file
from lite_toolkit.errors import ModelError
from lite_toolkit.images.preprocessing import google_lite
from lite_toolkit.measurement import validation
from lite_toolkit.quantization import kernels, recipes
from lite_toolkit.runtime.interpreter import Model
from lite_toolkit.tflite.graph import Operator, Subgraph, read_graph

pytest.importorskip("tensorflow", reason='needs the extra: pip install ".[convert]"')

from keras.src.applications import convnext, densenet, efficientnet_v2

from lite_toolkit.conversion.float_model import Classifier, from_keras, to_tflite
from lite_toolkit.networks.backend import keras, tf
from lite_toolkit.quantization import quantizer
from lite_toolkit.quantization.operators import quantized as rounded
from lite_toolkit.quantization.ranges import PLAIN
from lite_toolkit.quantization.walk import _sharing_pays
from lite_toolkit.tflite.surgery import pack, unpack

SIZE, CHANNELS = 16, 8
NO_KERNEL = {"FLOOR", "SIN"}


def images(count: int, seed: int = 0, size: int = SIZE) -> np.ndarray:
    """Smooth random fields, in -1..1."""
    coarse = np.random.default_rng(seed).uniform(-1, 1, (count, size // 4, size // 4, 3))
    return coarse.repeat(4, 1).repeat(4, 2).astype(np.float32)


def drawn(*shape: int) -> Any:
    return tf.constant(np.random.default_rng(sum(shape)).normal(0, 0.3, shape).astype(np.float32))


# What is done to (1, 8, 8, 8) activations of some -2 to 2; together these are all operators of `kernels.INT8` that
# TensorFlow's converter writes for networks of images.
BRANCHES: tuple[Callable[[Any], Any], ...] = (
    lambda x: tf.abs(x) / (tf.reduce_mean(tf.abs(x), (1, 2), keepdims=True) + 1),
    lambda x: tf.nn.avg_pool2d(x, 2, 2, "SAME"),
    lambda x: tf.nn.max_pool2d(x, 2, 2, "SAME"),
    lambda x: tf.nn.elu(x),
    lambda x: tf.exp(0.3 * x),
    lambda x: tf.nn.gelu(x),
    lambda x: x * tf.nn.relu6(x + 3) / 6,
    lambda x: tf.nn.leaky_relu(x, 0.3),
    lambda x: tf.math.log(tf.nn.sigmoid(x) + 1),
    lambda x: tf.maximum(tf.tanh(x), -0.5),
    lambda x: tf.minimum(x, tf.transpose(x, (0, 2, 1, 3))),
    lambda x: tf.nn.l2_normalize(x, -1),
    lambda x: tf.math.rsqrt(x * x + 1) + tf.sqrt(x * x + 1),
    lambda x: tf.math.squared_difference(x, tf.reduce_mean(x, -1, keepdims=True)),
    lambda x: tf.nn.softmax(x) - tf.reduce_sum(x, 1, keepdims=True) / 8,
    lambda x: tf.concat(tf.split(x, 2, -1)[::-1], -1),
    lambda x: tf.concat(tf.split(x, [3, 5], -1)[::-1], -1),
    lambda x: tf.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))),
    lambda x: tf.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-2.0),
    lambda x: tf.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), "REFLECT"),
    lambda x: tf.reduce_max(x, 1, keepdims=True) + tf.reduce_min(x, 1, keepdims=True),
    lambda x: tf.reverse(tf.image.resize(x, (12, 12)), [2]),
    lambda x: tf.tile(tf.image.resize(x, (16, 16), "nearest"), (1, 1, 2, 1)),
    lambda x: tf.nn.depth_to_space(tf.nn.space_to_depth(x, 2)[:, 1:4, 1:4], 2),
    lambda x: tf.stack(tf.unstack(x, axis=1)[::-1], 1),
    lambda x: tf.gather(x, [1, 0, 3, 2, 5, 4, 7, 6], axis=-1),
    lambda x: tf.where(x > 0, x, 0.2 * x),
    lambda x: tf.nn.relu6(tf.concat([2 * x, x], -1))[..., 4:12],
    lambda x: tf.nn.relu(tf.concat([x, x], -1))[..., 4:12],
    lambda x: tf.matmul(tf.reshape(x, (1, 64, 8)), tf.reshape(x, (1, 64, 8)), transpose_a=True)[:, None] / 64,
    lambda x: tf.nn.conv2d(x, drawn(3, 3, 4, 8), 1, "SAME"),  # of two groups
    lambda x: tf.nn.conv2d(x, drawn(3, 3, 8, 8), 1, "SAME", dilations=2),
    lambda x: tf.nn.depthwise_conv2d(x, drawn(3, 3, 8, 1), (1, 1, 1, 1), "SAME", dilations=(2, 2)),
    lambda x: tf.nn.depthwise_conv2d(x, drawn(3, 3, 8, 2), (1, 1, 1, 1), "SAME")[..., 4:12],
    lambda x: tf.nn.relu(tf.tensordot(x, drawn(8, 8), 1)),
    lambda x: tf.batch_to_space(tf.space_to_batch(x, (2, 2), ((0, 0), (0, 0))), (2, 2), ((0, 0), (0, 0))),
    lambda x: tf.squeeze(tf.broadcast_to(tf.reduce_mean(x, 1, keepdims=True), (1, 8, 8, 8))[:, None], 1),
    lambda x: tf.nn.relu(tf.nn.conv2d(x, drawn(3, 3, 8, 8), 1, "SAME") - 100),  # always 0
    lambda x: tf.sin(x) + tf.floor(3 * x) / 3,
)  # fmt: skip


def many_operators(image: Any) -> Any:
    x = tf.nn.conv2d(image, drawn(3, 3, 3, CHANNELS), 2, "SAME")
    seen = [tf.reduce_mean(branch(x), (1, 2)) for branch in BRANCHES]
    return tf.matmul(tf.concat(seen, -1), drawn(CHANNELS * len(BRANCHES), 5))


@pytest.fixture(scope="module")
def float_model() -> bytes:
    return to_tflite(Classifier(lambda image: [many_operators(image)], SIZE, SIZE, 3, 5), "scores")


@pytest.fixture(scope="module")
def quantized(float_model: bytes) -> bytes:
    return quantizer.quantize(float_model, recipes.load("int8"), google_lite(SIZE), list(images(30, seed=1)))


def operators_of(graph: Subgraph) -> Iterator[Operator]:
    return (operator for operator in graph.operators if operator.name not in ("QUANTIZE", "DEQUANTIZE"))


class TestOperators:
    def test_the_branches_have_them_all(self, float_model: bytes) -> None:
        rare = {"EXPAND_DIMS", "PADV2", "PRELU", "SELECT_V2", "SLICE", "SPLIT_V", "SQUEEZE", "TRANSPOSE_CONV"}
        found = {operator.name for operator in read_graph(float_model).subgraphs[0].operators}
        assert kernels.INT8 - rare <= found | {"GATHER_ND", "SELECT"}
        assert found >= NO_KERNEL

    def test_those_with_a_kernel_are_int8(self, quantized: bytes) -> None:
        graph = read_graph(quantized).subgraphs[0]
        left = {
            operator.name
            for operator in operators_of(graph)
            if any(graph.tensors[index].dtype == "float32" for index in operator.outputs)
        }
        assert left == NO_KERNEL

    def test_each_does_what_the_float_one_does(self, float_model: bytes, quantized: bytes) -> None:
        unseen = images(20, seed=2)
        found = validation.compare(*(validation.scores(model, unseen) for model in (float_model, quantized)))
        layers = validation.assess(float_model, quantized, found, list(unseen)).layers
        assert {layer.name: layer.own_sqnr_db for layer in layers if (layer.own_sqnr_db or 99) < 20} == {}

    def test_kernels_have_the_scales_that_they_demand(self, quantized: bytes) -> None:
        graph = read_graph(quantized).subgraphs[0]
        for operator in operators_of(graph):
            steps = [graph.tensors[index].quantization for index in (*operator.inputs, *operator.outputs) if index >= 0]
            scales = [float(step.scales[0]) for step in steps if step]
            if operator.name in kernels.SAME_AS_INPUT:
                assert len(set(scales)) == 1, operator.name
            if operator.name in kernels.FIXED:
                low, high = kernels.FIXED[operator.name]
                assert scales[-1] == pytest.approx((high - low) / 255), operator.name

    @pytest.mark.parametrize(("activation", "pays"), [("NONE", True), ("RELU", False)])
    def test_a_sum_is_judged_behind_its_activation(self, activation: str, pays: bool) -> None:
        """Of a sum that is mostly negative, ReLU leaves little, for which the operands' scale is far too coarse."""
        generator = np.random.default_rng(0)
        first, second = generator.normal(-9, 3, (2, 4, 8, 8, 8)).astype(np.float32)
        shared = own = (-32.0, 31.75)
        operator = Operator(0, "ADD", 1, (0, 1), (2,), {"fused_activation_function": activation})
        assert _sharing_pays(operator, rounded(first, shared), second + 8, own, shared, PLAIN) is pays


STAGES = efficientnet_v2.DEFAULT_BLOCKS_ARGS["efficientnetv2-b0"]
SHAPE = {"input_shape": (32, 32, 3), "weights": None, "classes": 4, "classifier_activation": None}
FAMILIES: dict[str, Callable[[], Any]] = {
    "ConvNeXt": lambda: convnext.ConvNeXt((1, 1, 1, 1), (8, 8, 16, 16), **SHAPE),
    "DenseNet": lambda: densenet.DenseNet([1, 1, 1, 1], **SHAPE),
    "EfficientNetV2": lambda: efficientnet_v2.EfficientNetV2(0.2, 0.1, 32, blocks_args=STAGES, **SHAPE),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_networks_of_keras_applications_classify_in_int8(family: str) -> None:
    """Members with the fewest layers and channels: their operators are those of the whole family."""
    keras.utils.set_random_seed(0)
    float_model = to_tflite(from_keras(FAMILIES[family]()), "scores")
    unseen, recipe = images(4, seed=2, size=32), recipes.load("int8")
    content = quantizer.quantize(float_model, recipe, google_lite(32), list(images(6, size=32)))
    found = validation.compare(*(validation.scores(model, unseen) for model in (float_model, content)))
    assert found.sqnr_db is not None
    assert found.sqnr_db > 6


class TestTfliteFiles:
    @pytest.fixture(scope="class")
    def written(self, tiny: Any) -> bytes:
        return to_tflite(from_keras(tiny), "logits")

    @pytest.fixture
    def old(self, written: bytes, tmp_path: Path) -> Path:
        """As a converter of 2018 wrote it: codes in the deprecated field alone, no signature, any number of images."""
        model = unpack(written)
        for code in model.operatorCodes:
            code.deprecatedBuiltinCode, code.builtinCode = code.builtinCode, 0
        model.signatureDefs = None
        for index in (*model.subgraphs[0].inputs, *model.subgraphs[0].outputs):
            tensor = model.subgraphs[0].tensors[index]
            tensor.shapeSignature = [-1, *tensor.shape[1:]]
        (tmp_path / "old.tflite").write_bytes(pack(model))
        return tmp_path / "old.tflite"

    @pytest.mark.parametrize("form", ["float32", "float16", "dynamic", "int8", "int16x8"])
    def test_old_ones_are_converted_as_new_ones(
        self, old: Path, written: bytes, form: recipes.Format, tmp_path: Path, photographs: Path
    ) -> None:
        (tmp_path / "new.tflite").write_bytes(written)
        scores = []
        for name in ("old", "new"):
            request = pipeline.Request(
                (recipes.default(form),), model=tmp_path / f"{name}.tflite", output=tmp_path / "out",
                calibration_data=photographs, preprocessing=google_lite,
            )  # fmt: skip
            (file,) = pipeline.convert(request).files
            model = Model(file.path)
            scores.append(model.run(model.input.quantize(images(1, size=32)[0])))
        np.testing.assert_array_equal(*scores)

    def test_the_manifest_beside_one_tells_its_preprocessing(self, tiny: Any, tmp_path: Path) -> None:
        tiny.save(tmp_path / "tiny.keras")
        labels = tuple("abcdef")
        request = pipeline.Request(
            (recipes.default("float32"),), model=tmp_path / "tiny.keras", output=tmp_path, labels=labels,
            preprocessing=lambda size: replace(google_lite(size), mean=(1.0, 2.0, 3.0)),
        )  # fmt: skip
        (file,) = pipeline.convert(request).files
        again = pipeline.Request((recipes.default("dynamic"),), model=file.path, output=tmp_path)
        (made,) = pipeline.convert(again).files
        assert made.manifest["preprocessing"] == file.manifest["preprocessing"]
        assert made.manifest["labels"] == labels

    @pytest.mark.parametrize("form", ["int8", "float16", "dynamic"])
    def test_a_quantized_one_is_refused(self, written: bytes, form: recipes.Format, tmp_path: Path) -> None:
        content = quantizer.quantize(written, recipes.default(form), google_lite(32), list(images(2, size=32)))
        (tmp_path / "q.tflite").write_bytes(content)
        with pytest.raises(ModelError, match=r"is quantized already .*: pass the float32 model that it was made from"):
            tflite_file.read(tmp_path / "q.tflite")

    def test_a_size_that_is_open_or_another_is_refused(self, written: bytes, tmp_path: Path) -> None:
        model = unpack(written)
        (tmp_path / "fixed.tflite").write_bytes(pack(model))
        with pytest.raises(ModelError, match="takes 32x32 pixels, which --input-size 64 contradicts"):
            tflite_file.read(tmp_path / "fixed.tflite", 64)
        model.subgraphs[0].tensors[model.subgraphs[0].inputs[0]].shapeSignature = [1, -1, -1, 3]
        (tmp_path / "open.tflite").write_bytes(pack(model))
        with pytest.raises(ModelError, match="leaves its input size open"):
            tflite_file.read(tmp_path / "open.tflite")


class TestWhatIsWritten:
    """`quantizer.choices` is replaced by one that gives what is to be judged."""

    def converted(
        self, monkeypatch: pytest.MonkeyPatch, tiny: Any, folder: Path, photographs: Path, *contents: bytes
    ) -> pipeline.Conversion:
        recipe = recipes.default("int8")
        found = zip((recipe, recipe.classic), contents, strict=False)
        monkeypatch.setattr(quantizer, "choices", lambda *_: iter(found))
        tiny.save(folder / "tiny.keras")
        request = pipeline.Request(
            (recipe,), model=folder / "tiny.keras", output=folder, calibration_data=photographs,
            preprocessing=google_lite,
        )  # fmt: skip
        return pipeline.convert(request)

    @pytest.mark.parametrize("better", ["default", "classic"])
    def test_the_better_of_default_and_classic(
        self, better: str, monkeypatch: pytest.MonkeyPatch, tiny: Any, tmp_path: Path, photographs: Path
    ) -> None:
        float_model = to_tflite(from_keras(tiny), "logits")
        good, bad = (
            quantizer.quantize(
                float_model, recipes.load("int8-minmax"), google_lite(32), [scale * images(1, size=32)[0]]
            )
            for scale in (1, 0.1)
        )
        contents = (good, bad) if better == "default" else (bad, good)
        done = self.converted(monkeypatch, tiny, tmp_path, photographs, *contents)
        assert done.files[0].manifest["recipe"]["name"] == ("int8" if better == "default" else "int8-minmax")
        assert any("recipe int8-minmax) lose less" in note for note in done.notes) == (better == "classic")

    def test_nothing_that_does_not_run(
        self, monkeypatch: pytest.MonkeyPatch, tiny: Any, tmp_path: Path, photographs: Path
    ) -> None:
        model = unpack(to_tflite(from_keras(tiny), "logits"))
        for code in model.operatorCodes:
            code.builtinCode = code.deprecatedBuiltinCode = 0
        with pytest.raises(ModelError, match=r"cannot load"):
            self.converted(monkeypatch, tiny, tmp_path, photographs, pack(model), pack(model))
        assert list(tmp_path.glob("*.tflite")) == []
