"""One sigmoid or logit is two classes, several sigmoids are labels, and no figure holds by construction."""

import json
import math
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from lite_toolkit.board.inference import Answer, Record, Shape
from lite_toolkit.bundle import packing
from lite_toolkit.cli import main
from lite_toolkit.datasets import ground_truth
from lite_toolkit.datasets.ground_truth import Numbering
from lite_toolkit.errors import ImageError, LiteToolkitError, ModelError
from lite_toolkit.images.files import read_image
from lite_toolkit.measurement.classification import Classifier
from lite_toolkit.measurement.evaluation import Request, evaluate
from lite_toolkit.measurement.multi_label import average_precision, multi_label
from lite_toolkit.measurement.validation import compare
from lite_toolkit.runtime import heads
from lite_toolkit.tflite import ending, manifest, metadata
from lite_toolkit.tflite.graph import Operator, Quantization, Subgraph, Tensor, read_graph
from lite_toolkit.tflite.metadata import Metadata, archive

NAMES = ("dark", "bright")
COLOURS = ("red", "green", "blue")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main.main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pictures of each class, in folders of its name: of mean 80 and of mean 170."""
    folder, generator = tmp_path_factory.mktemp("pictures"), np.random.default_rng(3)
    for name, mean in zip(NAMES, (80, 170), strict=True):
        (folder / name).mkdir()
        for index in range(12):
            pixels = generator.normal(mean, 20, (16, 16, 3)).clip(0, 255)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{index}.png")
    return folder


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty-four pictures, of which each has any number of bright channels; `truth.csv` tells which."""
    folder, generator = tmp_path_factory.mktemp("colours"), np.random.default_rng(4)
    rows = ["image," + ",".join(COLOURS)]
    for index in range(24):
        present = [index >> bit & 1 for bit in range(3)]
        pixels = generator.normal(np.where(present, 170, 80), 20, (16, 16, 3)).clip(0, 255)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{index}.png")
        rows.append(f"{index}.png," + ",".join(map(str, present)))
    (folder / "truth.csv").write_text("\n".join(rows))
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, pictures: Path, colours: Path) -> Callable[..., Path]:
    """A network whose outputs tell how bright an image or its channels are, in int8 or float32; made once."""
    from lite_toolkit.conversion import pipeline
    from lite_toolkit.networks.backend import keras
    from lite_toolkit.quantization import recipes
    from lite_toolkit.weights.configurations import named

    folder, done = tmp_path_factory.mktemp("models"), set[str]()

    def make(name: str, form: str, *, activation: str | None = "sigmoid", slope: float = 1.0) -> Path:
        several = name == "labels"
        if name not in done:
            weights = np.eye(3) if several else np.full((3, 1), 1 / 3)
            dense = keras.layers.Dense(len(weights.T), activation=activation)
            model = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.GlobalAveragePooling2D(), dense])
            dense.set_weights([slope * weights / 10, np.full(len(weights.T), -12.5 * slope)])
            model.save(folder / f"{name}.keras")
            request = pipeline.Request(
                tuple(map(recipes.default, ("float32", "int8"))),
                model=folder / f"{name}.keras",
                labels=COLOURS if several else NAMES,
                preprocessing=named("pixels-stretch"),
                calibration_data=colours if several else pictures,
                output=folder,
            )
            pipeline.convert(request)
            done.add(name)
        return folder / f"{name}-{form}.tflite"

    return make


# ---------------------------------------------------------------------------------------------- what outputs mean


def test_a_probability_is_two_scores_and_half_is_of_neither_more() -> None:
    for probability, best in ((0.0, 0), (0.49999997, 0), (0.5, 0), (0.50000006, 1), (1.0, 1)):
        scores = heads.scores(heads.SIGMOID, np.array([probability], np.float32))
        assert scores.tolist() == [float(np.float32(1) - np.float32(probability)), float(np.float32(probability))]
        assert scores.argmax() == best


@pytest.mark.parametrize("logit", [-3.0, -1e-6, 1e-6, 2.5])
def test_the_softmax_of_a_logits_two_scores_is_its_sigmoid(logit: float) -> None:
    scores = heads.scores(heads.LOGIT, np.array([logit], np.float32)).astype(np.float64)
    assert np.exp(scores)[1] / np.exp(scores).sum() == pytest.approx(1 / (1 + math.exp(-logit)))
    assert scores.argmax() == (logit > 0)


