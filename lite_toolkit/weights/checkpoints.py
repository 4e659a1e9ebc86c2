"""A checkpoint of any framework -> its tensors by name. The content of a file tells its format, not the file's name."""

import glob
import math
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from lite_toolkit.errors import MissingExtraError, WeightsError
from lite_toolkit.weights import torch_pickle
from lite_toolkit.weights.sources import CHECKPOINTS
from lite_toolkit.weights.untrusted import reading, stored_entry

Array = npt.NDArray[Any]

ACCEPTED = (
    "torch's .pth, .safetensors, Keras' .keras and .h5, TensorFlow's prefix, .index or .data, or a folder with "
    f"{' or '.join(CHECKPOINTS)} or TensorFlow's"
)

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
INDEX_SIGNATURE = bytes.fromhex("57fb808b247547db")  # LevelDB's, at the end of a TensorFlow .index file
PICKLE_SIGNATURE = b"\x80"
ZIP_SIGNATURE = b"PK\x03\x04"

KERAS_ENTRY = "model.weights.h5"
KERAS_VARIABLES = {  # Keras 3 numbers the variables of a layer in the order in which the layer makes them
    "conv2d": ("kernel", "bias"),
    "depthwise_conv2d": ("kernel", "bias"),
    "dense": ("kernel", "bias"),
    "batch_normalization": ("gamma", "beta", "moving_mean", "moving_variance"),
}


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds.

    Attributes:
        path: the file, or the prefix of a TensorFlow checkpoint.
        format: a key of `FORMATS`.
        tensors: name -> array as stored, but bfloat16 widened to float32. Keras' names are "<layer>/<variable>".
    """

    path: Path
    format: str
    tensors: Mapping[str, Array]


def read(path: Path) -> Checkpoint:
    """Read the checkpoint at `path`: a file, the prefix of a TensorFlow checkpoint, or a folder with one.

    A folder is what timm's `save_for_hf` and transformers' `save_pretrained` leave, or TensorFlow's training.

    Raises:
        WeightsError: there is none, it is of no known format, or damaged.
        MissingExtraError: the library that reads its format is not installed.
    """
    path = next((path / name for name in CHECKPOINTS if (path / name).is_file()), path)
    prefix = _tensorflow_prefix(path)
    if prefix is None and not path.exists():
        raise WeightsError(f"{path} does not exist; accepted are {ACCEPTED}")
    name = "tensorflow" if prefix else _format(path)
    tensors = FORMATS[name](prefix or path)
    if not tensors:
        raise WeightsError(f"{path} holds no tensors")
    return Checkpoint(prefix or path, name, tensors)


def _tensorflow_prefix(path: Path) -> Path | None:
    """The prefix of the TensorFlow checkpoint that `path` stands for, if it does."""
    if path.is_dir():
        return _prefix_in_folder(path)
    prefix = path.with_name(re.sub(r"(?<=.)\.(index|data-\d+-of-\d+)$", "", path.name))
    return prefix if _has_index(prefix) and (prefix != path or not path.exists()) else None


def _prefix_in_folder(folder: Path) -> Path:
    """The checkpoint that the folder's `checkpoint` file names, else the only one."""
    state = folder / "checkpoint"
    text = state.read_bytes() if state.is_file() else b""
    latest = re.search(rb'^model_checkpoint_path: "([^"]+)"', text)
    # The path is often that on the machine that trained: only its last part is used.
    name = Path(latest[1].decode(errors="replace")).name if latest else ""
    if name and _has_index(folder / name):
        return folder / name
    prefixes = sorted(index.with_suffix("") for index in folder.glob("*.index"))
    if len(prefixes) != 1:
        names = "".join(f" {prefix.name!r}" for prefix in prefixes)
        raise WeightsError(f"{folder} holds {len(prefixes)} TensorFlow checkpoints{names}; accepted are {ACCEPTED}")
    return prefixes[0]


def _has_index(prefix: Path) -> bool:
    index = prefix.with_name(f"{prefix.name}.index")
    return index.is_file() and index.read_bytes()[-8:] == INDEX_SIGNATURE


def _format(path: Path) -> str:
    with reading(path, "checkpoint"), path.open("rb") as file:
        head = file.read(16)
        entries = zipfile.ZipFile(file).namelist() if head.startswith(ZIP_SIGNATURE) else []
    if KERAS_ENTRY in entries:
        return "keras archive"
    if any(name.endswith("/data.pkl") for name in entries):
        return "torch zip"
    # Behind the length of a JSON header, which may begin as a pickle does.
    if head[4:9] == b"\0\0\0\0{":
        return "safetensors"
    if head.startswith(PICKLE_SIGNATURE):
        return "torch legacy"
    if head.startswith(HDF5_SIGNATURE):
        return "keras h5"
    what = f"begins with {head!r}" if head else "is empty"
    raise WeightsError(f"{path} {what} and is no checkpoint; accepted are {ACCEPTED}")


