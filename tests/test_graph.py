"""The reader of `.tflite` files against the schema's own package, and against files that are wrong."""

import json
import random
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from lite_toolkit.errors import ModelError
from lite_toolkit.tflite import graph
from lite_toolkit.tflite import schema as schema_tables
from lite_toolkit.tflite.graph import read_graph

SHARED = Path(__file__).resolve().parents[1].parent / "shared" / "edgetpu"


@pytest.fixture(scope="session")
def schema() -> ModuleType:
    pytest.importorskip("flatbuffers")
    return pytest.importorskip("ai_edge_litert.schema_py_generated")


@pytest.fixture(scope="session")
def models() -> dict[str, bytes]:
    """A small network as the converter writes it: in float32, and with int8 inside and float at both ends."""
    tf = pytest.importorskip("tensorflow")
    keras = tf.keras
    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [
            keras.Input((8, 8, 3), batch_size=1),
            keras.layers.Conv2D(4, 3, strides=2, padding="same", activation="relu6"),
            keras.layers.DepthwiseConv2D(3, padding="valid", activation="relu"),
            keras.layers.MaxPooling2D(2, strides=1),
            keras.layers.GlobalAveragePooling2D(keepdims=True),
            keras.layers.Reshape((4,)),
            keras.layers.Dense(5, activation="softmax"),
        ]
    )
    images = np.random.default_rng(0).normal(size=(4, 1, 8, 8, 3)).astype(np.float32)
    converter = tf.lite.TFLiteConverter.from_keras_model(network)
    plain = converter.convert()
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image] for image in images)
    return {"float": plain, "int8": converter.convert()}


@pytest.fixture
def packed(schema: ModuleType) -> Any:
    """Bytes of a model of one operator, CONV_2D with a weight and a bias, after `change` has worked on its object."""
    import flatbuffers

    def pack(change: Any = lambda model: None) -> bytes:
        tensors = [_tensor(schema, shape) for shape in ([1, 4, 4, 1], [2, 3, 3, 1], [1, 4, 4, 2])]
        tensors[1].buffer = 1
        operator, code, subgraph = schema.OperatorT(), schema.OperatorCodeT(), schema.SubGraphT()
        operator.inputs, operator.outputs = [0, 1, -1], [2]
        operator.builtinOptionsType, operator.builtinOptions = 1, schema.Conv2DOptionsT()
        code.builtinCode, code.deprecatedBuiltinCode = 3, 3
        subgraph.tensors, subgraph.operators, subgraph.inputs, subgraph.outputs = tensors, [operator], [0], [2]
        model = schema.ModelT()
        model.version, model.description = 3, "by hand"
        model.buffers = [schema.BufferT(), schema.BufferT()]
        model.buffers[1].data = np.arange(18, dtype=np.uint8)
        model.operatorCodes, model.subgraphs = [code], [subgraph]
        change(model)
        builder = flatbuffers.Builder(0)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    return pack


def _tensor(schema: ModuleType, shape: list[int]) -> Any:
    tensor = schema.TensorT()
    tensor.shape, tensor.type, tensor.name = shape, schema.TensorType.INT8, "t"
    return tensor


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def _slot(schema: ModuleType, table: str, field: str) -> tuple[int, object]:
    """(number, default) with which the schema's package writes a field."""
    written: list[tuple[int, object]] = []

    class Recorder:
        def __getattr__(self, _: str) -> Any:
            return lambda number, value, default: written.append((number, default))

    getattr(schema, f"{table}Add{_camel(field)}")(Recorder(), 0)
    return written[0]


def _enumeration(enumeration: type) -> dict[str, int]:
    return {name: value for name, value in vars(enumeration).items() if isinstance(value, int)}


# Facts of the schema