def graph(*names: str, outputs: int = 1, fused: str = "NONE") -> Subgraph:
    """A chain of operators, of which each gives so many values."""
    tensors = [_tensor(number, outputs) for number in range(len(names) + 1)]
    operators = [
        Operator(number, name, 1, (number,), (number + 1,), {"fused_activation_function": fused})
        for number, name in enumerate(names)
    ]
    return Subgraph("", tuple(tensors), (0,), (len(names),), tuple(operators))


def _tensor(number: int, outputs: int, quantization: Quantization | None = None) -> Tensor:
    dtype = "float32" if quantization is None else "uint8"
    return Tensor(number, "", (1, outputs), dtype, (1, outputs), quantization, False, 0, memoryview(b""))


@pytest.mark.parametrize(
    ("names", "outputs", "head"),
    [
        (("FULLY_CONNECTED", "LOGISTIC"), 1, heads.SIGMOID),
        (("FULLY_CONNECTED", "LOGISTIC", "RESHAPE", "QUANTIZE"), 1, heads.SIGMOID),
        (("LOGISTIC", "MEAN", "DEQUANTIZE"), 1, heads.SIGMOID),
        (("LOGISTIC", "CONV_2D", "MEAN"), 1, heads.LOGIT),
        (("MEAN", "FULLY_CONNECTED", "QUANTIZE"), 1, heads.LOGIT),
        (("FULLY_CONNECTED", "LOGISTIC", "DEQUANTIZE"), 3, heads.MULTI_LABEL),
        (("FULLY_CONNECTED", "LOGISTIC"), 2, heads.MULTI_LABEL),
        (("FULLY_CONNECTED", "SOFTMAX", "QUANTIZE"), 2, heads.SINGLE_LABEL),
        (("LOGISTIC", "FULLY_CONNECTED"), 4, heads.SINGLE_LABEL),
    ],
)
def test_the_last_operators_tell_what_outputs_mean(names: tuple[str, ...], outputs: int, head: str) -> None:
    assert ending.head(graph(*names, outputs=outputs)) == head


@pytest.mark.parametrize(
    ("main", "why"),
    [
        (graph("FULLY_CONNECTED", "SOFTMAX"), "one output by a softmax is 1 for every image: it must be a sigmoid"),
        (graph("FULLY_CONNECTED", "TANH"), "one output by TANH: must be a sigmoid"),
        (graph("FULLY_CONNECTED", "MUL"), "one output by MUL"),
        (graph("FULLY_CONNECTED", fused="RELU"), "one output by FULLY_CONNECTED with an activation"),
        (graph("edgetpu-custom-op"), "one output by edgetpu-custom-op"),
        (graph(), "one output by no operator"),
    ],
)
def test_one_output_that_tells_no_threshold_is_refused(main: Subgraph, why: str) -> None:
    with pytest.raises(ModelError, match=why):
        ending.head(main)


def test_a_compiled_sigmoid_is_known_by_its_scale() -> None:
    chain = graph("edgetpu-custom-op")
    scale = Quantization(np.array([1 / 256], np.float32), np.array([0]), 0)
    known = Subgraph("", (chain.tensors[0], _tensor(1, 1, scale)), (0,), (1,), chain.operators)
    assert ending.head(known) == heads.SIGMOID


def test_a_graph_in_a_circle_has_an_end() -> None:
    reshape = Operator(0, "RESHAPE", 1, (0,), (0,), {})
    assert ending.ends(Subgraph("", (_tensor(0, 3),), (0,), (0,), (reshape,))) == set()


# ------------------------------------------------------------------------------------------------- two classes


def test_models_that_contradict_each_other_agree_nowhere(made: Callable[..., Path], pictures: Path) -> None:
    one, other = made("sigmoid", "float32"), made("inverted", "int8", slope=-1.0)
    result = run("validate", one, other, "--data", pictures, "--min-agreement", 99)
    assert (result.exit_code, result.stderr) == (3, "Error: 0.00% of the images have the same top-1, less than 99%\n")
    told = json.loads(run("validate", one, other, "--data", pictures, "--json").stdout)["comparison"]
    assert (told["agreement_percent"], told["top5_agreement_percent"], told["float_answers"]) == (0, None, 2)


