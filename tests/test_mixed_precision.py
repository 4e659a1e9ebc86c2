"""Layers in float by need: which are found, how few are kept, and what happens where that is not enough."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from lite_toolkit.cli import main
from lite_toolkit.conversion import pipeline
from lite_toolkit.conversion.request import Request
from lite_toolkit.errors import GateError, LiteToolkitError, RecipeError
from lite_toolkit.measurement import validation
from lite_toolkit.measurement.validation import compare, scores
from lite_toolkit.progress import Steps
from lite_toolkit.quantization import recipes
from lite_toolkit.quantization.mixed_precision import fewest, work_of
from lite_toolkit.tflite.graph import Operator, Subgraph, read_graph
from lite_toolkit.tflite.layers import layer_name

pytest.importorskip("tensorflow", reason='needs the extra: pip install ".[convert]"')

from lite_toolkit.images.preprocessing import google_lite
from lite_toolkit.quantization.parameters import Parameters, with_parameters
from lite_toolkit.quantization.quantizer import quantize
from lite_toolkit.quantization.sensitivity import disturbances

Convert = Callable[..., pipeline.Conversion]
WORK = dict.fromkeys("abcdefghij", 0.1)


def images(count: int, seed: int) -> np.ndarray:
    """Smooth random fields, in -1..1."""
    coarse = np.random.default_rng(seed).uniform(-1, 1, (count, 8, 8, 3))
    return coarse.repeat(8, 1).repeat(8, 2).astype(np.float32)


def sets(text: str) -> list[frozenset[str]]:
    return [frozenset(word) for word in text.split()]


class TestFewest:
    """Layers are letters; a network is as bad as the layers that it needs are missing."""

    @pytest.mark.parametrize(
        ("remedies", "needed", "chosen"),
        [
            ("a b c d", "a", "a"),
            ("a b c d", "ab", "ab"),
            ("a b c d e", "abcde", "abcde"),
            ("ab c d", "a", "a"),  # the reader of a's output can be spared
            ("a b c d e", "c", "c"),  # the ranking was wrong
            ("ab bc cd", "abcd", "abcd"),
        ],
    )
    def test_it_keeps_what_is_needed_and_nothing_else(self, remedies: str, needed: str, chosen: str) -> None:
        found = fewest(sets(remedies), WORK, lambda layers: 10.0 * len(set(needed) - layers), 0.5)
        assert found == set(chosen)

    @pytest.mark.parametrize("bound", [0.0, 15.0, 40.0])
    def test_it_stops_where_the_bound_holds(self, bound: float) -> None:
        def drop_of(layers: frozenset[str]) -> float:
            return 50 - 10.0 * len(layers)

        assert len(fewest(sets("a b c d e"), WORK, drop_of, bound)) == 5 - bound // 10

    def test_of_equal_layers_the_dearest_is_spared(self) -> None:
        work = {"a": 0.3, "b": 0.1, "c": 0.1}
        assert fewest(sets("a b c"), work, lambda layers: 0.0 if layers >= {"b"} else 9.0, 0.5) == {"b"}

    def test_a_bound_out_of_reach_says_how_close_it_came(self) -> None:
        with pytest.raises(GateError, match=r"at most 0\.5 points .* 50% of the work in float: 5\.00 points"):
            fewest(sets("a b c d e f g h"), WORK, lambda layers: 10.0 - len(layers), 0.5)

    def test_no_choice_has_more_than_half_the_work(self) -> None:
        tried: list[frozenset[str]] = []
        with pytest.raises(GateError):
            fewest(sets("a b c d e f g h"), WORK, lambda layers: tried.append(layers) or 10.0, 0.5)
        assert max(map(len, tried)) == 5


def projections(graph: Subgraph) -> Iterator[tuple[Operator, Operator]]:
    """Each convolution behind a depthwise one, with that."""
    makers = {operator.outputs[0]: operator for operator in graph.operators}
    for operator in graph.operators:
        maker = makers.get(operator.inputs[0])
        if operator.name == "CONV_2D" and maker and maker.name == "DEPTHWISE_CONV_2D":
            yield maker, operator


def ruined(float_model: bytes, positions: tuple[int, ...]) -> tuple[bytes, set[str]]:
    """The model with such huge weights for a dead channel that the others round to 0, and the layers' names."""
    graph = read_graph(float_model).subgraphs[0]
    pairs, changed, names = list(projections(graph)), Parameters(), set()
    for position in positions:
        maker, operator = pairs[position]
        dead, bias, weights = (
            np.array(graph.tensors[index].data()) for index in (*maker.inputs[1:3], operator.inputs[1])
        )
        dead[..., 0], bias[0], weights[..., 0] = 0, -1, 1e4 * np.abs(weights).max()
        changed.weights |= {maker.index: dead, operator.index: weights}
        changed.biases[maker.index] = bias
        names.add(layer_name(graph, operator))
    return with_parameters(float_model, changed), names


