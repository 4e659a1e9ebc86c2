"""A model that gives NaN or infinity is an error that says so, wherever its values are used."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from lite_toolkit.cli import main
from lite_toolkit.errors import ModelError
from lite_toolkit.images.preprocessing import google_lite
from lite_toolkit.measurement.validation import compare, scores
from lite_toolkit.runtime import heads
from lite_toolkit.tflite.graph import read_graph

pytest.importorskip("tensorflow", reason="converting needs TensorFlow")

from lite_toolkit.bundle.vectors import record
from lite_toolkit.conversion import pipeline
from lite_toolkit.conversion.float_model import from_keras, to_tflite
from lite_toolkit.measurement.layer_errors import measure
from lite_toolkit.networks.backend import keras
from lite_toolkit.quantization import recipes
from lite_toolkit.quantization.parameters import Parameters, with_parameters
from lite_toolkit.quantization.recording import observe
from lite_toolkit.quantization.walk import choose_parameters

SIZE, CLASSES = 32, 6
LIMITS = (-1.0, 1.0)
BROKEN = pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)
Made = Callable[[float], Path]


@pytest.fixture(scope="module")
def sound(tiny: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "sound.tflite"
    path.write_bytes(to_tflite(from_keras(tiny), "logits"))
    return path


@pytest.fixture
def broken(sound: Path, tmp_path: Path) -> Made:
    """The model with one bias of its last layer replaced."""

    def make(value: float) -> Path:
        content = sound.read_bytes()
        last = read_graph(content).subgraphs[0].operators[-1].index
        bias = np.zeros(CLASSES, np.float32)
        bias[2] = value
        path = tmp_path / "broken.tflite"
        path.write_bytes(with_parameters(content, Parameters(biases={last: bias})))
        return path

    return make


def images(count: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (count, SIZE, SIZE, 3)).astype(np.float32)


def run(*arguments: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(main.main, [*map(str, arguments)])
    return done.exit_code, done.stdout, done.stderr.splitlines()[-1]


@BROKEN
@pytest.mark.parametrize("form", [[], ["--json"]], ids=["table", "json"])
def test_classify(broken: Made, photographs: Path, value: float, form: list[str]) -> None:
    model, photograph = broken(value), photographs / "picture04.jpg"
    said = f"Error: {model} gives scores that are not numbers for {photograph}: {value}"
    assert run("classify", model, photograph, *form) == (1, "", said)


@BROKEN
def test_validate(sound: Path, broken: Made, photographs: Path, value: float) -> None:
    model = broken(value)
    said = f"Error: {model} gives scores that are not numbers for picture00.jpg: {value}"
    assert run("validate", sound, model, "--data", photographs, "--json") == (1, "", said)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.nan, r"changed\.keras: layer 'dense' has weights that are not finite \(kernel\)"),
        (1e5, "cannot be quantized to float16: it has larger weights than that can hold"),  # 65504 at most
    ],
)
def test_convert(tiny: keras.Model, photographs: Path, tmp_path: Path, weight: float, message: str) -> None:
    changed = keras.models.clone_model(tiny)
    changed.get_layer("dense").set_weights([np.full((4, CLASSES), weight), np.zeros(CLASSES)])
    changed.save(tmp_path / "changed.keras")
    request = pipeline.Request(
        (recipes.load("float16"),),
        model=tmp_path / "changed.keras",
        preprocessing=google_lite,
        calibration_data=photographs,
        output=tmp_path,
    )
    with pytest.raises(ModelError, match=message):
        pipeline.convert(request)
    assert not list(tmp_path.glob("*.tflite"))


def test_infinity_is_not_taken_for_the_largest_number(broken: Made, photographs: Path) -> None:
    """As which the runtime's own kernels store it."""
    code, printed, said = run("classify", broken(np.inf), photographs / "picture04.jpg", "--delegate", "none")
    assert (code, printed) == (1, "")
    assert said.endswith(
        "gives scores that are not numbers for " + f"{photographs / 'picture04.jpg'}: 3.4028234663852886e+38"
    )


@BROKEN
def test_calibration(broken: Made, value: float) -> None:
    content = broken(value).read_bytes()
    last = read_graph(content).subgraphs[0]
    name = last.tensors[last.outputs[0]].name
    with pytest.raises(ModelError, match=f"values that are not numbers in {name} for calibration image 1"):
        observe(content, images(2), LIMITS)
    for recipe in ("int8", "int16x8"):
        with pytest.raises(ModelError, match=f"values that are not numbers in {name}"):
            choose_parameters(content, images(2), LIMITS, recipes.load(recipe))


def test_errors_of_layers_whose_scores_look_sound(sound: Path) -> None:
    """A ReLU6 cuts infinity down to 6, and a layer before it is measured all the same."""
    content = sound.read_bytes()
    graph = read_graph(content).subgraphs[0]
    weights = np.array(graph.tensors[graph.operators[-1].inputs[1]].data())
    weights[0, 0] = np.inf
    broken = with_parameters(content, Parameters({graph.operators[-1].index: weights}))
    with pytest.raises(ModelError, match="layer dense has values that are not numbers for image 1"):
        measure(content, broken, images(2))


@BROKEN
def test_golden_vectors(broken: Made, value: float) -> None:
    with pytest.raises(ModelError, match="gives scores that are not numbers"):
        record(broken(value).read_bytes(), google_lite(SIZE), heads.SINGLE_LABEL)


@BROKEN
def test_comparisons_from_python(broken: Made, value: float) -> None:
    model = broken(value)
    with pytest.raises(ModelError, match=rf"broken\.tflite gives scores that are not numbers for image 1: {value}"):
        scores(model, images(2))
    wrong = np.array([[0.5, value, 1.0]], np.float32)
    for pair in ((wrong, np.ones_like(wrong)), (np.ones_like(wrong), wrong)):
        with pytest.raises(ModelError, match="not numbers"):
            compare(*pair)


def test_the_rest_of_json_has_no_other_way_to_hold_nan(sound: Path, photographs: Path) -> None:
    code, printed, _ = run("classify", sound, photographs / "picture04.jpg", "--json")
    assert code == 0
    assert len(json.loads(printed)["predictions"][0]["top"]) == 5
