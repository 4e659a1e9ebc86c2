"""Files of Keras 2: read by tf_keras where it is installed, or else put in Keras 3's words."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lite_toolkit.conversion.keras_config import EXPORT, Reader, layers, objects, title
from lite_toolkit.errors import ModelError
from lite_toolkit.networks.backend import keras
from lite_toolkit.text import shown

_INSTALL = "pip install tf_keras, which reads files of Keras 2"
# What Keras 2 wrote for these and Keras 3 does not take: it means nothing there.
_UNKNOWN = {
    "DepthwiseConv2D": ("groups",),
    "Conv2DTranspose": ("groups",),
    "SeparableConv2D": ("groups", "kernel_initializer", "kernel_regularizer", "kernel_constraint"),
}
# Whose meaning changed: Keras 3 leaves out the one, and has other slopes for the other.
_CHANGED = {"RandomCrop", "hard_sigmoid"}
_CALLS = ("TFOpLambda", "SlicingOpLambda")
_CODE = ("Lambda", "__lambda__", "function", "ClassMethod", "InstanceMethod", "InstanceProperty")
# Functions of TensorFlow that a network may call by name: they compute, and touch no file.
_PURE_MODULES = ("math.", "nn.", "image.", "linalg.", "__operators__.", "keras.activations.")
_PURE = {
    *("abs", "add", "broadcast_to", "cast", "clip_by_value", "concat", "constant", "convert_to_tensor", "divide"),
    *("einsum", "exp", "expand_dims", "fill", "gather", "identity", "matmul", "maximum", "minimum", "multiply"),
    *("negative", "norm", "ones_like", "pad", "pow", "range", "reduce_max", "reduce_mean", "reduce_min", "reduce_prod"),
    *("reduce_sum", "repeat", "reshape", "reverse", "roll", "round", "shape", "sigmoid", "slice", "split", "sqrt"),
    *("square", "squeeze", "stack", "stop_gradient", "strided_slice", "subtract", "tanh", "tensordot", "tile"),
    *("transpose", "truediv", "unstack", "where", "zeros_like"),
}


def reader(path: Path, config: Any) -> Reader:
    """What reads a file of that configuration.

    Raises:
        ModelError: the file may call more than layers and functions that compute, or means something else in Keras 3.
    """
    try:
        import tf_keras
    except ImportError:
        _require_unchanged(path, config)
        return Reader(keras, _in_keras3(config), _INSTALL)
    _require_harmless(path, config)
    return Reader(tf_keras, config, EXPORT)


def _require_harmless(path: Path, config: Any) -> None:
    """tf_keras imports what a file names, and calls it."""
    for one in objects(config):
        kind, module, inside = one.get("class_name"), one.get("module"), one.get("config")
        function = str(inside.get("function")) if kind in _CALLS and isinstance(inside, dict) else None
        foreign = module not in (None, "builtins") and str(module).partition(".")[0] not in ("keras", "tf_keras")
        pure = function is None or function in _PURE or function.startswith(_PURE_MODULES)
        if foreign or kind in _CODE or not pure:
            called = shown(function or f"{module}.{kind}")
            raise ModelError(f"cannot load {path}: it calls {called}, which is not run")


def _require_unchanged(path: Path, config: Any) -> None:
    for layer in layers(config):
        if {layer.get("class_name"), *map(str, layer["config"].values())} & _CHANGED:
            raise ModelError(f"cannot load {path}: {title(layer)} means something else in Keras 3: {_INSTALL}")


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