def _read_tensorflow(prefix: Path) -> dict[str, Array]:
    """The numeric variables of a TensorFlow checkpoint."""
    from lite_toolkit.networks.backend import tf

    with reading(prefix, "TensorFlow checkpoint", tf.errors.OpError):
        reader = tf.train.load_checkpoint(str(prefix))
        shapes, dtypes = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
        names = sorted(name for name, dtype in dtypes.items() if dtype.is_floating or dtype.is_integer)
        claimed = sum(math.prod(shapes[name]) * dtypes[name].size for name in names)
        parts = prefix.parent.glob(f"{glob.escape(prefix.name)}.data-*")
        if claimed > sum(part.stat().st_size for part in parts):  # TensorFlow allocates what the index claims
            raise ValueError(f"its index describes {claimed} bytes, more than its data")
        return {name: _native(reader.get_tensor(name)) for name in names}


def _read_safetensors(path: Path) -> dict[str, Array]:
    try:
        import ml_dtypes  # noqa: F401  # gives numpy the bfloat16 that safetensors asks it for
        from safetensors import SafetensorError, safe_open
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "safetensors", "convert") from error

    with reading(path, "safetensors file", SafetensorError), safe_open(path, framework="numpy") as file:
        return {name: _native(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118  # no mapping


def _native(array: Array) -> Array:
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def _read_keras_archive(path: Path) -> dict[str, Array]:
    """The weights in a `.keras` file; its configuration could name any class and is left alone."""
    with reading(path, "Keras archive"), zipfile.ZipFile(path) as archive:
        content = stored_entry(archive, KERAS_ENTRY)
        return _keras_tensors(BytesIO(content), len(content))


def _read_keras_h5(path: Path) -> dict[str, Array]:
    with reading(path, "Keras file"), path.open("rb") as file:
        return _keras_tensors(file, path.stat().st_size)


def _keras_tensors(content: BinaryIO, size: int) -> dict[str, Array]:
    try:
        import h5py
    except ModuleNotFoundError as error:
        raise MissingExtraError("h5py", "convert") from error

    # As a Python file: links to other HDF5 files then lead back into this one.
    with h5py.File(content, "r") as file:
        weights = file.get("model_weights", file)  # model.save puts them beside those of the optimizer
        named = list(_keras2_datasets(weights) if "layer_names" in weights.attrs else _keras3_datasets(file["layers"]))
        datasets = dict(named)
        if len(datasets) != len(named):
            raise ValueError("two of its variables have the same name")
        if any(data.external or data.is_virtual or data.chunks for data in datasets.values()):
            raise ValueError("its variables are not all stored plainly inside it")
        if sum(dataset.nbytes for dataset in datasets.values()) > size:
            raise ValueError("its variables are larger than the file")
        return {name: dataset[()] for name, dataset in datasets.items()}


def _keras2_datasets(weights: Any) -> Iterator[tuple[str, Any]]:
    """Groups by layer, with the names of their variables: "stem_conv/kernel:0" as seen in Keras 2."""
    for layer in weights.attrs["layer_names"]:
        for name in weights[layer].attrs["weight_names"]:
            path = name.decode() if isinstance(name, bytes) else str(name)
            yield "/".join(path.removesuffix(":0").split("/")[-2:]), weights[layer][name]


def _keras3_datasets(layers: Any) -> Iterator[tuple[str, Any]]:
    """Groups by class and number, such as "conv2d_3/vars/0"; the name of the layer is an attribute of vars."""
    paths: list[str] = []
    layers.visit(paths.append)
    for path in paths:
        *_, kind, folder, index = ["", "", *path.split("/")]
        if folder != "vars":
            continue
        layer = layers[path].parent.attrs.get("name")
        if layer is None:
            raise ValueError("it does not name its layers, as Keras 3.6 and later do: save it again with one of those")
        variables = KERAS_VARIABLES.get(re.sub(r"_\d+$", "", kind), ())
        yield f"{layer}/{variables[int(index)] if int(index) < len(variables) else index}", layers[path]


FORMATS: dict[str, Callable[[Path], dict[str, Array]]] = {
    "torch zip": torch_pickle.read_zip,
    "torch legacy": torch_pickle.read_legacy,
    "safetensors": _read_safetensors,
    "tensorflow": _read_tensorflow,
    "keras archive": _read_keras_archive,
    "keras h5": _read_keras_h5,
}