@pytest.mark.parametrize(("name", "activation"), [("sigmoid", "sigmoid"), ("logit", None)])
@pytest.mark.parametrize("form", ["float32", "int8"])
def test_one_output_is_judged_as_two_classes(
    made: Callable[..., Path], pictures: Path, name: str, activation: str | None, form: str
) -> None:
    model, inverted = made(name, form, activation=activation), made("inverted", "int8", slope=-1.0)
    found = evaluate(Request(model, pictures, reference=inverted, max_drop=0.0))
    ours, theirs = found.judgement.results
    assert {k: rate.correct_images for k, rate in ours.top.items()} == {1: 24}
    assert {k: rate.correct_images for k, rate in theirs.top.items()} == {1: 0}
    assert found.judgement.pairing is not None
    assert (found.judgement.pairing.same_images, found.judgement.pairing.only_model_correct_images) == (0, 24)
    assert found.missed is None
    assert any("one output, without a sigmoid" in note for note in found.notes) == (name == "logit")
    assert manifest.read(model)["head"] == name  # type: ignore[index]


def test_exchanged_labels_and_missed_gates_are_told(made: Callable[..., Path], pictures: Path) -> None:
    inverted, model = made("inverted", "int8", slope=-1.0), made("sigmoid", "int8")
    result = run("evaluate", inverted, "--data", pictures, "--reference", model, "--max-drop", 1)
    assert result.exit_code == 3
    assert "drastically better with the two classes exchanged" in result.stderr
    assert result.stderr.endswith("Error: top-1 drops by 100.00 points, more than 1\n")


def test_a_logit_keeps_its_whole_range_in_int8(made: Callable[..., Path]) -> None:
    held_out = manifest.read(made("logit", "int8", activation=None))["held_out"]  # type: ignore[index]
    assert held_out["comparison"]["sqnr_db"] > 35


def test_both_classes_are_named(made: Callable[..., Path], pictures: Path) -> None:
    (prediction,) = Classifier(made("sigmoid", "int8")).classify([pictures / "dark/0.png"])
    assert [score.label for score in prediction.top] == ["dark", "bright"]
    assert sum(score.score for score in prediction.top) == 1
    assert prediction.top[0].score > 0.5


@pytest.mark.parametrize("count", [1, 3])
def test_other_than_two_labels_are_one_line(
    made: Callable[..., Path], pictures: Path, tmp_path: Path, count: int
) -> None:
    model, labels = made("sigmoid", "int8"), tmp_path / "labels.txt"
    labels.write_text("\n".join(COLOURS[:count]))
    line = f"Error: {count} labels for a model of 2 classes by one output: two are needed, that of a low score first\n"
    for command in (("classify", model, pictures), ("evaluate", model, "--data", pictures)):
        assert run(*command, "--labels", labels).stderr == line
    assert run("metadata", "write", model, "--labels", labels, "-o", tmp_path / "new.tflite").stderr == line
    source = model.with_name("sigmoid.keras")
    converted = run("convert", "--model", source, "--float32", "--labels", labels, "--output", tmp_path / "a.tflite")
    assert converted.stderr.startswith(f"Error: {count} labels for 2 classes by one output: two are needed")


def test_clients_are_told_the_second_class_and_we_read_both(made: Callable[..., Path], tmp_path: Path) -> None:
    content = made("sigmoid", "int8").read_bytes()
    files = archive.files(content)
    assert (files["labels.txt"], files["both_labels.txt"]) == (b"bright\n", b"dark\nbright\n")
    again = metadata.write(content, Metadata(labels={"": ("cat", "dog")}))
    told = metadata.read(again)
    assert told is not None
    assert (told.class_names, told.files) == (("cat", "dog"), ("both_labels.txt", "labels.txt"))
    (tmp_path / "alone.tflite").write_bytes(again)
    assert list(Classifier(tmp_path / "alone.tflite").labels or ()) == ["cat", "dog"]


