"""The error of each layer: which layers two graphs share, the figures by hand, and a fault found where it is."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="converting needs TensorFlow")

from ai_edge_litert.tools import flatbuffer_utils

from lite_toolkit.conversion import pipeline
from lite_toolkit.datasets.representative import load_representative
from lite_toolkit.errors import ModelError
from lite_toolkit.measurement.layer_errors import measure
from lite_toolkit.measurement.loss import LayerError
from lite_toolkit.measurement.remedies import remedies, worst
from lite_toolkit.networks.names import variant
from lite_toolkit.runtime.interpreter import interpreter
from lite_toolkit.tflite import manifest
from lite_toolkit.tflite.graph import Operator, Subgraph, Tensor, read_graph
from lite_toolkit.tflite.layers import common_layers

Edit = Callable[[Any], None]


@pytest.fixture(scope="session")
def models(convert: Callable[..., pipeline.Conversion]) -> tuple[Path, Path]:
    """A float model and its int8 one."""
    reference, quantized = convert("lite0", "float32", "int8").files
    return reference.path, quantized.path


@pytest.fixture(scope="session")
def images(models: tuple[Path, Path], photographs: Path) -> list[np.ndarray]:
    spec = manifest.preprocessing(manifest.read(models[0]) or {})
    return list(load_representative(photographs, spec, 3, 0).calibration)


@pytest.fixture(scope="session")
def errors(models: tuple[Path, Path], images: list[np.ndarray]) -> dict[str, LayerError]:
    return {layer.name: layer for layer in measure(models[0].read_bytes(), models[1].read_bytes(), images)}


def edited(model: Path, edit: Edit) -> bytes:
    unpacked = flatbuffer_utils.read_model_from_bytearray(bytearray(model.read_bytes()))
    edit(unpacked.subgraphs[0])
    return bytes(flatbuffer_utils.convert_object_to_bytearray(unpacked))


class TestCommonLayers:
    def test_names_are_those_of_keras(self, models: tuple[Path, Path]) -> None:
        spec = variant("lite0")
        last = {f"{block.name}_{part}" for block in spec.blocks for part in ("dwconv", "project_conv")}
        found = [layer.name for layer in common(*models)]
        assert last < set(found)
        assert (found[0], found[-3:]) == ("stem_conv", ["top_conv", "avg_pool", "predictions"])
        assert len(found) == len(set(found)) == len(main(models[0]).operators)

    @pytest.mark.parametrize("kept", [0, 2, 7], ids=["no name agrees", "every second", "every seventh"])
    def test_other_names_are_matched_by_order(self, models: tuple[Path, Path], kept: int) -> None:
        def rename(graph: Any) -> None:
            for index, tensor in enumerate(graph.tensors):
                if not kept or index % kept:
                    tensor.name = f"t{index}".encode()

        renamed = common_layers(main(models[0]), read_graph(edited(models[1], rename)).subgraphs[0])
        assert [pair(layer) for layer in renamed] == [pair(layer) for layer in common(*models)]

    def test_float_operators_and_conversions_within_a_quantized_graph(self) -> None:
        """conv -> mean -> dense, of which the mean stays in float between a DEQUANTIZE and a QUANTIZE."""
        reference = graph("x", "CONV_2D a", "MEAN b", "FULLY_CONNECTED c")
        steps = ("QUANTIZE x_int", "CONV_2D a", "DEQUANTIZE a_float", "MEAN b", "QUANTIZE b_int", "FULLY_CONNECTED d")
        found = common_layers(reference, graph("x", *steps, "DEQUANTIZE c"))
        assert [(layer.reference.name, layer.quantized.name) for layer in found] == [("a", "a"), ("b", "b"), ("c", "d")]

    def test_the_boundary_is_matched_inside(self) -> None:
        found = common_layers(graph("x", "CONV_2D y"), graph("x", "QUANTIZE x_quantized", "CONV_2D y_quantized"))
        assert [layer.quantized.name for layer in found] == ["y_quantized"]

    def test_other_operators_are_no_counterparts(self) -> None:
        assert common_layers(graph("x", "CONV_2D y"), graph("x", "MEAN z")) == ()


def common(reference: Path, quantized: Path) -> Any:
    return common_layers(main(reference), main(quantized))


def main(path: Path) -> Subgraph:
    return read_graph(path).subgraphs[0]


def pair(layer: Any) -> tuple[int, int]:
    return layer.reference.index, layer.quantized.index


def graph(first: str, *steps: str) -> Subgraph:
    """A chain of operators, each with the name of what it writes."""
    names = [first, *(step.split()[1] for step in steps), "weights"]
    tensors = tuple(
        Tensor(index, name, (1, 4), "float32", (1, 4), None, False, 0, memoryview(b""))
        for index, name in enumerate(names)
    )
    operators = tuple(
        Operator(index, step.split()[0], 1, (index, len(names) - 1), (index + 1,), {})
        for index, step in enumerate(steps)
    )
    return Subgraph("main", tensors, (0,), (len(steps),), operators)


class TestFigures:
    """Against numpy, from tensors of interpreters that keep all of them."""

    def test_of_the_running_network(
        self, models: tuple[Path, Path], images: list[np.ndarray], errors: dict[str, LayerError]
    ) -> None:
        for layer in common(*models)[::7]:
            truth, values = (kept(model, index, images) for model, index in zip(models, pair(layer), strict=True))
            expected = 10 * math.log10((truth**2).sum() / ((values - truth) ** 2).sum())
            # The kernels of this interpreter are others, which round a few values to the other side.
            assert errors[layer.name].sqnr_db == pytest.approx(expected, abs=1)

    def test_of_the_first_layer_whose_inputs_are_exact(
        self, models: tuple[Path, Path], images: list[np.ndarray], errors: dict[str, LayerError]
    ) -> None:
        (layer, *_), found = common(*models), errors["stem_conv"]
        truth, values = (kept(model, index, images) for model, index in zip(models, pair(layer), strict=True))
        error = values - truth
        slopes = [np.polyfit(truth[:, channel], values[:, channel], 1)[0] for channel in range(truth.shape[1])]
        scale = layer.quantized.quantization.scales[0]
        assert found.drop_db is None
        assert found.sqnr_db == pytest.approx(found.own_sqnr_db)
        assert found.bias_percent == pytest.approx(
            100 * (error.mean(0) ** 2).sum() / (error**2).mean(0).sum(), rel=0.02, abs=0.01
        )
        assert found.slope == pytest.approx(np.polyfit(truth.ravel(), values.ravel(), 1)[0], abs=1e-4)
        assert any(found.worst_slope == pytest.approx(slope, abs=1e-3) for slope in slopes)
        assert found.rounding_percent == pytest.approx(100 * scale**2 / 12 / (error**2).mean(), rel=0.02)

    def test_the_own_error_of_a_layer_within(
        self, models: tuple[Path, Path], images: list[np.ndarray], errors: dict[str, LayerError]
    ) -> None:
        """A 1 x 1 convolution in integers, by hand, of the float network's values."""
        names = ["block3b_add", "block4a_expand_conv"]
        before, layer = (next(found for found in common(*models) if found.name == name) for name in names)
        quantized = main(models[1])
        operator = next(step for step in quantized.operators if layer.quantized.index in step.outputs)
        weights, bias = (quantized.tensors[number] for number in operator.inputs[1:])
        inputs, truth = (kept(models[0], tensor.reference.index, images) for tensor in (before, layer))
        entering, leaving = before.quantized.quantization, layer.quantized.quantization
        stored = np.clip(np.rint(inputs / entering.scales) + entering.zero_points, -128, 127) - entering.zero_points
        sums = stored @ weights.data().reshape(len(bias.data()), -1).astype(np.float64).T + bias.data()
        real = sums * entering.scales * weights.quantization.scales  # type: ignore[union-attr]
        rounded = np.clip(np.rint(real / leaving.scales) + leaving.zero_points, -128, 127)
        own = (rounded - leaving.zero_points) * leaving.scales - truth
        expected = 10 * math.log10((truth**2).sum() / (own**2).sum())
        assert errors[layer.name].own_sqnr_db == pytest.approx(expected, abs=0.1)

    def test_values_outside_the_range_saturate(self, models: tuple[Path, Path], images: list[np.ndarray]) -> None:
        layer = next(layer for layer in common(*models) if layer.name == "block1a_project_conv")

        def halve(graph: Any) -> None:
            quantization = graph.tensors[layer.quantized.index].quantization
            quantization.scale = [quantization.scale[0] / 2]

        changed = edited(models[1], halve)
        found = next(error for error in measure(models[0].read_bytes(), changed, images) if error.name == layer.name)
        truth = kept(models[0], layer.reference.index, images)
        scale, zero_point = layer.quantized.quantization.scales[0] / 2, layer.quantized.quantization.zero_points[0]
        low, high = ((end - zero_point) * scale for end in (-128.5, 127.5))
        outside = (truth < low) | (truth > high)
        assert outside.any()
        assert found.saturated_percent == pytest.approx(100 * outside.mean(), rel=1e-3)
        assert found.clipping_percent is not None
        assert found.clipping_percent > 20

    def test_equal_models_have_no_error(self, models: tuple[Path, Path], images: list[np.ndarray]) -> None:
        found = measure(models[0].read_bytes(), models[0].read_bytes(), images[:1])
        assert {(layer.sqnr_db, layer.own_sqnr_db, layer.bias_percent) for layer in found} == {(None, None, None)}
        assert worst(found) == ()

    def test_models_without_a_common_layer(self, models: tuple[Path, Path], images: list[np.ndarray]) -> None:
        def empty(graph: Any) -> None:
            graph.operators = []

        with pytest.raises(ModelError, match="no layer in common"):
            measure(models[0].read_bytes(), edited(models[1], empty), images)


