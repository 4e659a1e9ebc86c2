"""MediaPipe's ImageClassifier, which reads our metadata on phones, takes our models and sees in them what we see."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lite_toolkit.conversion import pipeline
from lite_toolkit.images.files import read_image
from lite_toolkit.measurement.classification import Classifier
from lite_toolkit.tflite import metadata
from lite_toolkit.tflite.metadata import Metadata, ScoreCalibration

mediapipe = pytest.importorskip("mediapipe", reason="MediaPipe has no wheel for this machine")
tasks = pytest.importorskip("mediapipe.tasks.python")

NAMES = tuple(f"class {index}" for index in range(1000))
GERMAN = tuple(f"Klasse {index}" for index in range(1000))


@pytest.fixture(scope="module")
def models(convert: Callable[..., pipeline.Conversion]) -> dict[str, bytes]:
    """Of each type of input and output, with labels in two languages."""
    converted = {"uint8": convert("lite0", "int8"), "float32": convert("lite0", "float32")}
    told = Metadata(labels={"": NAMES, "de": GERMAN})
    return {dtype: metadata.write(made.files[0].path, told) for dtype, made in converted.items()}


def categories(model: bytes, image: Path, **options: object) -> list[Any]:
    """What the client sees in the pixels of an image, the best first."""
    base = tasks.BaseOptions(model_asset_buffer=model)
    chosen = tasks.vision.ImageClassifierOptions(base_options=base, **options)
    pixels = mediapipe.Image(mediapipe.ImageFormat.SRGB, np.asarray(read_image(image)))
    with tasks.vision.ImageClassifier.create_from_options(chosen) as client:
        found: list[Any] = client.classify(pixels).classifications[0].categories
    return found


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_the_client_sees_what_we_see(models: dict[str, bytes], photographs: Path, tmp_path: Path, dtype: str) -> None:
    path, images = tmp_path / "model.tflite", sorted(photographs.iterdir())[:5]
    path.write_bytes(models[dtype])
    ours = Classifier(path)
    ours.preprocessing = ours.preprocessing.for_mediapipe()
    for image, prediction in zip(images, ours.classify(images, 1), strict=True):
        (best,) = prediction.top
        (theirs,) = categories(models[dtype], image, max_results=1, display_names_locale="de")
        assert theirs.score == best.score
        assert theirs.category_name == NAMES[theirs.index]
        assert theirs.display_name == GERMAN[theirs.index]


def test_scores_below_the_threshold_are_left_out(models: dict[str, bytes], photographs: Path) -> None:
    image = min(photographs.iterdir())
    scores = [category.score for category in categories(models["float32"], image)]
    limited = metadata.write(models["float32"], Metadata(score_threshold=scores[9]))
    assert [category.score for category in categories(limited, image)] == scores[:10]


def test_scores_are_calibrated(models: dict[str, bytes], photographs: Path) -> None:
    image = min(photographs.iterdir())
    (before,) = categories(models["float32"], image, max_results=1)
    # 1 / (1 + exp(-(slope * score + offset))), times scale; a class without a line has the default score.
    lines = tuple("0.5,2.0,0.25" if index == before.index else "" for index in range(1000))
    calibrated = metadata.write(models["float32"], Metadata(score_calibration=ScoreCalibration(lines)))
    after = {category.index: category.score for category in categories(calibrated, image)}
    expected = 0.5 / (1 + np.exp(-(2.0 * before.score + 0.25)))
    assert after.pop(before.index) == pytest.approx(expected, rel=1e-5)
    assert set(after.values()) <= {0.0}


def test_float_without_normalization_is_refused(models: dict[str, bytes], photographs: Path) -> None:
    with pytest.raises((ValueError, OSError), match="NormalizationOptions"):  # which, depends on the release
        categories(metadata.strip(models["float32"]), min(photographs.iterdir()))