def test_one_label_of_others_names_the_second_class() -> None:
    assert heads.both(["dog"], 1) == ("not dog", "dog")
    assert heads.both(["cat", "dog"], 1) == ["cat", "dog"]
    assert heads.both(["dog"], 2) == ["dog"]


def test_a_bundle_names_both_classes_and_mediapipe_the_second(
    made: Callable[..., Path], pictures: Path, tmp_path: Path
) -> None:
    request = packing.Request(made("sigmoid", "int8"), ("python", "c", "mediapipe"), tmp_path / "bundle", pictures)
    described = packing.package(request).described
    assert (described["model"]["classes"], described["model"]["head"]) == (2, "sigmoid")
    client = runpy.run_path(str(tmp_path / "bundle/classifier.py"))
    for name in NAMES:
        (best, other) = client["Classifier"]().classify(client["read"](pictures / name / "0.png"))
        assert (best[1], best[2] > 0.5, best[2] + other[2]) == (name, True, 1)
    code = (tmp_path / "bundle/mediapipe_classifier.py").read_text()
    recorded = [
        np.fromfile(tmp_path / "bundle/golden" / f"{number}-output.bin", np.uint8)[0] / 256 for number in range(3)
    ]
    assert f"GOLDEN = [{', '.join(repr((0, float(score))) for score in recorded)}]" in code
    assert "constexpr size_t kOutputs = 1;" in (tmp_path / "bundle/classifier.cc").read_text()


def test_mediapipe_takes_it(made: Callable[..., Path], pictures: Path) -> None:
    mediapipe = pytest.importorskip("mediapipe", reason="MediaPipe has no wheel for this machine")
    tasks = pytest.importorskip("mediapipe.tasks.python")
    base = tasks.BaseOptions(model_asset_buffer=made("sigmoid", "int8").read_bytes())
    options = tasks.vision.ImageClassifierOptions(base_options=base)
    with tasks.vision.ImageClassifier.create_from_options(options) as client:
        pixels = np.asarray(read_image(pictures / "bright/0.png"))
        (found,) = client.classify(mediapipe.Image(mediapipe.ImageFormat.SRGB, pixels)).classifications[0].categories
    assert (found.index, found.category_name, found.score > 0.5) == (0, "bright", True)


# ------------------------------------------------------------------------------------------- figures of two models


def test_the_divergence_of_two_classes_is_bernoullis() -> None:
    p, q = np.array([0.9, 0.2, 0.6]), np.array([0.8, 0.3, 0.4])
    by_hand = np.mean(p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q)))
    columns = [np.stack([1 - one, one], axis=1).astype(np.float32) for one in (p, q)]
    found = compare(*columns, heads.SIGMOID)  # type: ignore[misc]
    assert found.kl_divergence_nats == pytest.approx(by_hand, rel=1e-5)
    assert found.agreement_percent == pytest.approx(200 / 3)


def test_labels_are_compared_one_by_one() -> None:
    p = np.array([[0.9, 0.1, 0.6], [0.2, 0.7, 0.5]], np.float32)
    q = np.array([[0.8, 0.2, 0.4], [0.3, 0.6, 0.5]], np.float32)
    found = compare(p, q, heads.MULTI_LABEL)
    assert (found.agreement_percent, found.top5_agreement_percent, found.scores) == (50, None, "sigmoids")
    by_hand = (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))).sum(axis=1).mean()
    assert found.kl_divergence_nats == pytest.approx(float(by_hand), rel=1e-5)
    power = [float(np.square(values).sum()) for values in (p - 0.5, p - q)]
    assert found.sqnr_db == pytest.approx(10 * math.log10(power[0] / power[1]), rel=1e-5)


@pytest.mark.parametrize(("classes", "told"), [(3, False), (5, False), (6, True)])
def test_the_best_five_are_counted_of_more_than_five(classes: int, told: bool) -> None:
    scores = np.random.default_rng(0).normal(size=(8, classes)).astype(np.float32)
    assert (compare(scores, -scores).top5_agreement_percent is not None) == told