def test_enumerations_are_the_schema_s(schema: ModuleType) -> None:
    numbered = {name: number for number, name in enumerate(schema_tables.OPERATORS)}
    assert numbered == _enumeration(schema.BuiltinOperator)
    types = {name.upper(): number for number, name in enumerate(schema_tables.TENSOR_TYPES)}
    assert types == _enumeration(schema.TensorType)
    activations = {name: number for number, name in enumerate(schema_tables.ENUMERATIONS["fused_activation_function"])}
    assert activations == _enumeration(schema.ActivationFunctionType)
    assert _enumeration(schema.Padding) == {"SAME": 0, "VALID": 1}


@pytest.mark.parametrize(
    ("table", "field"), [(table, field) for table in schema_tables.FIELDS for field in schema_tables.FIELDS[table]]
)
def test_field_numbers_are_the_schema_s(schema: ModuleType, table: str, field: str) -> None:
    assert schema_tables.FIELDS[table][field] == _slot(schema, table, field)[0]


@pytest.mark.parametrize("operator", schema_tables.OPTIONS)
def test_options_are_the_schema_s(schema: ModuleType, operator: str) -> None:
    union, fields = schema_tables.OPTIONS[operator]
    table = {number: name for name, number in _enumeration(schema.BuiltinOptions).items()}[union]
    for field, number in fields.items():
        assert (number, schema_tables.OPTION_DEFAULTS.get(field, 0)) == _slot(schema, table, field)


# Real files


def _assert_equal(schema: ModuleType, content: bytes) -> None:
    """Compare every value with what the schema's package reads."""
    found, expected = read_graph(content), schema.ModelT.InitFromPackedBuf(content)
    assert (found.version, found.description.encode()) == (expected.version, expected.description or b"")
    assert len(found.buffers) == len(expected.buffers)
    assert [entry.name.encode() for entry in found.metadata] == [entry.name for entry in expected.metadata or []]
    assert [key.encode() for key in found.signatures] == [entry.signatureKey for entry in expected.signatureDefs or []]
    for subgraph, wanted in zip(found.subgraphs, expected.subgraphs, strict=True):
        assert (subgraph.inputs, subgraph.outputs) == (tuple(wanted.inputs), tuple(wanted.outputs))
        for tensor, reference in zip(subgraph.tensors, wanted.tensors, strict=True):
            _assert_tensor_equal(tensor, reference, expected.buffers)
        for operator, reference in zip(subgraph.operators, wanted.operators or [], strict=True):
            _assert_operator_equal(operator, reference)


def _assert_tensor_equal(tensor: graph.Tensor, reference: Any, buffers: Any) -> None:
    assert tensor.name.encode() == reference.name
    assert list(tensor.shape) == _listed(reference.shape)
    assert schema_tables.TENSOR_TYPES.index(tensor.dtype) == reference.type
    assert tensor.is_variable == reference.isVariable
    scales = _listed(reference.quantization.scale) if reference.quantization else []
    assert (tensor.quantization.scales.tolist() if tensor.quantization else []) == scales
    if tensor.quantization:
        assert tensor.quantization.zero_points.tolist() == _listed(reference.quantization.zeroPoint)
        assert tensor.quantization.quantized_dimension == reference.quantization.quantizedDimension
    content = bytes(bytearray(_listed(buffers[reference.buffer].data)))
    assert bytes(tensor.content) == content
    if tensor.is_constant:
        assert tensor.data().shape == tensor.shape
        assert tensor.data().tobytes() == content


def _assert_operator_equal(operator: graph.Operator, reference: Any) -> None:
    assert (list(operator.inputs), list(operator.outputs)) == (_listed(reference.inputs), _listed(reference.outputs))
    for option, value in operator.options.items():
        camel = _camel(option)
        expected = getattr(reference.builtinOptions, camel[0].lower() + camel[1:])
        names = schema_tables.ENUMERATIONS.get(option)
        assert (names.index(value) if names else value) == (tuple(expected) if isinstance(value, tuple) else expected)


def _listed(vector: Any) -> list[Any]:
    return [] if vector is None else np.asarray(vector).tolist()


