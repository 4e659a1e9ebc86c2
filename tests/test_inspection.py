"""Inspection against numbers worked out by hand, and against the published figures of public models."""

import dataclasses
import io
import json
import random
import zipfile
from pathlib import Path

import numpy as np
import pytest

from lite_toolkit import outputs
from lite_toolkit.errors import ModelError
from lite_toolkit.tflite import inspection
from lite_toolkit.tflite.flatbuffer_writer import Numbers, Scalar, write
from lite_toolkit.tflite.graph import Operator, Subgraph, Tensor, read_graph
from lite_toolkit.tflite.inspection import inspect, operator_madds

SHARED = Path(__file__).resolve().parents[1].parent / "shared" / "edgetpu" / "pairs"


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one small network as float.tflite, dynamic.tflite, int8.tflite and float_ends.tflite."""
    tf = pytest.importorskip("tensorflow")
    keras, folder = tf.keras, tmp_path_factory.mktemp("models")
    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [
            keras.Input((8, 8, 3), batch_size=1),
            keras.layers.Conv2D(4, 3, strides=2, padding="same", bias_initializer="random_normal"),
            keras.layers.DepthwiseConv2D(3, padding="same", bias_initializer="random_normal"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(5, bias_initializer="random_normal"),
        ]
    )
    images = np.random.default_rng(0).normal(size=(4, 1, 8, 8, 3)).astype(np.float32)
    converter = tf.lite.TFLiteConverter.from_keras_model(network)
    (folder / "float.tflite").write_bytes(converter.convert())
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    (folder / "dynamic.tflite").write_bytes(converter.convert())
    converter.representative_dataset = lambda: ([image] for image in images)
    (folder / "float_ends.tflite").write_bytes(converter.convert())
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    (folder / "int8.tflite").write_bytes(converter.convert())
    return folder


KINDS = ("float", "dynamic", "float_ends", "int8")


@pytest.mark.parametrize("kind", KINDS)
def test_costs_by_hand(models: Path, kind: str) -> None:
    found = inspect(models / f"{kind}.tflite")
    # Both convolutions give 4x4x4 values: of 3x3x3 products each, and of 3x3; the dense layer 5 of 4.
    assert found.madds == 64 * 27 + 64 * 9 + 5 * 4
    assert found.parameters == (108 + 4) + (36 + 4) + (20 + 5)


@pytest.mark.parametrize(
    ("kind", "float_operators", "boundary", "fully", "inside"),
    [
        ("float", {"CONV_2D": 1, "DEPTHWISE_CONV_2D": 1, "FULLY_CONNECTED": 1, "MEAN": 1}, 0, False, False),
        ("float_ends", {"DEQUANTIZE": 1, "QUANTIZE": 1}, 2, False, True),
        ("int8", {}, 0, True, True),
    ],
)
def test_float_operators_that_are_left(
    models: Path, kind: str, float_operators: dict[str, int], boundary: int, fully: bool, inside: bool
) -> None:
    found = inspect(models / f"{kind}.tflite")
    assert found.float_operators == float_operators
    assert found.boundary_operators == boundary
    assert (found.is_fully_integer, found.is_integer_inside) == (fully, inside)


def test_a_float_ends_model_has_two_float_tensors(models: Path) -> None:
    assert inspect(models / "float_ends.tflite").float_tensors == 2
    assert inspect(models / "int8.tflite").float_tensors == 0


def test_sizes_by_hand(models: Path) -> None:
    sizes = inspect(models / "int8.tflite").sizes
    assert sizes.weights_bytes == {"int8": 108 + 36 + 20}
    assert sizes.biases_bytes == 4 * (4 + 4 + 5)
    assert sizes.other_buffers_bytes == 8  # the two axes of MEAN, int32
    assert sizes.associated_files_bytes == 0


def _sum(sizes: inspection.Sizes) -> int:
    parts = dataclasses.asdict(sizes)
    return sum(parts.pop("weights_bytes").values()) + sum(parts.values())


@pytest.mark.parametrize("kind", KINDS)
def test_the_parts_add_up_to_the_file(models: Path, kind: str) -> None:
    found = inspect(models / f"{kind}.tflite")
    assert _sum(found.sizes) == found.size_bytes == (models / f"{kind}.tflite").stat().st_size


def test_convolutions_are_quantized_per_channel(models: Path) -> None:
    weights = inspect(models / "int8.tflite").weights
    assert weights.per_channel >= 2
    assert weights.per_channel + weights.per_tensor == 3
    assert inspect(models / "float.tflite").weights == inspection.WeightCount(0, 0, 3)


def test_inputs_and_outputs(models: Path) -> None:
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    found = inspect(models / "int8.tflite")
    interpreter = litert.Interpreter(model_path=str(models / "int8.tflite"))
    for endpoint, (expected,) in (
        (found.inputs[0], interpreter.get_input_details()),
        (found.outputs[0], interpreter.get_output_details()),
    ):
        assert (endpoint.scale, endpoint.zero_point) == expected["quantization"]
        assert (endpoint.name, endpoint.dtype, endpoint.shape) == (
            expected["name"],
            "int8",
            tuple(expected["shape_signature"]),
        )
    plain = inspect(models / "float.tflite").inputs[0]
    assert (plain.dtype, plain.scale, plain.zero_point) == ("float32", None, None)


def test_the_document(models: Path) -> None:
    document = json.loads(outputs.to_json(inspect(models / "int8.tflite").to_json()))
    assert (document["schema"], document["schema_version"]) == ("lite-toolkit/inspect", 1)
    assert document["file"] == "int8.tflite"
    assert len(document["sha256"]) == 64
    assert document["is_fully_integer"] is True
    assert {"name": "CONV_2D", "count": 1, "versions": [3]} in document["operators"]
    assert document["signatures"] == ["serving_default"]
    assert "min_runtime_version" in document["metadata"]


# Associated files


def _archive() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("labels.txt", "cat\ndog\n")
        archive.writestr("../notes.txt", "names are only shown\n")
    return stream.getvalue()


def test_associated_files_are_named(models: Path, tmp_path: Path) -> None:
    path, model, archive = tmp_path / "m.tflite", (models / "int8.tflite").read_bytes(), _archive()
    path.write_bytes(model + archive)
    found = inspect(path)
    assert found.associated_files == ("labels.txt", "../notes.txt")
    assert found.sizes.associated_files_bytes == len(archive)
    assert _sum(found.sizes) == found.size_bytes


def test_a_broken_archive_is_refused(models: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    broken = _archive().replace(b"PK\x01\x02", b"PK\x00\x00")
    path.write_bytes((models / "int8.tflite").read_bytes() + broken)
    with pytest.raises(ModelError, match="archive of associated files is broken"):
        inspect(path)


def test_no_mutation_is_more_than_a_model_error(models: Path, tmp_path: Path) -> None:
    choose, path, refused = random.Random(1), tmp_path / "m.tflite", 0
    whole = (models / "float_ends.tflite").read_bytes() + _archive()
    for _ in range(300):
        content = bytearray(whole)
        content[choose.randrange(8, len(content))] = choose.randrange(256)
        path.write_bytes(content)
        try:
            outputs.to_json(inspect(path).to_json())
        except ModelError:
            refused += 1
    assert 10 < refused < 290


# Multiply-adds


def _tensor(index: int, *shape: int) -> Tensor:
    return Tensor(index, "", shape, "int8", shape, None, False, 0, memoryview(b""))


@pytest.mark.parametrize(
    ("name", "shapes", "inputs", "madds"),
    [
        ("CONV_2D", [(1, 8, 8, 3), (16, 3, 3, 3), (1, 4, 4, 16)], (0, 1), 4 * 4 * 16 * 27),
        ("CONV_2D", [(2, 8, 8, 4), (16, 1, 1, 2), (2, 8, 8, 16)], (0, 1), 2 * 8 * 8 * 16 * 2),  # two groups
        ("DEPTHWISE_CONV_2D", [(1, 8, 8, 3), (1, 5, 5, 6), (1, 8, 8, 6)], (0, 1), 8 * 8 * 6 * 25),
        ("FULLY_CONNECTED", [(2, 7), (5, 7), (2, 5)], (0, 1), 2 * 5 * 7),
        ("TRANSPOSE_CONV", [(4,), (6, 3, 3, 2), (1, 4, 4, 2), (1, 8, 8, 6)], (0, 1, 2), 4 * 4 * 2 * 9 * 6),
        ("ADD", [(1, 8), (1, 8), (1, 8)], (0, 1), 0),
    ],
)
def test_multiply_adds_by_hand(name: str, shapes: list[tuple[int, ...]], inputs: tuple[int, ...], madds: int) -> None:
    tensors = tuple(_tensor(index, *shape) for index, shape in enumerate(shapes))
    operator = Operator(0, name, 1, inputs, (len(shapes) - 1,), {})
    assert operator_madds(Subgraph("", tensors, (), (), (operator,)), operator) == madds


def test_a_convolution_without_weights_is_refused() -> None:
    operator = Operator(7, "CONV_2D", 1, (0, -1), (0,), {})
    with pytest.raises(ModelError, match="operator 7 CONV_2D"):
        operator_madds(Subgraph("", (_tensor(0, 1, 8, 8, 3),), (), (), (operator,)), operator)


# Public models


def _public(name: str) -> Path:
    path = SHARED / f"{name}.tflite"
    if not path.exists():
        pytest.skip("the public models do not lie beside this checkout")
    return path


@pytest.mark.parametrize(
    ("name", "millions_of_madds", "millions_of_parameters"),
    [
        # The tables that the TensorFlow models repository published with these networks.
        ("mobilenet_v1_0.25_128_quant", 14, 0.47),
        ("mobilenet_v1_0.5_160_quant", 77, 1.34),
        ("mobilenet_v2_1.0_224_quant", 300, 3.47),
    ],
)
def test_published_costs(name: str, millions_of_madds: int, millions_of_parameters: float) -> None:
    found = inspect(_public(name))
    assert found.madds / 1e6 == pytest.approx(millions_of_madds, abs=1)
    assert found.parameters / 1e6 == pytest.approx(millions_of_parameters, abs=0.02)
    assert found.associated_files == ("imagenet_labels.txt",)
    assert found.is_fully_integer


def test_every_public_model_is_inspected() -> None:
    _public("split_concat")
    for path in sorted(SHARED.glob("*.tflite")):
        found = inspect(path)
        assert _sum(found.sizes) == found.size_bytes == path.stat().st_size
        outputs.to_json(found.to_json())


def test_a_compiled_model_has_one_custom_operator() -> None:
    found = inspect(_public("mobilenet_v2_1.0_224_quant_edgetpu"))
    assert found.operators == (inspection.OperatorCount("edgetpu-custom-op", 1, (1,)),)
    assert (found.madds, found.parameters) == (0, 0)


def test_a_float_custom_operator_is_named() -> None:
    graph = read_graph(_public("posenet_mobilenet_v1_075_353_481_16_quant_decoder"))
    assert [operator.name for operator in inspection.float_operators(graph)] == ["PosenetDecoderOp"]
    assert inspection.boundary_operators(graph) == []


def _custom(path: Path, code: str, entry: str = "") -> Path:
    """A model of one custom operator, with an entry of metadata if it has a name; fields by schema.fbs."""
    tensors = [{0: Numbers("i", (1, 4)), 3: name} for name in ("sound", "scores")]
    graph = {0: tensors, 1: Numbers("i", [0]), 2: Numbers("i", [1]), 3: [{1: Numbers("i", [0]), 2: Numbers("i", [1])}]}
    custom = {0: Scalar("b", 32), 1: code, 3: Scalar("i", 32)}
    told = {6: [{0: entry}]} if entry else {}
    path.write_bytes(write({0: Scalar("I", 3), 1: [custom], 2: [graph], 4: [{}], **told}, b"TFL3"))
    return path


@pytest.mark.parametrize(
    ("code", "entry", "needs"),
    [
        ("SignalWindow", "", ("LiteRT for Microcontrollers (TFLite Micro) alone: SignalWindow",)),
        ("CIRCULAR_BUFFER", "", ("LiteRT for Microcontrollers (TFLite Micro) alone: CIRCULAR_BUFFER",)),
        ("Mine", "COMPRESSION_METADATA", ("LiteRT for Microcontrollers (TFLite Micro) alone: COMPRESSION_METADATA",)),
        ("ethos-u", "", ("LiteRT for Microcontrollers (TFLite Micro) or a delegate, with Arm's Ethos-U: ethos-u",)),
        ("Signalling", "", ()),
    ],
)
def test_what_only_microcontrollers_run_is_told(tmp_path: Path, code: str, entry: str, needs: tuple[str, ...]) -> None:
    assert inspect(_custom(tmp_path / "a.tflite", code, entry)).needs == needs