def test_images_of_one_class_make_agreement_doubtful() -> None:
    scores = np.tile(np.float32([0.1, 0.9]), (12, 1))
    assert compare(scores, scores).doubt == (
        "The float model sees one class in all 12 images: agreement on them says little."
    )
    assert compare(np.roll(scores, 1, axis=1) * np.eye(2, dtype=np.float32)[[0, 1] * 6], scores).doubt is None


def test_all_classes_are_no_choice(made: Callable[..., Path], pictures: Path) -> None:
    with pytest.raises(ModelError, match="--top 2: the model has 2 classes, and all are among so many"):
        evaluate(Request(made("sigmoid", "int8"), pictures, top=(2,)))


# ----------------------------------------------------------------------------------------------------- labels


@pytest.mark.parametrize(
    ("present", "scores", "expected"),
    [
        ([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], 250 / 3),  # the example in scikit-learn's documentation
        ([1, 0, 1, 0], [0.5, 0.5, 0.5, 0.5], 50),  # ties count together, in whatever order
        ([0, 1, 1], [0.9, 0.8, 0.8], 200 / 3),
        ([1, 1, 1], [0.1, 0.2, 0.3], None),  # 100 whatever the scores
        ([0, 0, 0], [0.1, 0.2, 0.3], None),
    ],
)
def test_average_precision(present: list[int], scores: list[float], expected: float | None) -> None:
    found = average_precision(np.array(scores, np.float32), np.array(present, bool))
    assert found == (expected if expected is None else pytest.approx(expected))


def test_f1_is_of_all_labels_and_their_mean() -> None:
    scores = np.array([[0.9, 0.1, 0.1], [0.8, 0.6, 0.2], [0.5, 0.7, 0.3]], np.float32)
    present = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0]], bool)
    found = multi_label(scores, present, dict(enumerate(COLOURS)), reference=scores)
    assert [(row.name, row.images, row.predicted_images, row.correct_images) for row in found.labels] == [
        ("red", 2, 2, 1),
        ("green", 2, 2, 2),
        ("blue", 0, 0, 0),
    ]
    assert found.micro_f1_percent == pytest.approx(100 * 2 * 3 / (4 + 4))
    assert found.macro_f1_percent == pytest.approx((50 + 100) / 2)  # no image has or is given the third
    assert found.mean_average_precision_percent == pytest.approx((100 * (1 / 2 + 2 / 3 / 2) + 100) / 2)
    assert (found.exact_images, found.agreement_percent) == (1, 100)


@pytest.mark.parametrize(
    "table",
    [
        "image,red,green,blue\na.png,1,0,1\nb.png,0,0,0\n",
        ",image,blue,red,green,extra\n0,a.png,1,1,-1,x\n1,b.png,-1,-1,-1,y\n",
        "file;labels\na.png;red|blue\nb.png;\n",
        'image,labels\na.png,"blue, red"\nb.png,\n',
        "image,labels\na.png,\"['red', 'blue']\"\nb.png,[]\n",
        "image,label\na.png,red\na.png,blue\nb.png,\n",
        "image,labels\na.png,0 2\nb.png,\n",
    ],
)
def test_tables_tell_any_number_of_labels(tmp_path: Path, table: str) -> None:
    path = tmp_path / "truth.csv"
    path.write_text(table)
    found = ground_truth.read_labels(tmp_path, ["a.png", "b.png"], Numbering(3, labels=COLOURS), path)
    assert found.present.tolist() == [[True, False, True], [False, False, False]]
    assert found.single is None


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ("image,red,green\na.png,1,0\nb.png,0,0\n", "no column is titled by label 2: each of 3 must have one"),
        ("image,labels\na.png,red|pink\nb.png,red\n", "'red|pink' names none of the model's"),
        ("image,labels\na.png,red\n", "1 of 2 images are not in truth.csv: b.png"),
        ("image,one,two\na.png,red,blue\nb.png,red,red\n", "labels are named by 'one' or by 'two': leave a column out"),
    ],
)
def test_tables_that_leave_a_label_open_are_refused(tmp_path: Path, table: str, why: str) -> None:
    path = tmp_path / "truth.csv"
    path.write_text(table)
    with pytest.raises(ImageError, match=why.replace("|", r"\|")):
        ground_truth.read_labels(tmp_path, ["a.png", "b.png"], Numbering(3, labels=COLOURS), path)