@pytest.mark.parametrize("kind", ["float", "int8"])
def test_converted_models_read_as_with_the_schema_s_package(
    schema: ModuleType, models: dict[str, bytes], kind: str
) -> None:
    _assert_equal(schema, models[kind])


@pytest.mark.parametrize("number", range(30))
def test_public_models_read_as_with_the_schema_s_package(schema: ModuleType, number: int) -> None:
    files = sorted((SHARED / "pairs").glob("*.tflite"))
    if number >= len(files):
        pytest.skip("the public models do not lie beside this checkout")
    _assert_equal(schema, files[number].read_bytes())


def test_public_models_have_the_operators_that_the_edge_tpu_compiler_lists() -> None:
    if not SHARED.is_dir():
        pytest.skip("the public models do not lie beside this checkout")
    for pair in json.loads((SHARED / "pairs.json").read_text()):
        found = read_graph(SHARED / "pairs" / f"{pair['name']}.tflite")
        expected = {name.removeprefix("CUSTOM:"): count for name, count in pair["source_ops"].items()}
        assert Counter(operator.name for operator in found.subgraphs[0].operators) == expected


def test_a_convolution_s_options(models: dict[str, bytes]) -> None:
    convolution = next(op for op in read_graph(models["float"]).subgraphs[0].operators if op.name == "CONV_2D")
    assert convolution.options == {
        "padding": "SAME",
        "stride_w": 2,
        "stride_h": 2,
        "fused_activation_function": "RELU6",
        "dilation_w_factor": 1,
        "dilation_h_factor": 1,
    }


