"""keras.Model, or a model file of the user's, -> float32 .tflite."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from lite_toolkit.conversion import keras_file
from lite_toolkit.errors import ModelError
from lite_toolkit.networks.backend import keras, tf
from lite_toolkit.streams import quiet


@dataclass(frozen=True)
class Classifier:
    """A float classifier that can be traced.

    Attributes:
        function: float32 (1, height, width, 3) -> float32 (1, classes).
        height, width: of the input in pixels.
        classes: number of scores.
        rescales: whether a layer of its own normalises the input, so that it takes pixels in 0..255.
    """

    function: Callable[[Any], Any]
    height: int
    width: int
    classes: int
    rescales: bool = False


def from_keras(model: keras.Model, input_size: int | None = None, title: str | None = None) -> Classifier:
    """A Keras image classifier; `input_size` settles sides that the model leaves open.

    Args:
        title: what errors call it; None is its own name.

    Raises:
        ModelError: the model has several inputs or outputs, shapes that are no image and scores, or weights that are
            not finite.
    """
    title = title or model.name
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ModelError(f"{title} has {len(model.inputs)} inputs and {len(model.outputs)} outputs: needs one each")
    dtype = keras.backend.standardize_dtype(model.inputs[0].dtype)
    if dtype not in ("float32", "uint8"):
        raise ModelError(f"{title} takes {dtype} input: must be float32 or uint8")
    height, width = _sides(title, tuple(model.inputs[0].shape), input_size)
    classes = _classes(title, tuple(model.outputs[0].shape))
    _require_finite(title, {variable.path: variable for variable in model.weights})
    rescaling = (keras.layers.Rescaling, keras.layers.Normalization)
    return Classifier(
        function=lambda image: model(image, training=False),
        height=height,
        width=width,
        classes=classes,
        rescales=dtype == "uint8" or any(isinstance(layer, rescaling) for layer in model.layers),
    )


def from_file(path: Path, input_size: int | None = None, signature: str | None = None) -> Classifier:
    """A file of Keras's or a SavedModel folder; code that either might carry is not run (Keras's safe mode).

    Args:
        signature: of a SavedModel; None is "serving_default".

    Raises:
        ModelError: the file is missing, damaged or no image classifier.
    """
    if not path.exists():
        raise ModelError(f"no such file: {path}")
    if signature is not None and not path.is_dir():
        raise ModelError(f"--signature {signature}: {path} is no SavedModel folder, which alone has signatures")
    try:
        with quiet():
            if path.is_dir():
                return _from_saved_model(path, input_size, signature or "serving_default")
            return from_keras(keras_file.load(path), input_size, str(path))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, tf.errors.OpError) as error:
        reason = keras_file.cause(error)
        raise ModelError(f"cannot load {path}: must be a .keras file or a SavedModel folder ({reason})") from error


def to_tflite(classifier: Classifier, output_name: str) -> bytes:
    """The float32 `.tflite`: batch 1, one signature `serving_default`: "image" -> `output_name`.

    The variables are frozen before the converter sees the graph, which takes a quarter of its time otherwise.

    Raises:
        ModelError: an operator that TFLite does not have, or state that cannot be frozen.
    """
    signature = [tf.TensorSpec((1, classifier.height, classifier.width, 3), tf.float32, name="image")]
    with quiet():
        frozen = _frozen(tf.function(classifier.function, input_signature=signature, autograph=False))
        named = tf.function(lambda image: {output_name: frozen(image)[0]}, input_signature=signature, autograph=False)
        converter = tf.lite.TFLiteConverter.from_concrete_functions([named.get_concrete_function()], tf.Module())
        try:
            return bytes(converter.convert())
        except Exception as error:  # the converter has no base class of its own
            if _uses_half(frozen.graph):
                raise ModelError(
                    "the model computes in float16, which TFLite does not: convert the .keras file instead, or export "
                    "the model under a float32 policy"
                ) from error
            raise ModelError(f"TensorFlow cannot convert the model: {_first_line(error)}") from error


def _frozen(function: Any) -> Any:
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    try:
        traced = function.get_concrete_function()
    except Exception as error:  # whatever a layer raises
        reason = keras_file.cause(error)
        raise ModelError(f"the model does not compute scores from one float32 image: {reason}") from error
    try:
        return convert_variables_to_constants_v2(traced)
    except (ValueError, tf.errors.OpError) as error:
        if _assigns(traced.graph.as_graph_def()):
            raise ModelError(
                "the model changes variables of its own: augmentation layers hold state that cannot be frozen; "
                "convert the .keras file instead, or export the model without them"
            ) from error
        raise ModelError(f"TensorFlow cannot freeze the model: {_first_line(error)}") from error


def _assigns(graph: Any) -> bool:
    nodes = [graph.node, *(function.node_def for function in graph.library.function)]
    return any(node.op.startswith("Assign") for node in chain.from_iterable(nodes))


def _uses_half(graph: Any) -> bool:
    tensors = chain.from_iterable(operation.outputs for operation in graph.get_operations())
    return any(tensor.dtype in (tf.float16, tf.bfloat16) for tensor in tensors)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _from_saved_model(path: Path, input_size: int | None, signature: str) -> Classifier:
    loaded = tf.saved_model.load(str(path))
    serve = loaded.signatures.get(signature)
    if serve is None:
        names = ", ".join(loaded.signatures) or "none"
        raise ModelError(f"{path} has no signature {signature!r}; it has {names}: pass one as --signature")
    inputs, outputs = serve.structured_input_signature[1], serve.structured_outputs
    if len(inputs) != 1 or len(outputs) != 1:
        raise ModelError(f"{path} has {len(inputs)} inputs and {len(outputs)} outputs: needs one each")
    (name, spec), (result, scores) = next(iter(inputs.items())), next(iter(outputs.items()))
    if spec.dtype != tf.float32:
        raise ModelError(f"{path} takes {spec.dtype.name} input: must be float32")
    height, width = _sides(str(path), tuple(spec.shape), input_size)
    classes = _classes(str(path), tuple(scores.shape))
    _require_finite(str(path), {variable.name.removesuffix(":0"): variable for variable in serve.variables})

    def function(image: Any, owner: Any = loaded) -> Any:  # noqa: ARG001  # the variables live as long as their owner
        return serve(**{name: image})[result]

    return Classifier(function=function, height=height, width=width, classes=classes)


def _require_finite(name: str, variables: Mapping[str, Any]) -> None:
    for path, variable in variables.items():
        layer, _, part = path.rpartition("/")
        if not np.isfinite(variable.numpy().astype(np.float32, copy=False)).all():
            raise ModelError(f"{name}: layer {layer!r} has weights that are not finite ({part})")


def _sides(name: str, shape: tuple[int | None, ...], input_size: int | None) -> tuple[int, int]:
    if len(shape) != 4 or shape[3] != 3:
        raise ModelError(f"{name} takes input of shape {shape}: must be (batch, height, width, 3)")
    height, width = (input_size if side is None else side for side in shape[1:3])
    if height is None or width is None:
        raise ModelError(f"{name} leaves its input size open: pass --input-size")
    if input_size is not None and (height, width) != (input_size, input_size):
        raise ModelError(f"{name} takes {height}x{width} pixels, which --input-size {input_size} contradicts")
    return height, width


def _classes(name: str, shape: tuple[int | None, ...]) -> int:
    if len(shape) != 2 or shape[1] is None:
        raise ModelError(f"{name} gives output of shape {shape}: must be (batch, classes)")
    return shape[1]
