"""Networks of grey images: from the image to the scores, and to what an app embeds, they see the luma."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lite_toolkit.board.inference import input_table, look_up
from lite_toolkit.bundle import clients, packing, vectors
from lite_toolkit.datasets.representative import load_representative
from lite_toolkit.errors import ModelError
from lite_toolkit.images.files import read_image
from lite_toolkit.images.preprocessing import PRESETS
from lite_toolkit.measurement.classification import Classifier
from lite_toolkit.measurement.description import describe
from lite_toolkit.tflite import manifest, metadata
from lite_toolkit.tflite.graph import read_graph
from lite_toolkit.tflite.metadata.documents import document_of

pytest.importorskip("tensorflow", reason='needs the extra: pip install ".[convert]"')

from lite_toolkit.conversion.pipeline import convert
from lite_toolkit.conversion.request import Request
from lite_toolkit.networks.backend import keras
from lite_toolkit.quantization import recipes

L = keras.layers


@pytest.fixture(scope="module")
def network() -> Any:
    """24 x 20 grey pixels to 3 scores."""
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((24, 20, 1)),
            L.Rescaling(1 / 255),
            L.Conv2D(6, 3, strides=2, activation="relu"),
            L.Flatten(),
            L.Dense(3, activation="softmax"),
        ]
    )


@pytest.fixture(scope="module")
def model(network: Any, photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as an int8 `.tflite`, beside its float one."""
    folder = tmp_path_factory.mktemp("grey")
    network.save(folder / "grey.keras")
    request = Request(
        (recipes.load("int8-minmax"), recipes.default("float32")),
        model=folder / "grey.keras",
        preprocessing=PRESETS["pixels"],
        calibration_data=photographs,
        labels=("a", "b", "c"),
        output=folder,
    )
    return convert(request).files[0].path


def test_a_photograph_is_seen_as_its_luma(model: Path, network: Any, photographs: Path) -> None:
    float_model = model.with_name("grey-float32.tflite")
    spec = manifest.preprocessing(manifest.read(float_model) or {})
    assert (spec.channel_order, spec.shape) == ("grey", (24, 20, 1))
    for path in sorted(photographs.iterdir())[:5]:
        rgb = PRESETS["pixels"]((24, 20)).pixels(read_image(path))
        luma = np.rint(rgb @ np.array([0.299, 0.587, 0.114]))[None, ..., None]
        (found,) = Classifier(float_model).classify([path], top=3)
        scores = [score.score for score in sorted(found.top, key=lambda score: score.index)]
        np.testing.assert_allclose(scores, network(luma)[0], atol=0.01)


def test_a_board_looks_up_one_channel(model: Path, photographs: Path) -> None:
    classifier = Classifier(model)
    spec = classifier.preprocessing
    pixels = spec.pixels(read_image(sorted(photographs.iterdir())[0]))
    stored = look_up(input_table(classifier.model, spec), pixels)
    np.testing.assert_array_equal(stored, classifier.model.input.quantize(spec.normalize(pixels)))
    assert stored.shape == (24, 20, 1)


@pytest.mark.parametrize("shape", [(4, 28, 28), (4, 28, 28, 1), (4, 28, 28, 3), (4, 24, 20)])
def test_arrays_of_grey_images_calibrate(tmp_path: Path, shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    np.save(tmp_path / "images.npy", array)
    spec = PRESETS["pixels"]((24, 20)).for_channels(1)
    assert load_representative(tmp_path / "images.npy", spec, 4, 0).calibration[:].shape == (4, 24, 20, 1)


def test_metadata_says_grey(model: Path) -> None:
    (image,) = (document_of(read_graph(model)) or {})["subgraph_metadata"][0]["input_tensor_metadata"]
    assert image["content"]["content_properties"]["ImageProperties"] == {"color_space": "GRAYSCALE"}
    assert metadata.read(model.read_bytes()).normalization.mean == (0.0,)


def test_a_preprocessing_of_colours_does_not_fit(model: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare.tflite"
    bare.write_bytes(model.read_bytes())
    assert describe(bare).preprocessing.channels == 1
    assert describe(bare, preprocessing=PRESETS["inception"]).preprocessing.channel_order == "grey"
    with pytest.raises(ModelError, match="the same three times where the input is grey"):
        describe(bare, preprocessing=PRESETS["imagenet"])


def test_a_bundle_holds_its_parity(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "SYNTHETIC_IMAGES", 1)
    monkeypatch.setattr(vectors, "CANDIDATES", 1)
    packing.package(packing.Request(model, ("python", "android", "ios"), tmp_path / "made"))
    done = subprocess.run([sys.executable, tmp_path / "made" / "classifier.py"], capture_output=True, text=True)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "parity holds")
    assert not list((tmp_path / "made").glob("MediaPipe*"))  # which feeds RGB
