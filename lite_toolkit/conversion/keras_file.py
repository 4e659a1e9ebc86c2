"""A Keras file of the user's -> keras.Model that computes in float32."""

import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lite_toolkit.errors import ModelError
from lite_toolkit.networks.backend import keras
from lite_toolkit.text import shown

_CONFIG = "config.json"
_OTHER_FLOATS = ("mixed_float16", "mixed_bfloat16", "float16", "bfloat16", "float64")
# What Keras 2 wrote for these and Keras 3 does not take: it means nothing there.
_UNKNOWN = {
    "DepthwiseConv2D": ("groups",),
    "Conv2DTranspose": ("groups",),
    "SeparableConv2D": ("groups", "kernel_initializer", "kernel_regularizer", "kernel_constraint"),
}
_EXPORT = "export a SavedModel where its code is at hand: model.export('folder')"
_LONGEST_CAUSE = 200  # characters


def load(path: Path) -> keras.Model:
    """The network in a `.keras` file or a whole-model HDF5 file of Keras 3 or 2, told apart by content.

    Keras reads a copy whose configuration says float32 wherever that of the file says another float. Code that the
    file might carry is not run.

    Raises:
        ModelError: the file is damaged or holds no network, or a layer that Keras cannot make.
    """
    archive = zipfile.is_zipfile(path)
    config = _archive_config(path) if archive else _hdf5_config(path)
    for layer in _layers(config):
        if any(map(_is_code, _objects(layer))):
            raise ModelError(
                f"cannot load {path}: {_title(layer)} is Python code, which is not run: put a layer of Keras in its "
                f"place, such as Rescaling, or {_EXPORT}"
            )
    config = _in_keras3(_in_float32(config))
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / ("model.keras" if archive else "model.h5")  # Keras goes by the name
        try:
            (_copy_archive if archive else _copy_hdf5)(path, copy, json.dumps(config))
            return keras.models.load_model(copy, compile=False)
        except Exception as error:  # whatever a layer or a damaged entry raises
            raise ModelError(f"cannot load {path}: {_complaint(config, error)}") from error


def cause(error: Exception) -> str:
    """What Keras says at last: before that it shows configurations."""
    said = str(error).rpartition("Exception encountered:")[2].partition(" Make sure custom classes")[0]
    said = shown(said) or type(error).__name__
    return said if len(said) <= _LONGEST_CAUSE else f"…{said[-_LONGEST_CAUSE:]}"


def _archive_config(path: Path) -> Any:
    try:
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read(_CONFIG))
    except (zipfile.BadZipFile, KeyError, ValueError, OSError, RecursionError) as error:
        raise ModelError(f"{path} is damaged, or no .keras file: {_CONFIG} in it cannot be read") from error


def _hdf5_config(path: Path) -> Any:
    import h5py  # after TensorFlow, which brings it and is missed by name

    try:
        with h5py.File(path, "r") as file:
            config = file.attrs.get("model_config")
            config = None if config is None else json.loads(config)
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise ModelError(f"{path} is damaged, or neither a .keras file nor a SavedModel folder") from error
    if config is None:
        raise ModelError(
            f"{path} is an HDF5 file of weights without their network: save the whole model, model.save('file.keras'), "
            "or pass --variant with --weights where the network is one of ours"
        )
    return config


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


def _in_float32(value: Any) -> Any:
    """A part of a configuration, every other float in it replaced."""
    if isinstance(value, list):
        return [_in_float32(one) for one in value]
    if not isinstance(value, dict):
        return value
    value = {key: _in_float32(one) for key, one in value.items()}
    config = value.get("config")
    if value.get("class_name") == "Policy":  # of Keras 2
        return "float32"
    if value.get("class_name") == "DTypePolicy" and config.get("name") in _OTHER_FLOATS:
        return value | {"config": config | {"name": "float32"}}
    return value | {"dtype": "float32"} if value.get("dtype") in _OTHER_FLOATS else value