def kept(model: Path, tensor: int, images: list[np.ndarray]) -> np.ndarray:
    """Real values (rows, channels) of one tensor over all images."""
    running, found = interpreter(model, keep_all=True), main(model)
    (first,), info = found.inputs, found.tensors
    rows = []
    for image in images:
        quantization = info[first].quantization
        scale, zero_point = (quantization.scales[0], quantization.zero_points[0]) if quantization else (1, 0)
        stored = np.rint(image / scale) + zero_point if quantization else image
        running.set_tensor(first, np.clip(stored, 0, 255).astype(np.uint8)[None] if quantization else stored[None])
        running.invoke()
        values, quantization = running.get_tensor(tensor).astype(np.float64), info[tensor].quantization
        real = (values - quantization.zero_points[0]) * quantization.scales[0] if quantization else values
        rows.append(real.reshape(-1, real.shape[-1]))
    return np.concatenate(rows)


@pytest.mark.parametrize("factor", [4, 0.5])
@pytest.mark.parametrize(
    "name",
    [
        *("stem_conv", "block1a_dwconv", "block1a_project_conv", "block2a_expand_conv", "block3a_dwconv"),
        *("block2b_project_conv", "block4c_project_conv", "block6d_project_conv"),  # these feed an ADD
        *("block5b_expand_conv", "block6c_dwconv", "top_conv", "predictions"),
    ],
)
def test_a_fault_is_found_where_it_is(
    models: tuple[Path, Path], images: list[np.ndarray], name: str, factor: float
) -> None:
    layer = next(layer for layer in common(*models) if layer.name == name)

    def spoil(graph: Any) -> None:
        operator = next(step for step in graph.operators if layer.quantized.index in step.outputs)
        quantization = graph.tensors[operator.inputs[1]].quantization
        quantization.scale = [scale * factor for scale in quantization.scale]

    found = worst(measure(models[0].read_bytes(), edited(models[1], spoil), images[:2]))
    assert found[0].name == name
    assert any(word in remedy for word in ("scales", "slope", "range") for remedy in found[0].remedies)


