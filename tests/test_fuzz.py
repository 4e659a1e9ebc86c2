"""Damaged files are refused in one line: never a crash, a hang, or much memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lite_toolkit.tflite import metadata
from lite_toolkit.tflite.metadata import Metadata, Normalization

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "edgetpu" / "pairs"
SMALL = (
    "split_concat",
    "libr_color_red_64x64",
    "keras_lstm_mnist_ptq",
    "split_concat_edgetpu",
    "libr_dense_256_edgetpu",
)


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of small models with many kinds of operators; with compiled ones where there are any."""
    tf = pytest.importorskip("tensorflow")
    layers, folder = tf.keras.layers, tmp_path_factory.mktemp("seeds")
    image = layers.Input((16, 16, 3), batch_size=1)
    left = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu6")(image)
    right = layers.ZeroPadding2D(1)(layers.DepthwiseConv2D(3)(image))
    both = layers.Concatenate()([layers.UpSampling2D(interpolation="bilinear")(left), right])
    pooled = layers.GlobalAveragePooling2D()(layers.AveragePooling2D(2)(both))
    network = tf.keras.Model(image, layers.Dense(5, activation="softmax")(layers.Reshape((11,))(pooled)))
    images = np.random.default_rng(0).normal(size=(4, 1, 16, 16, 3)).astype(np.float32)
    converter = tf.lite.TFLiteConverter.from_keras_model(network)
    (folder / "float.tflite").write_bytes(converter.convert())
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    (folder / "dynamic.tflite").write_bytes(converter.convert())
    converter.representative_dataset = lambda: ([image] for image in images)
    (folder / "float_ends.tflite").write_bytes(converter.convert())
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    for name, dtype in (("int8", tf.int8), ("uint8", tf.uint8)):
        converter.inference_input_type = converter.inference_output_type = dtype
        (folder / f"{name}.tflite").write_bytes(converter.convert())
    told = Metadata(name="seed", normalization=Normalization((0.0,), (1.0,)), labels={"": tuple("abcde")})
    (folder / "described.tflite").write_bytes(metadata.write(folder / "uint8.tflite", told))
    for name in SMALL if SHARED.is_dir() else ():
        (folder / f"{name}.tflite").write_bytes((SHARED / f"{name}.tflite").read_bytes())
    return folder


def test_2000_damaged_files(seeds: Path) -> None:
    assert len(list(seeds.iterdir())) >= 5
    done = subprocess.run(
        [sys.executable, ROOT / "tests/fuzz.py", seeds, "2000"],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert set(found["outcomes"]) == {"read", "refused"}
    assert min(found["outcomes"].values()) > 500
    assert found["peak_mib"] < 1024
