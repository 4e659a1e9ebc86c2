"""The main job on real weights and photographs, through the installed command."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lite_toolkit.images.files import find_images, read_image
from lite_toolkit.images.preprocessing import PreprocessingSpec
from lite_toolkit.measurement import validation
from lite_toolkit.tflite.graph import read_graph
from lite_toolkit.tflite.inspection import float_operators

pytestmark = pytest.mark.slow

VARIANTS = ["lite0", "lite2"]
COMMAND = shutil.which("lite-toolkit", path=Path(sys.executable).parent)


def run(*arguments: str | Path) -> dict[str, Any]:
    assert COMMAND, "the command must be installed beside the interpreter"
    finished = subprocess.run([COMMAND, *map(str, arguments), "--json"], check=True, capture_output=True, text=True)
    assert finished.stderr == ""
    document: dict[str, Any] = json.loads(finished.stdout)
    return document


@pytest.fixture(scope="module", params=VARIANTS)
def converted(
    request: pytest.FixtureRequest, shared: Path, imagenet_lite0: str, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with float32, float16 and int8 logits of one variant, calibrated on photographs."""
    folder = tmp_path_factory.mktemp(request.param)
    formats = ["--float32", "--float16", "--int8"]
    photographs = shared / "imagenet" / "calibration"
    arguments = ["--activation", "none", "--calibration-data", photographs, "--output", folder]
    run("convert", "--variant", request.param, *formats, *arguments)
    return folder


@pytest.fixture(scope="module")
def validation_set(converted: Path, shared: Path) -> tuple[list[np.ndarray], np.ndarray]:
    """Preprocessed validation photographs and their classes."""
    manifest = json.loads(next(converted.glob("*-float32.json")).read_text())
    spec = PreprocessingSpec.from_json(manifest["preprocessing"])
    rows = [line.split("\t") for line in (shared / "imagenet" / "classes.tsv").read_text().splitlines()[1:]]
    classes = {wnid: int(index) for index, wnid, _ in rows}
    paths = find_images(shared / "imagenet" / "validation")
    truth = np.array([classes[path.name.split("_")[0]] for path in paths])
    return [spec.apply(read_image(path)) for path in paths], truth


@pytest.fixture(scope="module")
def reference(converted: Path, validation_set: tuple[list[np.ndarray], np.ndarray]) -> np.ndarray:
    """Logits of the float32 file."""
    return validation.scores(next(converted.glob("*-float32.tflite")), validation_set[0])


def top1(scores: np.ndarray, truth: np.ndarray) -> float:
    return 100 * float((scores.argmax(axis=1) == truth).mean())


def test_float32_computes_what_keras_does(
    converted: Path, validation_set: tuple[list[np.ndarray], np.ndarray], reference: np.ndarray
) -> None:
    from lite_toolkit import load_model, read_weights, variant

    manifest = json.loads(next(converted.glob("*-float32.json")).read_text())
    loaded = load_model(read_weights(variant(manifest["variant"])), activation="none")
    logits = loaded.model(np.stack(validation_set[0][:20]), training=False).numpy()
    assert np.abs(logits - reference[:20]).max() <= 1e-4


def test_float16_agrees(
    converted: Path, validation_set: tuple[list[np.ndarray], np.ndarray], reference: np.ndarray
) -> None:
    scores = validation.scores(next(converted.glob("*-float16.tflite")), validation_set[0])
    assert validation.compare(reference, scores).agreement_percent >= 99.5


def test_int8_agrees_and_stays_accurate(
    converted: Path, validation_set: tuple[list[np.ndarray], np.ndarray], reference: np.ndarray
) -> None:
    images, truth = validation_set
    model = next(converted.glob("*-int8.tflite"))
    assert not float_operators(read_graph(model))
    scores = validation.scores(model, images)
    found = validation.compare(reference, scores)
    assert found.agreement_percent >= 97
    assert found.sqnr_db is not None
    assert found.sqnr_db >= 25
    assert top1(scores, truth) >= top1(reference, truth) - 1.5


