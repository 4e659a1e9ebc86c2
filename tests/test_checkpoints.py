"""Every format is told by its content, read without being trusted, and refused in one line."""

import gzip
import json
import os
import re
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lite_toolkit.errors import MissingExtraError, WeightsError
from lite_toolkit.weights.checkpoints import FORMATS, read

h5py = pytest.importorskip("h5py", reason="it writes the files of Keras 2 and 3")

GOLDEN = Path(__file__).parent / "golden"
VALUES = np.arange(6, dtype=np.float32).reshape(2, 3)


def refusal(path: Path) -> str:
    with pytest.raises(WeightsError) as refused:
        read(path)
    message = str(refused.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def write_safetensors(path: Path) -> Path:
    save_file = pytest.importorskip("safetensors.numpy").save_file
    save_file({"w": VALUES}, path)
    return path


def write_keras2(path: Path, within: str = "/") -> Path:
    """What Keras 2 writes: `save_weights` at the root, `save` within model_weights."""
    with h5py.File(path, "w") as file:
        group = file.require_group(within)
        group.attrs["layer_names"] = np.array(["input_1", "predictions"], "S")
        group.create_group("input_1").attrs["weight_names"] = np.array([], "S")
        group["predictions/predictions/kernel:0"] = VALUES
        group["predictions"].attrs["weight_names"] = np.array(["predictions/kernel:0"], "S")
        file["optimizer_weights/iteration:0"] = np.int64(7)
    return path


def write_keras3(path: Path, name: str | None = "predictions") -> Path:
    """What Keras 3 writes to .weights.h5; before 3.6 without the names."""
    with h5py.File(path, "w") as file:
        file["layers/dense/vars/0"] = VALUES
        file["optimizer/vars/0"] = np.int64(7)
        if name is not None:
            file["layers/dense/vars"].attrs["name"] = name
    return path


def write_keras_archive(path: Path, compression: int = zipfile.ZIP_STORED) -> Path:
    weights = write_keras3(path.with_name("inner.h5")).read_bytes()
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("config.json", json.dumps({"class_name": "Lambda", "config": {"function": "os.abort()"}}))
        archive.writestr("model.weights.h5", weights)
    return path


def write_tensorflow(prefix: Path, values: dict[str, Any] | None = None) -> Path:
    tf = pytest.importorskip("tensorflow", reason="its checkpoints are written by TensorFlow")
    values = values or {"scope/w": VALUES, "global_step": np.int64(3), "labels": np.array(b"text")}
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=list(values),
        shape_and_slices=[""] * len(values),
        tensors=[tf.constant(value) for value in values.values()],
    )
    return prefix


def copy(name: str) -> Callable[[Path], Path]:
    return lambda path: Path(shutil.copy(GOLDEN / name, path))


@pytest.mark.parametrize(
    ("write", "expected", "name"),
    [
        (copy("tensors_zip.pth"), "torch zip", "float"),
        (copy("tensors_legacy.pth"), "torch legacy", "float"),
        (write_safetensors, "safetensors", "w"),
        (write_keras2, "keras h5", "predictions/kernel"),
        (lambda path: write_keras2(path, "model_weights"), "keras h5", "predictions/kernel"),
        (write_keras3, "keras h5", "predictions/kernel"),
        (write_keras_archive, "keras archive", "predictions/kernel"),
    ],
)
@pytest.mark.parametrize("extension", [".pth", ".safetensors", ".keras", ".h5", ".bin"])
def test_the_content_tells_the_format(
    tmp_path: Path, write: Callable[[Path], Path], expected: str, name: str, extension: str
) -> None:
    path = write(tmp_path / f"weights{extension}")
    checkpoint = read(path)
    assert (checkpoint.path, checkpoint.format) == (path, expected)
    assert expected in FORMATS
    assert name in checkpoint.tensors
    if name != "float":
        assert list(checkpoint.tensors) == [name]
        np.testing.assert_array_equal(checkpoint.tensors[name], VALUES)


def test_a_header_of_safetensors_may_be_as_long_as_a_pickle_begins(tmp_path: Path) -> None:
    save_file = pytest.importorskip("safetensors.numpy").save_file
    for length in range(64):
        save_file({"w" * (1 + length): np.ones(2, np.float32)}, tmp_path / "w", {"padding": " " * 8 * length})
        if (tmp_path / "w").read_bytes()[0] == 0x80:
            break
    assert (tmp_path / "w").read_bytes()[0] == 0x80
    assert read(tmp_path / "w").format == "safetensors"