def test_a_multi_label_model_is_judged_by_labels(made: Callable[..., Path], colours: Path, tmp_path: Path) -> None:
    model, reference, saved = made("labels", "int8"), made("labels", "float32"), tmp_path / "saved.json"
    arguments = ("evaluate", model, "--data", colours, "--labels-csv", colours / "truth.csv")
    result = run(*arguments, "--reference", reference, "--min-map", 90, "--max-drop", 1, "-o", saved)
    assert result.exit_code == 0, result.stderr
    told = json.loads(saved.read_text())
    assert (told["top"], told["classes"], told["pairing"]) == ([], [], None)
    figures = told["multi_label"]
    assert (figures["images"], figures["exact_images"], figures["agreement_percent"]) == (24, 24, 100)
    assert [row["name"] for row in figures["labels"]] == list(COLOURS)
    refused = run(*arguments, "--min-top1", 50)
    assert refused.stderr.endswith("images have any number of labels by truth.csv: pass --min-map instead\n")
    missed = run("compare", saved, _worse(told, tmp_path), "--max-drop", 1)
    assert missed.stderr == "Error: mAP is 50.00 points lower, more than 1\n"
    page = run("report", saved, "-o", tmp_path / "page.html")
    assert (page.exit_code, "Any number of labels" in (tmp_path / "page.html").read_text()) == (0, True)


def _worse(told: dict[str, Any], folder: Path) -> Path:
    for row in told["multi_label"]["labels"]:
        row["average_precision_percent"] = 50
    path = folder / "worse.json"
    path.write_text(json.dumps(told))
    return path


def test_one_label_an_image_is_taken_as_all_and_counts_as_top1_too(
    made: Callable[..., Path], colours: Path, tmp_path: Path
) -> None:
    for index, colour in ((1, "red"), (9, "red"), (2, "green"), (4, "blue")):
        (tmp_path / colour).mkdir(exist_ok=True)
        (tmp_path / colour / f"{index}.png").write_bytes((colours / f"{index}.png").read_bytes())
    found = evaluate(Request(made("labels", "int8"), tmp_path))
    assert found.judgement.results[0].top[1].correct_images == 4
    assert found.judgement.multi_label[0].mean_average_precision_percent == 100
    assert "Each image has one label by the folders' names: every other is taken to be absent." in found.notes


def test_what_tells_classes_and_what_tells_labels_are_not_mixed(
    made: Callable[..., Path], pictures: Path, colours: Path
) -> None:
    with pytest.raises(ModelError, match="--min-map is of models with a sigmoid for each label"):
        evaluate(Request(made("sigmoid", "int8"), pictures, min_map=50.0))
    with pytest.raises(LiteToolkitError):
        evaluate(Request(made("sigmoid", "int8"), colours, table=colours / "truth.csv"))


def test_records_of_labels_hold_every_score() -> None:
    shape = Shape(images=1, models=1, top=1, classes=2, scored=True)
    record = Record(0, (Answer((1,), (), (0.25, 0.75)),))
    told = json.loads(json.dumps(record.to_json()))
    assert Record.from_json(told, shape) == record
    for scores in ([0.25], [0.25, 1.5], [0.25, "1"], [0.25, None]):
        with pytest.raises(ValueError, match="of another job"):
            Record.from_json({"image": 0, "answers": [[[1], [], scores]]}, shape)
    with pytest.raises(ValueError, match="of another job"):
        Record.from_json({"image": 0, "answers": [[[1], []]]}, shape)


def test_the_graph_of_a_converted_model_tells_its_head(made: Callable[..., Path]) -> None:
    for name, head in (("sigmoid", heads.SIGMOID), ("labels", heads.MULTI_LABEL)):
        for form in ("float32", "int8"):
            assert ending.head(read_graph(made(name, form)).subgraphs[0]) == head


def test_a_variant_of_one_class_ends_in_a_sigmoid() -> None:
    from lite_toolkit.networks.architectures import VARIANTS
    from lite_toolkit.networks.builder import build

    model = build(VARIANTS["lite0"], classes=1, input_shape=(32, 32, 3))
    assert model.layers[-1].activation.__name__ == "sigmoid"