# Projections 2 and 14 feed an ADD; the others do not all.
@pytest.mark.parametrize("positions", [(0, 2), (5, 14), tuple(np.random.default_rng(3).choice(16, 2, replace=False))])
def test_ruined_layers_disturb_most(convert: Convert, positions: tuple[int, int]) -> None:
    broken, names = ruined(convert("lite0", "float32").files[0].path.read_bytes(), positions)
    found = disturbances(broken, images(4, seed=0), recipes.load("int8"), Steps())
    assert {name for one in found[:2] for name in one.layers} == names
    assert found[1].power > 10 * found[2].power


def test_keeping_them_in_float_mends_the_model(convert: Convert) -> None:
    """Also through the whole search, with the scores' error as what is lost."""
    broken, names = ruined(convert("lite0", "float32").files[0].path.read_bytes(), (2, 9))
    recipe = recipes.load("int8-fast")
    calibration, unseen = images(24, seed=1), images(8, seed=2)

    def drop_of(layers: frozenset[str]) -> float:
        model = quantize(broken, replace(recipe, in_float=tuple(sorted(layers))), google_lite(64), calibration, "int8")
        return -(compare(scores(broken, unseen), scores(model, unseen)).sqnr_db or 99)

    assert drop_of(frozenset()) > -6
    remedies = [one.layers for one in disturbances(broken, calibration, recipe, Steps())]
    assert fewest(remedies, work_of(read_graph(broken).subgraphs[0]), drop_of, bound=-12) == names


class TestRecipe:
    @pytest.mark.parametrize("io", ["uint8", "int8", "float32"])
    @pytest.mark.parametrize("patterns", [("block1a_project_conv",), ("ADD",), ("stem_conv", "predictions")])
    def test_layers_stay_in_float(self, convert: Convert, patterns: tuple[str, ...], io: recipes.InputOutput) -> None:
        float_model = convert("lite0", "float32").files[0].path.read_bytes()
        recipe = recipes.Recipe("mixed", "int8", in_float=patterns)
        graph = read_graph(quantize(float_model, recipe, google_lite(64), images(4, seed=0), io)).subgraphs[0]
        computing = [operator for operator in graph.operators if operator.name not in ("QUANTIZE", "DEQUANTIZE")]
        floats = {operator.index for operator in computing if graph.tensors[operator.outputs[0]].dtype == "float32"}
        wanted = {
            operator.index for operator in computing if {layer_name(graph, operator), operator.name} & {*patterns}
        }
        assert floats == wanted
        assert [graph.tensors[index].dtype for index in (*graph.inputs, *graph.outputs)] == [io, io]

    def test_a_layer_that_is_not_there_is_an_error(self, convert: Convert) -> None:
        float_model = convert("lite0", "float32").files[0].path.read_bytes()
        recipe = recipes.Recipe("mixed", "int8", in_float=("block9z_.*",))
        with pytest.raises(RecipeError, match=r"in_float 'block9z_\.\*' matches no layer .* such as stem_conv"):
            quantize(float_model, recipe, google_lite(64), images(2, seed=0))