def test_evaluate_counts_what_numpy_counts(
    converted: Path, validation_set: tuple[list[np.ndarray], np.ndarray], reference: np.ndarray, shared: Path
) -> None:
    images, truth = validation_set
    model, base = next(converted.glob("*-int8.tflite")), next(converted.glob("*-float32.tflite"))
    folder, index = shared / "imagenet" / "validation", shared / "imagenet" / "classes.tsv"
    report = run("evaluate", model, "--data", folder, "--class-index", index, "--reference", base)
    scores = validation.scores(model, images)
    for told, values in ((report["top"], scores), (report["reference"]["top"], reference)):
        assert told[0]["correct_images"] == (values.argmax(axis=1) == truth).sum()
        best = np.argsort(-values, axis=1, kind="stable")[:, :5]
        assert told[1]["correct_images"] == (best == truth[:, np.newaxis]).any(axis=1).sum()
    assert report["pairing"]["same_images"] == (scores.argmax(axis=1) == reference.argmax(axis=1)).sum()
    assert (len(report["classes"]), report["ground_truth"]["source"]) == (len(set(truth)), "the files' names")


@pytest.mark.parametrize("converted", ["lite0"], indirect=True)  # half a minute each
def test_the_synthetic_set_is_good_enough_to_start_with(
    converted: Path,
    validation_set: tuple[list[np.ndarray], np.ndarray],
    reference: np.ndarray,
    tmp_path: Path,
) -> None:
    variant = next(converted.glob("*-float32.tflite")).name.removesuffix("-float32.tflite")
    report = run("convert", "--variant", variant, "--int8", "--activation", "none", "--output", tmp_path)
    assert "synthetic" in report["files"][0]["manifest"]["calibration"]["description"]
    assert "synthetic" in report["notes"][0]
    scores = validation.scores(tmp_path / f"{variant}-int8.tflite", validation_set[0])
    found = validation.compare(reference, scores)
    assert found.agreement_percent >= 96
    assert found.sqnr_db is not None
    assert found.sqnr_db >= 19.5


@pytest.mark.parametrize("converted", ["lite0"], indirect=True)  # half a minute each
def test_another_process_writes_the_same_bytes(converted: Path, shared: Path, tmp_path: Path) -> None:
    first = next(converted.glob("*-int8.tflite"))
    variant = first.name.removesuffix("-int8.tflite")
    photographs = shared / "imagenet" / "calibration"
    arguments = ["--activation", "none", "--calibration-data", photographs, "--output", tmp_path]
    run("convert", "--variant", variant, "--int8", *arguments)
    assert (tmp_path / first.name).read_bytes() == first.read_bytes()


def test_classify_knows_a_panda(shared: Path, imagenet_lite0: str, tmp_path: Path) -> None:
    run("convert", "--variant", "lite0", "--int8", "--output", tmp_path)
    report = run("classify", tmp_path / "lite0-int8.tflite", shared / "golden" / "panda.jpg")
    best = report["predictions"][0]["top"][0]
    assert (best["index"], best["label"]) == (388, "giant panda")


@pytest.mark.parametrize("form", ["float32", "int8"])
@pytest.mark.parametrize("converted", ["lite0"], indirect=True)
def test_mediapipe_names_the_same_classes(converted: Path, shared: Path, form: str) -> None:
    mediapipe = pytest.importorskip("mediapipe")
    tasks = pytest.importorskip("mediapipe.tasks.python")
    model = converted / f"lite0-{form}.tflite"
    photographs = find_images(shared / "imagenet" / "validation")[:50]
    told = run("classify", model, *photographs, "--top", "1", "--resize", "mediapipe")["predictions"]
    options = tasks.vision.ImageClassifierOptions(
        base_options=tasks.BaseOptions(model_asset_path=str(model)), max_results=1
    )

    def best(client: Any, image: Any) -> tuple[int, str]:
        (category,) = client.classify(image).classifications[0].categories
        return category.index, category.category_name

    with tasks.vision.ImageClassifier.create_from_options(options) as client:
        panda = mediapipe.Image.create_from_file(str(shared / "golden" / "panda.jpg"))
        assert best(client, panda) == (388, "giant panda")
        # Pixels from one decoder: the client's own shifts a score by up to 0.2.
        images = (np.asarray(read_image(path)) for path in photographs)
        theirs = [best(client, mediapipe.Image(mediapipe.ImageFormat.SRGB, image)) for image in images]
    ours = [(one["top"][0]["index"], one["top"][0]["label"]) for one in told]
    assert sum(mine == other for mine, other in zip(ours, theirs, strict=True)) >= 49