def _in_keras3(value: Any) -> Any:
    """A part of a configuration, what Keras 2 wrote otherwise replaced by Keras 3's words for it."""
    if isinstance(value, list):
        layers = [_in_keras3(one) for one in value]
        starts = bool(layers) and isinstance(layers[0], dict) and layers[0].get("class_name") == "InputLayer"
        # Keras 2 gives the shape of a Sequential's input twice.
        return layers[:1] + [_without(one, ("batch_input_shape",)) for one in layers[1:]] if starts else layers
    if not isinstance(value, dict):
        return value
    value = {key: _in_keras3(one) for key, one in value.items()}
    kind, config = value.get("class_name"), value.get("config")
    if not isinstance(config, dict):
        return value
    if kind == "BatchNormalization" and isinstance(config.get("axis"), list) and len(config["axis"]) == 1:
        return value | {"config": config | {"axis": config["axis"][0]}}
    if kind == "Functional":
        # A list of one tensor would be given to the next layer as such.
        ends = {key: config[key] for key in ("input_layers", "output_layers")}
        ends = {key: end[0] for key, end in ends.items() if isinstance(end, list) and len(end) == 1}
        _count_calls_from_0(config)
        module = {"module": "keras.src.models.functional"} if "module" in value else {}
        return value | module | {"config": config | ends}
    return _without(value, ("rng_type", *_UNKNOWN.get(str(kind), ()))) if config.get("groups", 1) == 1 else value


def _count_calls_from_0(config: dict[str, Any]) -> None:
    """Change, in place, which call of a model inside is meant: for Keras 2, making the model was the first."""
    layers = config.get("layers") or ()
    models = {layer["config"].get("name") for layer in layers if "layers" in layer["config"]}
    places = [*(layer.get("inbound_nodes") for layer in layers), config.get("output_layers")]
    calls = [call for call in _lists(places) if len(call) > 2 and isinstance(call[0], str) and call[0] in models]
    first = {model: min((call[1] for call in calls if call[0] == model), default=0) for model in models}
    for call in calls:
        call[1] -= first[call[0]]


def _lists(value: Any) -> Iterator[list[Any]]:
    """Every list in a part of a configuration that stands in lists alone, as Keras 2 writes who calls whom."""
    if isinstance(value, list):
        yield value
        for one in value:
            yield from _lists(one)


def _without(layer: Any, names: tuple[str, ...]) -> Any:
    config = layer.get("config") if isinstance(layer, dict) else None
    if not isinstance(config, dict):
        return layer
    return layer | {"config": {key: one for key, one in config.items() if key not in names}}


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """Every dictionary in a part of a configuration."""
    if isinstance(value, dict):
        yield value
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _objects(one)


def _layers(config: Any) -> Iterator[dict[str, Any]]:
    """The configurations of all layers that hold no others in a list."""
    for model in _objects(config):
        layers = model.get("layers")
        for layer in layers if isinstance(layers, list) else ():
            inside = layer.get("config") if isinstance(layer, dict) else None
            if isinstance(inside, dict) and "layers" not in inside:
                yield layer


def _is_code(value: dict[str, Any]) -> bool:
    """As Keras 3 or Keras 2 writes a Lambda's function."""
    return value.get("class_name") == "__lambda__" or value.get("function_type") == "lambda"


def _title(layer: dict[str, Any]) -> str:
    name = layer["config"].get("name", layer.get("name"))
    return shown(f"layer {name!r} of class {layer.get('class_name')}")


def _complaint(config: Any, error: Exception) -> str:
    """What Keras says, of the layer that it cannot make if there is one."""
    for layer in _layers(config):
        try:
            keras.layers.deserialize({"module": "keras.layers", "registered_name": None} | layer)
        except (TypeError, ValueError, AttributeError, KeyError, ImportError) as refusal:
            return f"{_title(layer)} cannot be made: register its class, or {_EXPORT} ({cause(refusal)})"
    return cause(error)
