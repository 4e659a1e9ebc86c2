"""A Keras file of the user's -> keras.Model that computes in float32."""

import json
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from lite_toolkit.conversion import keras2, other_formats
from lite_toolkit.conversion.keras_config import EXPORT, Reader, layers, objects, title
from lite_toolkit.errors import ModelError
from lite_toolkit.networks.backend import keras
from lite_toolkit.text import shown

_CONFIG, _METADATA = "config.json", "metadata.json"
_OTHER_FLOATS = ("mixed_float16", "mixed_bfloat16", "float16", "bfloat16", "float64")
_OF_TRAINING = ("_initializer", "_regularizer", "_constraint")
_LONGEST_CAUSE = 200  # characters


def load(path: Path) -> keras.Model:
    """The network in a `.keras` file or a whole-model HDF5 file of Keras 3 or 2, told apart by content.

    Keras reads a copy whose configuration says float32 wherever that of the file says another float. Code that the
    file might carry is not run.

    Raises:
        ModelError: the file is damaged or holds no network, or a layer that Keras cannot make.
    """
    archive = zipfile.is_zipfile(path)
    version, config = _archive_config(path) if archive else _hdf5_config(path)
    for layer in layers(config):
        if any(map(_is_code, objects(layer))):
            raise ModelError(
                f"cannot load {path}: {title(layer)} is Python code, which is not run: put a layer of Keras in its "
                "place, such as Rescaling, or export a SavedModel where its code is at hand: model.export('folder')"
            )
    config = _for_inference(config)
    reader = Reader(keras, config, EXPORT) if version.startswith("3") else keras2.reader(path, config)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / ("model.keras" if archive else "model.h5")  # Keras goes by the name
        try:
            (_copy_archive if archive else _copy_hdf5)(path, copy, json.dumps(reader.config))
            return reader.keras.models.load_model(copy, compile=False)
        except Exception as error:  # whatever a layer or a damaged entry raises
            raise ModelError(f"cannot load {path}: {_complaint(reader, error)}") from error


def cause(error: Exception) -> str:
    """What Keras says at last: before that it shows configurations."""
    said = str(error).rpartition("Exception encountered:")[2].partition(" Make sure custom classes")[0]
    said = shown(said) or type(error).__name__
    return said if len(said) <= _LONGEST_CAUSE else f"…{said[-_LONGEST_CAUSE:]}"


def _archive_config(path: Path) -> tuple[str, Any]:
    """The version of Keras that wrote a `.keras` file, and the configuration in it."""
    try:
        with zipfile.ZipFile(path) as archive:
            version = json.loads(archive.read(_METADATA))["keras_version"]
            return str(version), json.loads(archive.read(_CONFIG))
    except (zipfile.BadZipFile, KeyError, ValueError, OSError, RecursionError) as error:
        kind = other_formats.of(path) or f"damaged, or no .keras file: {_CONFIG} in it cannot be read"
        raise ModelError(f"{path} is {kind}") from error


def _hdf5_config(path: Path) -> tuple[str, Any]:
    """The same of an HDF5 file; the first versions did not tell theirs."""
    import h5py  # after TensorFlow, which brings it and is missed by name

    try:
        with h5py.File(path, "r") as file:
            version, config = file.attrs.get("keras_version", ""), file.attrs.get("model_config")
            config = None if config is None else json.loads(config)
    except (OSError, ValueError, TypeError, RecursionError) as error:
        kind = other_formats.of(path) or "damaged, or neither a .keras file nor a SavedModel folder"
        raise ModelError(f"{path} is {kind}") from error
    if config is None:
        raise ModelError(
            f"{path} is an HDF5 file of weights without their network: save the whole model, model.save('file.keras'), "
            "or pass --variant with --weights where the network is one of ours"
        )
    return version.decode() if isinstance(version, bytes) else str(version), config


def _copy_archive(path: Path, copy: Path, config: str) -> None:
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(copy, "w") as target:
        for entry in source.infolist():
            if entry.filename == _CONFIG:
                target.writestr(_CONFIG, config)
                continue
            with source.open(entry) as content, target.open(entry.filename, "w", force_zip64=True) as place:
                shutil.copyfileobj(content, place)


def _copy_hdf5(path: Path, copy: Path, config: str) -> None:
    import h5py

    shutil.copyfile(path, copy)
    with h5py.File(copy, "r+") as file:
        file.attrs["model_config"] = config


def _for_inference(value: Any) -> Any:
    """A part of a configuration in float32, without what training alone needs and others may have made themselves."""
    if isinstance(value, list):
        return [_for_inference(one) for one in value]
    if not isinstance(value, dict):
        return value
    value = {key: _for_inference(one) for key, one in value.items() if not key.endswith(_OF_TRAINING)}
    config = value.get("config")
    if value.get("class_name") == "Policy":  # of Keras 2
        return "float32"
    if value.get("class_name") == "DTypePolicy" and config.get("name") in _OTHER_FLOATS:
        return value | {"config": config | {"name": "float32"}}
    return value | {"dtype": "float32"} if value.get("dtype") in _OTHER_FLOATS else value


def _is_code(value: dict[str, Any]) -> bool:
    """Whether it is a Lambda layer, or a function as Keras writes one that it does not know by name."""
    marshalled = value.get("value") if len(value) == 1 else None
    return value.get("class_name") in ("Lambda", "__lambda__") or (
        isinstance(marshalled, list) and isinstance(next(iter(marshalled), None), str)
    )


def _complaint(reader: Reader, error: Exception) -> str:
    """What Keras says, of the layer that it cannot make if there is one."""
    for layer in layers(reader.config):
        try:
            reader.keras.layers.deserialize({"module": "keras.layers", "registered_name": None} | layer)
        except (TypeError, ValueError, AttributeError, KeyError, ImportError) as refusal:
            return f"{title(layer)} cannot be made: {reader.advice} ({cause(refusal)})"
    kind = reader.config.get("class_name")
    known = kind in ("Functional", "Sequential", "Model")
    return cause(error) if known else shown(f"its class {kind} cannot be made: {reader.advice} ({cause(error)})")