def test_a_path_and_its_bytes_give_the_same_graph(models: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(models["int8"])
    assert read_graph(str(path)).subgraphs[0].operators == read_graph(models["int8"]).subgraphs[0].operators


# What the converter does not write


@pytest.mark.parametrize(
    ("deprecated", "code", "name"), [(127, 150, "GELU"), (4, 0, "DEPTHWISE_CONV_2D"), (32, 32, "my-operator")]
)
def test_the_larger_of_two_operator_codes_counts(packed: Any, deprecated: int, code: int, name: str) -> None:
    def change(model: Any) -> None:
        model.operatorCodes[0].deprecatedBuiltinCode, model.operatorCodes[0].builtinCode = deprecated, code
        model.operatorCodes[0].customCode = "my-operator"
        model.subgraphs[0].operators[0].builtinOptions = None

    assert read_graph(packed(change)).subgraphs[0].operators[0].name == name


def test_values_behind_the_flatbuffer(packed: Any) -> None:
    def change(model: Any, offset: int = 2) -> None:
        model.buffers[1].data, model.buffers[1].offset, model.buffers[1].size = None, offset, 18

    start = len(packed(change))
    content = packed(lambda model: change(model, start)) + bytes(range(100, 118))
    tensor = read_graph(content).subgraphs[0].tensors[1]
    assert tensor.data().ravel().tolist() == list(range(100, 118))
    with pytest.raises(ModelError, match=r"buffers\[1\]: bytes \d+ to \d+ are not in a file"):
        read_graph(content[:-1])


def test_int4_values_are_two_in_a_byte_the_low_half_first(packed: Any) -> None:
    def change(model: Any) -> None:
        tensor = model.subgraphs[0].tensors[1]
        tensor.type, tensor.shape = 17, [3]
        model.buffers[1].data = np.array([0x71, 0x0F], np.uint8)

    assert read_graph(packed(change)).subgraphs[0].tensors[1].data().tolist() == [1, 7, -1]


def test_unknown_dimensions_are_in_the_signature(packed: Any) -> None:
    def change(model: Any) -> None:
        model.subgraphs[0].tensors[0].shapeSignature = [-1, 4, 4, 1]

    first, second = read_graph(packed(change)).subgraphs[0].tensors[:2]
    assert (first.shape, first.shape_signature) == ((1, 4, 4, 1), (-1, 4, 4, 1))
    assert second.shape_signature == second.shape


def test_an_activation_has_no_values(packed: Any) -> None:
    activation = read_graph(packed()).subgraphs[0].tensors[0]
    assert not activation.is_constant
    with pytest.raises(ModelError, match="has 16 bytes, the buffer has 0"):
        activation.data()


# Files that are wrong


def _set(path: str, value: object) -> Any:
    """A change of the object at `path`, such as "subgraphs.0.inputs"."""

    def change(model: Any) -> None:
        *parents, last = path.split(".")
        target = model
        for part in parents:
            target = target[int(part)] if part.isdigit() else getattr(target, part)
        setattr(target, last, value)

    return change


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("subgraphs.0.tensors.0.buffer", 2, r"tensors\[0\]\.buffer 2: must be at least 0 and less than 2"),
        ("subgraphs.0.tensors.0.type", 99, r"tensors\[0\]\.type 99: "),
        ("subgraphs.0.tensors.0.shape", [1, -4], r"shape \(1, -4\): dimensions must be at least 0"),
        ("subgraphs.0.tensors.0.shape", [1] * 33, "33 dimensions: at most 32"),
        ("subgraphs.0.tensors.0.shape", [2**31 - 1] * 3, "more than 9223372036854775807 values"),
        ("subgraphs.0.inputs", [3], "inputs 3: must be 0 to 2"),
        ("subgraphs.0.outputs", [-1], "outputs -1: must be 0 to 2"),
        ("subgraphs.0.operators.0.inputs", [-2], "inputs -2: must be -1 to 2"),
        ("subgraphs.0.operators.0.outputs", [3], "outputs 3: must be 0 to 2"),
        ("subgraphs.0.operators.0.opcodeIndex", 1, r"operators\[0\]\.opcode_index 1: "),
        ("subgraphs.0.operators.0.builtinOptionsType", 5, "builtin_options_type 5: must be 1 for CONV_2D"),
        ("subgraphs.0.operators.0.builtinOptions.padding", 2, r"padding 2: must be at least 0 and less than 2"),
        ("operatorCodes.0.builtinCode", 9999, r"operator_codes\[0\]\.builtin_code 9999: "),
        ("subgraphs", [], "no subgraph"),
    ],
)
def test_values_out_of_range_are_named(packed: Any, path: str, value: object, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        read_graph(packed(_set(path, value)))


@pytest.mark.parametrize(
    ("scales", "zero_points", "dimension", "message"),
    [
        ([0.5], [], 0, "1 scales but 0 zero points"),
        ([float("nan")], [0], 0, "finite"),
        ([-1.0], [0], 0, "at least 0"),
        ([0.5, 0.5, 0.5], [0, 0, 0], 0, r"3 scales do not fit dimension 0 of shape \(1, 4, 4, 1\)"),
        ([0.5, 0.5], [0, 0], 4, "2 scales do not fit dimension 4"),
    ],
)
def test_quantization_that_does_not_fit(
    schema: ModuleType, packed: Any, scales: list[float], zero_points: list[int], dimension: int, message: str
) -> None:
    quantization = schema.QuantizationParametersT()
    quantization.scale, quantization.zeroPoint, quantization.quantizedDimension = scales, zero_points, dimension
    with pytest.raises(ModelError, match=message):
        read_graph(packed(_set("subgraphs.0.tensors.0.quantization", quantization)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a .tflite file, it is empty"),
        (b"TFL", "not a .tflite file, it has b''"),
        (b"Once upon a time", "not a .tflite file, it has b' upo' where b'TFL3' belongs"),
        (b"\xff\xff\xff\xffTFL3", "damaged"),
        (b"\x08\x00\x00\x00TFL3" + bytes(8), "no table at byte 8"),
    ],
)
def test_other_files_are_refused_by_name(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "other.tflite"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=message) as caught:
        read_graph(path)
    assert str(path) in str(caught.value)


def test_missing_files_and_folders_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot read .*missing\.tflite: No such file"):
        read_graph(tmp_path / "missing.tflite")
    with pytest.raises(ModelError, match="Is a directory"):
        read_graph(tmp_path)


def test_no_truncation_is_more_than_a_model_error(models: dict[str, bytes]) -> None:
    content = models["int8"]
    for length in range(0, len(content) - 1, len(content) // 100):
        with pytest.raises(ModelError):
            read_graph(content[:length])


def test_no_mutation_is_more_than_a_model_error(models: dict[str, bytes]) -> None:
    choose = random.Random(0)
    outcomes = Counter(_outcome(_mutated(choose, choose.choice(list(models.values())))) for _ in range(600))
    assert outcomes["read"] > 100
    assert outcomes["refused in one line"] > 100
    assert set(outcomes) == {"read", "refused in one line"}


def _mutated(choose: random.Random, content: bytes) -> bytes:
    mutated = bytearray(content)
    for _ in range(choose.choice((1, 4, 16))):
        position = choose.randrange(8, len(content) - 4)
        word = choose.choice((b"\xff\xff\xff\xff", bytes(4), b"\xff\xff\xff\x7f", choose.randbytes(4)))
        mutated[position : position + 4] = word
    return bytes(mutated)


def _outcome(content: bytes) -> str:
    try:
        for tensor in read_graph(content).subgraphs[0].tensors:
            if tensor.is_constant:
                tensor.data()
    except ModelError as error:
        return f"refused in {'one line' if str(error).isprintable() else 'several lines'}"
    return "read"


def _bomb(schema: ModuleType, count: int) -> bytes:
    """A model with `count` times the same subgraph, which has `count` times the same tensor."""
    import flatbuffers

    builder = flatbuffers.Builder(0)

    def vector(offset: int, elements: int) -> int:
        builder.StartVector(4, elements, 4)
        for _ in range(elements):
            builder.PrependUOffsetTRelative(offset)
        return int(builder.EndVector())

    schema.TensorStart(builder)
    tensors = vector(schema.TensorEnd(builder), count)
    schema.SubGraphStart(builder)
    schema.SubGraphAddTensors(builder, tensors)
    subgraphs = vector(schema.SubGraphEnd(builder), count)
    schema.BufferStart(builder)
    buffers = vector(schema.BufferEnd(builder), 1)
    schema.ModelStart(builder)
    schema.ModelAddSubgraphs(builder, subgraphs)
    schema.ModelAddBuffers(builder, buffers)
    builder.Finish(schema.ModelEnd(builder), b"TFL3")
    return bytes(builder.Output())


def test_shared_tables_are_read(schema: ModuleType) -> None:
    assert [len(subgraph.tensors) for subgraph in read_graph(_bomb(schema, 3)).subgraphs] == [3, 3, 3]


def test_a_small_file_cannot_spell_out_an_endless_model(
    schema: ModuleType, lines_run: Callable[[Callable[[], object]], int]
) -> None:
    count = 3_000
    content = _bomb(schema, count)

    def read() -> None:
        with pytest.raises(ModelError, match="overlap"):
            read_graph(content)

    assert lines_run(read) < count * count / 10  # spelled out it has count² tensors


def test_a_length_beyond_the_file_is_refused_before_it_is_used(schema: ModuleType) -> None:
    content = _bomb(schema, 1234).replace(struct.pack("<I", 1234), struct.pack("<I", 2**32 - 1))
    with pytest.raises(ModelError, match=r"model\.subgraphs: bytes \d+ to 171\d+ lie outside"):
        read_graph(content)


def test_reading_needs_numpy_alone() -> None:
    heavy = "{'tensorflow', 'keras', 'ai_edge_litert', 'flatbuffers', 'PIL', 'click'}"
    code = f"import sys, lite_toolkit.tflite.graph, lite_toolkit.tflite.inspection; print({heavy} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "set()"
