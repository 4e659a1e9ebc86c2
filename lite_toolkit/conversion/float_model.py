"""keras.Model, or a model file of the user's, -> float32 .tflite."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lite_toolkit.conversion import keras_file, saved_model
from lite_toolkit.errors import ModelError
from lite_toolkit.networks.backend import keras, tf
from lite_toolkit.streams import quiet


@dataclass(frozen=True)
class Classifier:
    """A float classifier, its weights constants.

    Attributes:
        function: float32 (1, height, width, channels) -> a list of float32 (1, classes); a concrete function.
        height, width: of the input in pixels.
        channels: 3 for RGB, 1 for grey.
        classes: number of scores.
        integers: whether the network takes pixels in uint8.
    """

    function: Any
    height: int
    width: int
    channels: int
    classes: int
    integers: bool = False


@dataclass(frozen=True)
class _Network:
    """What was read of a network.

    Attributes:
        title: what errors call it.
        inputs: their names, shapes and types.
        outputs: gives the outputs by name for the only input.
    """

    title: str
    inputs: Mapping[str, Any]
    outputs: Callable[[Any], Mapping[str, Any]]

    def classifier(self, input_size: int | None, output_name: str | None) -> Classifier:
        """The network from an image to one of its outputs."""
        if len(self.inputs) != 1:
            raise ModelError(f"{self.title} has {len(self.inputs)} inputs, {_listed(self.inputs)}: needs one, an image")
        (spec,) = self.inputs.values()
        if spec.dtype not in (tf.float32, tf.uint8):
            raise ModelError(f"{self.title} takes {spec.dtype.name} input: must be float32 or uint8")
        shape = tuple(spec.shape) if spec.shape.rank is not None else ()
        height, width, channels = image = _image(self.title, shape, input_size)

        def scores(pixels: Any) -> Any:
            given = tf.cast(_arranged(pixels, shape), spec.dtype)
            return _scores(self.title, _chosen(self.title, self.outputs(given), output_name))

        with quiet():
            function = _frozen(self.title, scores, image)
            if spec.dtype == tf.uint8:
                function = _without_integers(function)
        classes = function.outputs[0].shape[1]
        return Classifier(function, height, width, channels, classes, spec.dtype == tf.uint8)


def from_keras(
    model: keras.Model, input_size: int | None = None, title: str | None = None, output_name: str | None = None
) -> Classifier:
    """A Keras image classifier.

    Args:
        input_size: settles sides that the model leaves open.
        title: what errors call it; None is its own name.
        output_name: which of several outputs are the scores.

    Raises:
        ModelError: the model has several inputs or outputs, shapes that are no image and scores, or weights that are
            not finite.
    """
    title = title or model.name
    if not model.built:
        raise ModelError(
            f"{title} does not tell the shape of its input: call it once, or give it an Input, and save it"
        )
    _require_finite(title, {getattr(variable, "path", variable.name): variable for variable in model.weights})
    inputs = {tensor.name: tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in model.inputs}
    return _Network(title, inputs, partial(_outputs, model)).classifier(input_size, output_name)


def from_file(
    path: Path, input_size: int | None = None, signature: str | None = None, output_name: str | None = None
) -> Classifier:
    """A file of Keras's or a SavedModel folder; code that either might carry is not run (Keras's safe mode).

    Args:
        signature: of a SavedModel; None is "serving_default".
        input_size, output_name: as for `from_keras`.

    Raises:
        ModelError: the file is missing, damaged or no image classifier.
    """
    if not path.exists():
        raise ModelError(f"no such file: {path}")
    if signature is not None and not path.is_dir():
        raise ModelError(f"--signature {signature}: {path} is no SavedModel folder, which alone has signatures")
    try:
        with quiet():
            if not path.is_dir():
                return from_keras(keras_file.load(path), input_size, str(path), output_name)
            loaded = saved_model.load(path, signature or "serving_default")
            _require_finite(str(path), loaded.variables)
            return _Network(str(path), loaded.inputs, loaded).classifier(input_size, output_name)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, tf.errors.OpError) as error:
        reason = keras_file.cause(error)
        raise ModelError(f"cannot load {path}: must be a .keras file or a SavedModel folder ({reason})") from error


def run(function: Any, image: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """What a concrete function of one image gives for that image."""
    return [found.numpy() for found in function(tf.constant(image))]


def to_tflite(classifier: Classifier, output_name: str) -> bytes:
    """The float32 `.tflite`: batch 1, one signature `serving_default`: "image" -> `output_name`.

    Raises:
        ModelError: an operator that TFLite does not have.
    """
    shape = (1, classifier.height, classifier.width, classifier.channels)
    signature = [tf.TensorSpec(shape, tf.float32, name="image")]
    with quiet():
        named = tf.function(
            lambda image: {output_name: classifier.function(image)[0]}, input_signature=signature, autograph=False
        )
        converter = tf.lite.TFLiteConverter.from_concrete_functions([named.get_concrete_function()], tf.Module())
        try:
            return bytes(converter.convert())
        except Exception as error:  # the converter has no base class of its own
            if _uses_half(classifier.function.graph):
                raise ModelError(
                    "the model computes in float16, which TFLite does not: convert the .keras file instead, or export "
                    "the model under a float32 policy"
                ) from error
            raise ModelError(f"TensorFlow cannot convert the model: {_first_line(error)}") from error


def _outputs(model: keras.Model, image: Any) -> Mapping[str, Any]:
    """The outputs of a Keras model by name."""
    with keras.StatelessScope():  # some augmentation layers count their calls where they do nothing, too
        found = model(_as_inputs(model, image), training=False)
    if isinstance(found, Mapping):
        return found
    names, outputs = getattr(model, "output_names", ["scores"]), keras.tree.flatten(found)
    unique = [name if names.count(name) == 1 else f"{name}:{number}" for number, name in enumerate(names)]
    return dict(zip(unique, outputs, strict=True))


def _as_inputs(model: keras.Model, image: Any) -> Any:
    """The image in the structure that a model of one input takes."""
    return keras.tree.map_structure(lambda _: image, getattr(model, "input", image))


def _chosen(title: str, outputs: Mapping[str, Any], name: str | None) -> Any:
    if name is None and len(outputs) == 1:
        (name,) = outputs
    if name is not None and name in outputs:
        return outputs[name]
    said = f"has {len(outputs)} outputs" if name is None else f"has no output {name!r}"
    raise ModelError(f"{title} {said}: {_listed(outputs)}; pass the name of the scores as --output-name")


def _listed(tensors: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in tensors.items())


def _scores(title: str, output: Any) -> Any:
    """(1, classes), of scores that may stand in more axes, such as those of a convolution at the end."""
    if output.dtype in (tf.float16, tf.bfloat16):
        output = tf.cast(output, tf.float32)
    if output.dtype != tf.float32:
        raise ModelError(f"{title} gives {output.dtype.name} output: must be float32 scores")
    shape = tuple(output.shape) if output.shape.rank is not None else ()
    if not shape or shape[-1] is None or any(side not in (1, None) for side in shape[:-1]):
        raise ModelError(f"{title} gives output of shape {shape}: must be (batch, classes)")
    if len(shape) != 2:
        return tf.reshape(output, (1, shape[-1]))
    output.set_shape((1, shape[-1]))  # a SavedModel does not tell its batch
    return output


def _image(title: str, shape: tuple[int | None, ...], input_size: int | None) -> tuple[int, int, int]:
    """Height, width and channels of an input of that shape."""
    height, width, channels = _sides(shape)
    if channels not in (1, 3):
        raise ModelError(
            f"{title} takes input of shape {shape}: must be (batch, height, width, 3), or 1 channel where it is grey"
        )
    height, width = (input_size if side is None else side for side in (height, width))
    if height is None or width is None:
        raise ModelError(f"{title} leaves its input size open: pass --input-size")
    if input_size is not None and (height, width) != (input_size, input_size):
        raise ModelError(f"{title} takes {height}x{width} pixels, which --input-size {input_size} contradicts")
    return height, width, channels


def _sides(shape: tuple[int | None, ...]) -> tuple[int | None, int | None, int | None]:
    """Height, width and channels; grey images may have no axis of channels, and those of torch have it first."""
    if len(shape) == 3 and shape[1] == shape[2]:
        return shape[1], shape[2], 1
    if len(shape) != 4:
        return None, None, None
    return (shape[2], shape[3], shape[1]) if _channels_first(shape) else (shape[1], shape[2], shape[3])


def _channels_first(shape: tuple[int | None, ...]) -> bool:
    return len(shape) == 4 and shape[3] not in (1, 3) and shape[1] in (1, 3)


def _arranged(image: Any, shape: tuple[int | None, ...]) -> Any:
    """The image (1, height, width, channels) as an input of that shape takes it."""
    if len(shape) == 3:
        return tf.reshape(image, image.shape[:3])
    return tf.transpose(image, (0, 3, 1, 2)) if _channels_first(shape) else image


def _frozen(title: str, function: Any, image: tuple[int, int, int]) -> Any:
    """The function for one image, its variables constants: the converter takes a quarter of its time otherwise.

    Raises:
        ModelError: it cannot be traced, or has state that cannot be frozen, or constants that are no numbers.
    """
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    signature = [tf.TensorSpec((1, *image), tf.float32, name="image")]
    try:
        traced = tf.function(function, input_signature=signature, autograph=False).get_concrete_function()
    except ModelError:
        raise
    except Exception as error:  # whatever a layer raises
        reason = keras_file.cause(error)
        raise ModelError(f"{title} does not compute scores from one float32 image: {reason}") from error
    try:
        frozen = convert_variables_to_constants_v2(traced)
    except (ValueError, tf.errors.OpError) as error:
        if _assigns(traced.graph.as_graph_def()):
            raise ModelError(
                f"{title} changes variables of its own: augmentation layers hold state that cannot be frozen; "
                "convert the .keras file instead, or export the model without them"
            ) from error
        raise ModelError(f"TensorFlow cannot freeze {title}: {_first_line(error)}") from error
    for name, values in _constants(frozen.graph):
        if np.isnan(values).any():  # infinity may be meant, as the start of a maximum
            raise ModelError(f"{title}: constant {name!r} has values that are not numbers")
    return frozen


def _constants(graph: Any) -> Iterator[tuple[str, NDArray[np.float32]]]:
    for operation in graph.get_operations():
        if operation.type == "Const" and operation.outputs[0].dtype == tf.float32:
            yield operation.name, tf.make_ndarray(operation.get_attr("value"))


def _without_integers(function: Any) -> Any:
    """The function without the way of its image to uint8 and back, which moves no pixel, and which int8 models lack."""
    graph = function.graph.as_graph_def()
    nodes = {node.name: node for node in graph.node}

    def source(name: str) -> Any:
        node = nodes[name.partition(":")[0]]
        return source(node.input[0]) if node.op == "Identity" else node

    for node in graph.node:
        if node.op != "Cast" or node.attr["DstT"].type != tf.float32.as_datatype_enum:
            continue
        before = source(node.input[0])
        if before.op == "Cast" and source(before.input[0]).op == "Placeholder":
            node.op, node.input[0] = "Identity", before.input[0]
            for name in ("SrcT", "DstT", "Truncate"):
                del node.attr[name]
            node.attr["T"].type = tf.float32.as_datatype_enum
    return imported(graph, function)


def imported(graph: Any, function: Any) -> Any:
    """A concrete function of a changed graph, from the inputs to the outputs of that function."""
    wrapped = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(graph, name=""), [])
    ends = (
        [wrapped.graph.get_tensor_by_name(tensor.name) for tensor in side]
        for side in (function.inputs, function.outputs)
    )
    return wrapped.prune(*ends)


def _assigns(graph: Any) -> bool:
    nodes = [graph.node, *(function.node_def for function in graph.library.function)]
    return any(node.op.startswith(("Assign", "Rng")) for node in chain.from_iterable(nodes))


def _uses_half(graph: Any) -> bool:
    tensors = chain.from_iterable(operation.outputs for operation in graph.get_operations())
    return any(tensor.dtype in (tf.float16, tf.bfloat16) for tensor in tensors)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _require_finite(name: str, variables: Mapping[str, Any]) -> None:
    for path, variable in variables.items():
        layer, _, part = path.rpartition("/")
        if not np.isfinite(variable.numpy().astype(np.float32, copy=False)).all():
            raise ModelError(f"{name}: layer {layer!r} has weights that are not finite ({part})")
