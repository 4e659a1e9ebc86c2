"""MediaPipe's resize, by hand and pixel by pixel against the client; the others are tested in test_preprocessing.py."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lite_toolkit.images.preprocessing import PRESETS
from lite_toolkit.images.resizing import frame, sample
from lite_toolkit.tflite import metadata
from lite_toolkit.tflite.metadata import Metadata, Normalization


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([10, 20, 30, 40], [10, 30]),  # every second pixel: no antialiasing, and the first stays at the corner
        ([0, 64], [0, 32, 64, 64]),  # the last pixel goes on
        ([0, 90, 180], [0, 135]),  # 1.5: half of each neighbour
        ([0, 100, 200, 50], [0, 134, 102]),  # 4/3 and 8/3 are 43/32 and 85/32: 100 + 11/32 of 100, 200 - 21/32 of 150
        ([7], [7, 7, 7]),
    ],
)
def test_by_hand(before: list[int], after: list[int]) -> None:
    row = np.repeat(np.array(before, np.uint8)[None, :, None], 3, axis=2)
    for turned in (row, row.transpose(1, 0, 2)):
        size = (len(after), 1) if turned is row else (1, len(after))
        found = np.asarray(frame(Image.fromarray(turned), size, "none", 1.0, "mediapipe"))
        assert found[..., 0].ravel().tolist() == after


@pytest.mark.parametrize(
    ("ys", "xs", "expected"),
    [
        ([0.0], [0.0, 1.0], [[10, 20]]),
        ([0.5], [0.0, 0.5], [[20, 25]]),  # halves round up
        ([0.0, 0.25], [0.25], [[13], [18]]),  # 12.5 and 17.5
        ([-0.5, 1.5], [-0.5, 1.5], [[10, 20], [30, 40]]),  # the edges are repeated
    ],
)
def test_bilinear_values(ys: list[float], xs: list[float], expected: list[list[int]]) -> None:
    pixels = np.repeat(np.array([[10, 20], [30, 40]], np.uint8)[..., None], 3, axis=2)
    found = sample(pixels, np.array(ys), np.array(xs))
    assert found.dtype == np.uint8
    assert found[..., 1].tolist() == expected


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """In blocks, that do not show: less than 20 bytes a pixel, of which the result takes 3."""
    pixels = np.random.default_rng(0).integers(0, 256, (50, 61, 3), dtype=np.uint8)
    tracemalloc.start()
    found = frame(Image.fromarray(pixels), (1000, 1100), "none", 1.0, "mediapipe")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * 1000 * 1100
    monkeypatch.setattr("lite_toolkit.images.resizing._BLOCK", 2000)
    whole = frame(Image.fromarray(pixels), (1000, 1100), "none", 1.0, "mediapipe")
    assert found.tobytes() == whole.tobytes()


def test_of_another_network_only_the_crop_and_the_filter_change() -> None:
    spec = PRESETS["lite"](224)
    changed = spec.for_mediapipe()
    assert (changed.crop, changed.crop_fraction, changed.interpolation) == ("none", 1.0, "mediapipe")
    assert (changed.height, changed.width, changed.mean, changed.std) == (224, 224, spec.mean, spec.std)
    assert type(spec).from_json(changed.to_json()) == changed


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose scores are its input, 24x28."""
    tf = pytest.importorskip("tensorflow")
    image = tf.keras.Input((24, 28, 3), batch_size=1)
    network = tf.keras.Model(image, tf.keras.layers.Reshape((24 * 28 * 3,))(image * 1.0))
    path = tmp_path_factory.mktemp("mirror") / "mirror.tflite"
    names = tuple(str(index) for index in range(24 * 28 * 3))
    told = Metadata(normalization=Normalization((0.0,), (1.0,)), labels={"": names})
    path.write_bytes(metadata.write(tf.lite.TFLiteConverter.from_keras_model(network).convert(), told))
    return path


@pytest.mark.parametrize("shape", [(24, 28), (48, 56), (37, 53), (333, 500), (500, 61), (11, 17), (2, 3), (1, 1)])
def test_every_pixel_is_the_clients(mirror: Path, shape: tuple[int, int]) -> None:
    mediapipe = pytest.importorskip("mediapipe")
    tasks = pytest.importorskip("mediapipe.tasks.python")
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    options = tasks.vision.ImageClassifierOptions(
        base_options=tasks.BaseOptions(model_asset_path=str(mirror)), max_results=-1
    )
    with tasks.vision.ImageClassifier.create_from_options(options) as client:
        told = client.classify(mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=pixels))
    fed = {category.index: category.score for category in told.classifications[0].categories}
    ours = frame(Image.fromarray(pixels), (28, 24), "none", 1.0, "mediapipe")
    assert [fed[index] for index in range(24 * 28 * 3)] == np.asarray(ours).ravel().tolist()
