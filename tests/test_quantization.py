"""Quantized files: what is in them, what they take and give, and that they are made the same way twice."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lite_toolkit.conversion import pipeline
from lite_toolkit.quantization import recipes
from lite_toolkit.runtime.interpreter import Model
from lite_toolkit.tflite.graph import Graph, read_graph
from lite_toolkit.tflite.inspection import boundary_operators, float_operators

pytest.importorskip("tensorflow", reason='needs the extra: pip install ".[convert]"')

from lite_toolkit.quantization.boundary import set_types
from lite_toolkit.quantization.recording import observe

Convert = Callable[..., pipeline.Conversion]
VARIANTS = ["lite0", "b0", "es"]


def path_of(conversion: pipeline.Conversion) -> Path:
    return conversion.files[0].path


def end_types(graph: Graph) -> tuple[str, str]:
    main = graph.subgraphs[0]
    return main.tensors[main.inputs[0]].dtype, main.tensors[main.outputs[0]].dtype


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("io", ["uint8", "int8"])
def test_int8_leaves_no_float(convert: Convert, variant: str, io: str) -> None:
    graph = read_graph(path_of(convert(variant, "int8", io=io)))
    assert end_types(graph) == (io, io)
    assert not float_operators(graph)
    assert not [tensor.name for tensor in graph.subgraphs[0].tensors if tensor.dtype.startswith("float")]


@pytest.mark.parametrize("form", ["int8", "int16x8"])
def test_float_ends_leave_only_their_conversion(convert: Convert, form: str) -> None:
    graph = read_graph(path_of(convert("lite0", form, io="float32")))
    assert end_types(graph) == ("float32", "float32")
    assert [operator.name for operator in float_operators(graph)] == ["QUANTIZE", "DEQUANTIZE"]
    assert float_operators(graph) == boundary_operators(graph)


def test_ends_are_set_without_a_step_for_each_byte(
    convert: Convert, lines_run: Callable[[Callable[[], object]], int]
) -> None:
    model = path_of(convert("lite0", "int8", io="int8")).read_bytes()
    assert lines_run(lambda: set_types(model, "uint8", {})) < len(model) / 2


def test_int16x8_takes_int16(convert: Convert) -> None:
    graph = read_graph(path_of(convert("lite0", "int16x8")))
    assert end_types(graph) == ("int16", "int16")
    assert not float_operators(graph)


def test_uint8_input_is_the_pixels_themselves(convert: Convert) -> None:
    converted = Model(path_of(convert("lite0", "int8")))
    assert (converted.input.scale, converted.input.zero_point) == (1 / 128, 127)


def test_the_types_of_the_ends_do_not_change_the_scores(convert: Convert) -> None:
    image = np.random.default_rng(1).integers(0, 256, (64, 64, 3)).astype(np.float32)
    normalised = (image - 127) / 128
    by_io = {io: Model(path_of(convert("lite0", "int8", io=io))) for io in ("uint8", "int8", "float32")}
    scores = {io: model.scores(normalised.astype(np.float32)) for io, model in by_io.items()}
    np.testing.assert_allclose(scores["uint8"], scores["int8"], atol=1e-6)
    np.testing.assert_allclose(scores["float32"], scores["int8"], atol=1e-6)


@pytest.mark.parametrize("io", ["uint8", "float32"])
def test_the_signature_names_the_outer_tensors(convert: Convert, io: str) -> None:
    interpreter = Model(path_of(convert("lite0", "int8", io=io))).interpreter
    runner = interpreter.get_signature_runner("serving_default")
    assert runner.get_input_details()["image"]["dtype"] == np.dtype(io)
    assert runner.get_output_details()["logits"]["dtype"] == np.dtype(io)


@pytest.mark.parametrize(
    ("form", "least_db", "size_ratio"),
    [("float16", 45, 0.52), ("dynamic", 15, 0.32), ("int8", 10, 0.33), ("int16x8", 15, 0.34)],
)
def test_each_format_keeps_the_function_and_shrinks_the_file(
    convert: Convert, form: str, least_db: float, size_ratio: float
) -> None:
    result = convert("lite0", form)
    assert result.files[0].assessment is not None
    comparison = result.files[0].assessment.comparison
    assert comparison.sqnr_db is not None
    assert comparison.sqnr_db > least_db
    assert result.files[0].size_bytes < size_ratio * result.float_size_bytes


def test_weights_are_per_channel_unless_the_recipe_says_tensor(
    tmp_path: Path, photographs: Path, convert: Convert
) -> None:
    def scales(path: Path) -> set[int]:
        graph = read_graph(path)
        main = graph.subgraphs[0]
        weights = [main.tensors[op.inputs[1]] for op in main.operators if op.name in ("CONV_2D", "DEPTHWISE_CONV_2D")]
        return {tensor.quantization.scales.size for tensor in weights if tensor.quantization}

    request = pipeline.Request(
        (recipes.load("int8-per-tensor"),),
        variant="lite0",
        weights="none",
        input_size=64,
        calibration_data=photographs,
        output=tmp_path,
    )
    assert scales(path_of(pipeline.convert(request))) == {1}
    assert min(scales(path_of(convert("lite0", "int8")))) > 1


@pytest.mark.parametrize("form", ["float32", "float16", "dynamic", "int8", "int16x8"])
def test_two_runs_give_the_same_bytes(convert: Convert, tmp_path: Path, photographs: Path, form: Any) -> None:
    first = convert("lite0", form)
    again = pipeline.Request(
        (recipes.default(form),),
        variant="lite0",
        weights="none",
        input_size=64,
        activation="none",
        calibration_data=photographs,
        output=tmp_path,
    )
    second = pipeline.convert(again)
    assert path_of(first).read_bytes() == path_of(second).read_bytes()
    assert path_of(first).with_suffix(".json").read_bytes() == path_of(second).with_suffix(".json").read_bytes()


def test_observed_ranges_are_the_extremes_over_all_images(convert: Convert) -> None:
    float_model = path_of(convert("lite0", "float32")).read_bytes()
    batch = np.random.default_rng(0).uniform(-1, 1, (3, 64, 64, 3)).astype(np.float32)
    found = observe(float_model, batch, (-1.0, 1.0))
    main = read_graph(float_model).subgraphs[0]
    output = main.tensors[main.outputs[0]].name
    scores = np.stack([Model(float_model).scores(image) for image in batch])
    assert found[output] == pytest.approx((scores.min(), scores.max()), rel=1e-4)
    assert found[main.tensors[main.inputs[0]].name] == (-1.0, 1.0)
    assert set(found) == {main.tensors[main.inputs[0]].name} | {
        main.tensors[op.outputs[0]].name for op in main.operators
    }
