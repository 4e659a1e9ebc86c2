"""keras.Model, or a model file of the user's, -> float32 .tflite."""

import textwrap
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


def from_keras(model: keras.Model, input_size: int | None = None) -> Classifier:
    """A Keras image classifier; `input_size` settles sides that the model leaves open.

    Raises:
        ModelError: the model has several inputs or outputs, or shapes that are no image and scores.
    """
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ModelError(
            f"{model.name} has {len(model.inputs)} inputs and {len(model.outputs)} outputs: needs one each"
        )
    height, width = _sides(model.name, tuple(model.inputs[0].shape), input_size)
    rescaling = (keras.layers.Rescaling, keras.layers.Normalization)
    return Classifier(
        function=lambda image: model(image, training=False),
        height=height,
        width=width,
        classes=_classes(model.name, tuple(model.outputs[0].shape)),
        rescales=any(isinstance(layer, rescaling) for layer in model.layers),
    )


def from_file(path: Path, input_size: int | None = None) -> Classifier:
    """A `.keras` file or a SavedModel folder; code that either might carry is not run (Keras's safe mode).

    Raises:
        ModelError: the file is missing, damaged or no image classifier.
    """
    if not path.exists():
        raise ModelError(f"no such file: {path}")
    if path.is_file() and not zipfile.is_zipfile(path):  # Keras would say that there is no such file
        raise ModelError(f"{path} is damaged, or neither a .keras file nor a SavedModel folder")
    try:
        with quiet():
            if path.is_dir():
                return _from_saved_model(path, input_size)
            return from_keras(keras.models.load_model(path, compile=False), input_size)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, tf.errors.OpError) as error:
        reason = textwrap.shorten(str(error), 200)
        raise ModelError(f"cannot load {path}: must be a .keras file or a SavedModel folder ({reason})") from error


def to_tflite(classifier: Classifier, output_name: str) -> bytes:
    """The float32 `.tflite`: batch 1, one signature `serving_default`: "image" -> `output_name`.

    The variables are frozen before the converter sees the graph, which takes a quarter of its time otherwise.

    Raises:
        ModelError: an operator that TFLite does not have.
    """
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    signature = [tf.TensorSpec((1, classifier.height, classifier.width, 3), tf.float32, name="image")]
    traced = tf.function(classifier.function, input_signature=signature, autograph=False)
    with quiet():
        frozen = convert_variables_to_constants_v2(traced.get_concrete_function())
        named = tf.function(lambda image: {output_name: frozen(image)[0]}, input_signature=signature, autograph=False)
        converter = tf.lite.TFLiteConverter.from_concrete_functions([named.get_concrete_function()], tf.Module())
        try:
            return bytes(converter.convert())
        except Exception as error:  # the converter has no base class of its own
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise ModelError(f"TensorFlow cannot convert the model: {reason}") from error


def _from_saved_model(path: Path, input_size: int | None) -> Classifier:
    loaded = tf.saved_model.load(str(path))
    serve = loaded.signatures.get("serving_default")
    if serve is None:
        raise ModelError(f"{path} has no signature 'serving_default'")
    inputs, outputs = serve.structured_input_signature[1], serve.structured_outputs
    if len(inputs) != 1 or len(outputs) != 1:
        raise ModelError(f"{path} has {len(inputs)} inputs and {len(outputs)} outputs: needs one each")
    (name, spec), (result, scores) = next(iter(inputs.items())), next(iter(outputs.items()))
    if spec.dtype != tf.float32:
        raise ModelError(f"{path} takes {spec.dtype.name} input: must be float32")
    height, width = _sides(str(path), tuple(spec.shape), input_size)

    def function(image: Any, owner: Any = loaded) -> Any:  # noqa: ARG001  # the variables live as long as their owner
        return serve(**{name: image})[result]

    return Classifier(
        function=function,
        height=height,
        width=width,
        classes=_classes(str(path), tuple(scores.shape)),
    )


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