def test_bfloat16_of_safetensors_is_widened(tmp_path: Path) -> None:
    header = json.dumps({"w": {"dtype": "BF16", "shape": [3], "data_offsets": [0, 6]}}).encode()
    upper_halves = np.array([1.0, -2.5, 0.15625], "<f4").view("<u2")[1::2]
    path = tmp_path / "w.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + upper_halves.tobytes())
    values = read(path).tensors["w"]
    assert values.dtype == np.float32
    assert values.tolist() == [1.0, -2.5, 0.15625]


@pytest.mark.parametrize("given", ["model.ckpt-7", "model.ckpt-7.index", "model.ckpt-7.data-00000-of-00001", "."])
def test_a_tensorflow_checkpoint_is_found_by_each_of_its_names(tmp_path: Path, given: str) -> None:
    prefix = write_tensorflow(tmp_path / "model.ckpt-7")
    checkpoint = read(tmp_path / given)
    assert (checkpoint.path, checkpoint.format) == (prefix, "tensorflow")
    assert sorted(checkpoint.tensors) == ["global_step", "scope/w"]
    np.testing.assert_array_equal(checkpoint.tensors["scope/w"], VALUES)


def test_a_tensorflow_folder_says_which_checkpoint_is_the_latest(tmp_path: Path) -> None:
    for step in (1, 2):
        write_tensorflow(tmp_path / f"model.ckpt-{step}", {"scope/w": VALUES * step})
    assert "holds 2 TensorFlow checkpoints 'model.ckpt-1' 'model.ckpt-2'" in refusal(tmp_path)
    # The path is that of the machine that trained; only its last part counts.
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "/train/run/model.ckpt-2"\n')
    np.testing.assert_array_equal(read(tmp_path).tensors["scope/w"], VALUES * 2)


def test_bfloat16_of_tensorflow_is_widened(tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    write_tensorflow(tmp_path / "model", {"w": tf.cast(VALUES, tf.bfloat16)})
    assert read(tmp_path / "model").tensors["w"].dtype == np.float32


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["model.safetensors"], "model.safetensors"),
        (["pytorch_model.bin"], "pytorch_model.bin"),
        (["pytorch_model.bin", "model.safetensors", "config.json", "training_args.bin"], "model.safetensors"),
    ],
)
def test_a_folder_that_a_model_was_saved_to(tmp_path: Path, files: list[str], expected: str) -> None:
    for name in files:
        (write_safetensors if name.endswith(".safetensors") else copy("tensors_zip.pth"))(tmp_path / name)
    assert read(tmp_path).path == tmp_path / expected


def test_a_folder_without_checkpoint_is_refused(tmp_path: Path) -> None:
    message = refusal(tmp_path)
    assert "holds 0 TensorFlow checkpoints; accepted are " in message
    assert ".safetensors" in message


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert "does not exist; accepted are torch's .pth" in refusal(tmp_path / "none.pth")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html>\n<html>Not found</html>", "begins with b'<!DOCTYPE html>"),
        (b"version https://git-lfs.github.com/spec/v1\n", "begins with b'version https://'"),
        (b"1 2 3\n4 5 6\n", "begins with b'1 2 3"),
        (gzip.compress(b"weights", mtime=0), "begins with b'\\x1f\\x8b"),
    ],
)
@pytest.mark.parametrize("name", ["w.pth", "w.safetensors", "w.index", ".index", "w.data-00000-of-00001"])
def test_what_is_no_checkpoint_is_refused_by_its_beginning(
    tmp_path: Path, content: bytes, reason: str, name: str
) -> None:
    (tmp_path / name).write_bytes(content)
    message = refusal(tmp_path / name)
    assert reason in message
    assert "accepted are torch's .pth" in message


def test_an_archive_of_something_else_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "w.keras", "w") as archive:
        archive.writestr("readme.txt", "nothing")
    assert "is no checkpoint" in refusal(tmp_path / "w.keras")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission_is_refused(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "w").chmod(0)
    assert "Permission denied" in refusal(tmp_path / "w")