class TestConvert:
    def request(self, folder: Path, photographs: Path, **options: object) -> Request:
        shared = {"weights": "none", "input_size": 64, "calibration_data": photographs, "output": folder}
        return Request((recipes.load("int8-minmax"),), variant="lite0", **(shared | options))  # type: ignore[arg-type]

    def test_nothing_changes_where_the_bound_holds(self, tmp_path: Path, photographs: Path) -> None:
        plain = pipeline.convert(self.request(tmp_path / "plain", photographs))
        bounded = pipeline.convert(self.request(tmp_path / "bounded", photographs, max_drop=100.0))
        trade = bounded.files[0].trade
        assert trade is not None
        assert (trade.layers, trade.measure, trade.models_tried) == ((), "agreement", 0)
        assert bounded.files[0].path.read_bytes() == plain.files[0].path.read_bytes()

    def test_classes_that_are_known_count_instead_of_agreement(self, tmp_path: Path, photographs: Path) -> None:
        folder = tmp_path / "labelled"
        shutil.copytree(photographs, folder)
        rows = [f"{path.name},{number % 2}" for number, path in enumerate(sorted(folder.iterdir()))]
        (folder / "labels.csv").write_text("\n".join(["image,class", *rows]))
        trade = pipeline.convert(self.request(tmp_path / "o", folder, max_drop=100.0)).files[0].trade
        assert trade is not None
        assert trade.measure == "top-1"

    @pytest.mark.parametrize(
        "options",
        [
            "--int8 --max-drop nan",
            "--int8 --min-agreement nan",
            "--int8 --max-drop -1",
            "--float16 --max-drop 1",
            "--int8 --class-index classes.tsv",
            "--int8 --max-drop 1 --class-index classes.tsv",
        ],
    )
    def test_bounds_that_mean_nothing_are_wrong_usage(self, options: str) -> None:
        result = CliRunner().invoke(main.main, ["convert", "--variant", "lite0", *options.split()])
        assert result.exit_code == 2, result.output

    @pytest.mark.parametrize("gate", [{"max_drop": 99.0}, {"min_agreement": 1.0}])
    def test_a_missed_gate_writes_nothing(
        self, tmp_path: Path, photographs: Path, gate: dict[str, float], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("lite_toolkit.quantization.mixed_precision.MOST_WORK", 0.0)
        # The float model sees one class, on the first image that it is tried on too, and its quantized form another.
        seen = iter([0, 0])
        monkeypatch.setattr(
            validation, "scores", lambda _, images, *__: np.eye(2, dtype=np.float32)[[next(seen, 1)] * len(images)]
        )
        with pytest.raises(GateError, match=r"no layer can be spared|less than 1%; nothing was written"):
            pipeline.convert(self.request(tmp_path / "o", photographs, **gate))
        assert not (tmp_path / "o").exists() or not list((tmp_path / "o").iterdir())

    @pytest.mark.parametrize("gate", [{"max_drop": 1.0}, {"min_agreement": 90.0}])
    def test_a_bound_needs_held_out_images(self, tmp_path: Path, photographs: Path, gate: dict[str, float]) -> None:
        few = tmp_path / "few"
        few.mkdir()
        for path in sorted(photographs.iterdir())[:5]:
            (few / path.name).write_bytes(path.read_bytes())
        with pytest.raises(LiteToolkitError, match="5 images: a bound is measured on held-out ones, which takes 20"):
            pipeline.convert(self.request(tmp_path / "o", few, **gate))

    def test_the_manifest_says_what_it_cost_layer_by_layer(self, convert: Convert) -> None:
        manifest = convert("lite0", "int8").files[0].manifest
        assert {"comparison", "layers", "worst"} == set(manifest["held_out"])
        assert manifest["held_out"]["layers"][0]["name"] == "stem_conv"
        assert manifest["mixed_precision"] is None