BLAMELESS = LayerError(
    *("a", "CONV_2D", "a:0", "int8", "per-channel", 20.0, 30.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 10.0),
)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ["higher precision"]),
        ({"bias_percent": 60.0}, ["bias correction: 60%"]),
        ({"slope_percent": 95.0, "slope": 0.95}, ["slope correction: 95%"]),
        ({"slope": 3.1}, ["other scales: its values vary 3.10 times as much"]),
        ({"clipping_percent": 40.0, "slope_percent": 21.0}, ["wider range: 40%", "slope correction: 21%"]),
        ({"rounding_percent": 130.0}, ["narrower range or int16 activations: 100%"]),
        ({"weights": "per-tensor"}, ["a scale for each channel"]),
    ],
)
def test_remedies_follow_from_the_figures(changes: dict[str, Any], expected: list[str]) -> None:
    found = remedies(dataclasses.replace(BLAMELESS, **changes))
    assert len(found) == len(expected)
    for remedy, beginning in zip(found, expected, strict=True):
        assert remedy.startswith(beginning)


def test_the_worst_have_the_lowest_own_sqnr() -> None:
    layers = [
        dataclasses.replace(BLAMELESS, name=name, own_sqnr_db=own)
        for name, own in (("a", 9.0), ("b", None), ("c", 0.0), ("d", 8.0))
    ]
    assert [finding.name for finding in worst(layers, 2)] == ["c", "d"]