@pytest.mark.parametrize("eighths", range(1, 8))
@pytest.mark.parametrize(
    "write",
    [
        *(copy("tensors_zip.pth"), copy("tensors_legacy.pth")),
        *(write_safetensors, write_keras2, write_keras3, write_keras_archive),
    ],
)
def test_truncated_files_are_refused(tmp_path: Path, write: Callable[[Path], Path], eighths: int) -> None:
    content = write(tmp_path / "whole").read_bytes()
    (tmp_path / "w").write_bytes(content[: len(content) * eighths // 8])
    refusal(tmp_path / "w")


@pytest.mark.parametrize("part", [".index", ".data-00000-of-00001"])
@pytest.mark.parametrize("kept", [0, 0.5])
def test_truncated_tensorflow_checkpoints_are_refused(tmp_path: Path, part: str, kept: float) -> None:
    prefix = write_tensorflow(tmp_path / "model")
    damaged = tmp_path / f"model{part}"
    content = damaged.read_bytes()
    damaged.write_bytes(content[: int(len(content) * kept)])
    refusal(prefix)


def test_a_tensorflow_index_without_data_is_refused(tmp_path: Path) -> None:
    prefix = write_tensorflow(tmp_path / "model")
    (tmp_path / "model.data-00000-of-00001").unlink()
    assert "more than its data" in refusal(prefix)


def test_a_compressed_keras_archive_is_refused(tmp_path: Path) -> None:
    path = write_keras_archive(tmp_path / "w.keras", zipfile.ZIP_DEFLATED)
    assert "its entry 'model.weights.h5' is compressed" in refusal(path)


def test_a_checkpoint_without_tensors_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("safetensors.numpy").save_file({}, tmp_path / "w")
    assert "holds no tensors" in refusal(tmp_path / "w")


def test_keras_files_without_names_of_layers_are_refused(tmp_path: Path) -> None:
    assert "does not name its layers" in refusal(write_keras3(tmp_path / "w.h5", name=None))


def _external(group: Any, other: Path) -> None:
    group.create_dataset("0", (2, 3), "f4", external=[(str(other), 0, 24)])


def _linked(group: Any, other: Path) -> None:
    with h5py.File(other, "w") as file:
        file["secret"] = VALUES
    group["0"] = h5py.ExternalLink(str(other), "secret")


def _virtual(group: Any, other: Path) -> None:
    layout = h5py.VirtualLayout((2, 3), "f4")
    layout[:] = h5py.VirtualSource(str(other), "secret", (2, 3))
    group.create_virtual_dataset("0", layout)


def _compressed(group: Any, other: Path) -> None:
    group.create_dataset("0", (1 << 20,), "f4", compression="gzip")


def _absent(group: Any, other: Path) -> None:
    group.create_dataset("0", (1 << 40,), "f4")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_external, "not all stored plainly inside it"),
        (_virtual, "not all stored plainly inside it"),
        (_compressed, "not all stored plainly inside it"),
        (_absent, "larger than the file"),
        (_linked, r"'secret' doesn't exist|holds no tensors"),
    ],
)
@pytest.mark.parametrize("version", [2, 3])
def test_hdf5_values_must_be_inside_the_file(
    tmp_path: Path, make: Callable[[Any, Path], None], reason: str, version: int
) -> None:
    """HDF5 can point to any file of the reader's machine, and promise any size."""
    other = tmp_path / "other.h5"
    other.write_bytes(bytes(24))
    with h5py.File(tmp_path / "w.h5", "w") as file:
        group = file.create_group("layers/dense/vars" if version == 3 else "dense")
        group.attrs["name"] = "predictions"
        make(group, other)
        if version == 2:
            file.attrs["layer_names"] = ["dense"]
            group.attrs["weight_names"] = ["0"]
    assert re.search(reason, refusal(tmp_path / "w.h5").replace("\\", ""))


@pytest.mark.parametrize("package", ["safetensors", "h5py"])
def test_a_missing_library_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    path = (write_safetensors if package == "safetensors" else write_keras2)(tmp_path / "w")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"{package} is not installed: pip install .*\[convert\]"):
        read(path)


@pytest.mark.parametrize("file", ["m.keras", "m.weights.h5", "m.h5"])
def test_files_of_a_trained_keras_model(tmp_path: Path, file: str) -> None:
    pytest.importorskip("tensorflow")
    import keras

    inputs = x = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, use_bias=False, name="stem_conv")(x)
    x = keras.layers.BatchNormalization(name="stem_bn")(x)
    x = keras.layers.Dropout(0.5)(x)
    x = keras.layers.DepthwiseConv2D(3, use_bias=False, name="block1a_dwconv")(x)
    x = keras.layers.Conv2D(2, 1, name="block1a_se_reduce")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, keras.layers.Dense(5, name="predictions")(x))
    model.compile("adam", "mse")
    model.train_on_batch(np.ones((1, 8, 8, 3)), np.ones((1, 5)))
    (model.save_weights if file == "m.weights.h5" else model.save)(tmp_path / file)
    tensors = read(tmp_path / file).tensors
    assert sorted(tensors) == sorted(variable.path for variable in model.weights)
    for variable in model.weights:
        np.testing.assert_array_equal(tensors[variable.path], variable.numpy())
