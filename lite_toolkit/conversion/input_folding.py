"""The scaling that a network begins with, folded into its first convolution.

What is left of it is one subtraction, of the pixel that the network makes 0 of: a padding behind it is 0 as it was
before. Of a network that only multiplies nothing is left, and raw pixels go into the convolution.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lite_toolkit.conversion.float_model import Classifier, imported, run
from lite_toolkit.conversion.input_scaling import way
from lite_toolkit.networks.backend import tf

Array = NDArray[np.float32]
Double = NDArray[np.float64]

_TOLERANCE = 1e-4  # of the largest value: float32 adds up otherwise
_SCORES = 1e-3  # the same of scores, behind many layers
_DECIMALS = 4  # of a pixel: what is less comes from adding up
_CONVOLUTIONS = ("Conv2D", "DepthwiseConv2dNative")
_ADDED = "input_scaling"  # the name of what is added


@dataclass(frozen=True)
class _Affine:
    """What is made of a pixel: `gains @ (pixel - zero)`.

    Attributes:
        gains: (channels of the result, channels of the input).
        zero: the pixel that becomes 0.
    """

    gains: Double
    zero: Double


def folded(classifier: Classifier) -> Classifier:
    """The same network with the scaling in its first convolution; the network itself where that cannot be."""
    graph = classifier.function
    (image,) = graph.inputs
    convolution = _first(image)
    if convolution is None:
        return classifier
    reader, scaled = convolution, _source(convolution.inputs[0])
    if scaled.op.type == "Pad":
        reader, scaled = scaled.op, _source(scaled.op.inputs[0])
    affine = _affine(graph, image, scaled) if scaled is not image else None
    kernel = _kernel(convolution, affine) if affine else None
    if affine is None or kernel is None:
        return classifier
    rewired = _rewired(graph, reader.name, convolution.name, kernel.astype(np.float32), affine.zero.astype(np.float32))
    made = dataclasses.replace(classifier, function=imported(rewired, graph))
    return made if _agree(classifier, made) else classifier


def _first(image: Any) -> Any:
    """The convolution that alone sees the image, if it is one of constant weights."""
    readers = {reader.name: reader for _, reader, is_layer in way(image) if is_layer}
    if len(readers) != 1:
        return None
    (reader,) = readers.values()
    known = reader.type in _CONVOLUTIONS and reader.get_attr("data_format") == b"NHWC"
    return reader if known and _source(reader.inputs[1]).op.type == "Const" else None


def _source(tensor: Any) -> Any:
    return _source(tensor.op.inputs[0]) if tensor.op.type == "Identity" else tensor


def _affine(graph: Any, image: Any, scaled: Any) -> _Affine | None:
    """What is made of every pixel, where it depends on nothing else."""
    if scaled.shape.rank != 4 or scaled.shape[1:3] != image.shape[1:3]:
        return None
    pixels = np.random.default_rng(0).uniform(0, 255, tuple(image.shape)).astype(np.float32)
    (seen,) = run(graph.prune([image], [scaled]), pixels)
    terms = np.hstack([pixels.reshape(-1, pixels.shape[3]), np.ones((pixels[..., 0].size, 1))]).astype(np.float64)
    values = seen.reshape(-1, seen.shape[3]).astype(np.float64)
    found, *_ = np.linalg.lstsq(terms, values)
    gains, offset = np.asarray(found[:-1].T, np.float64), found[-1]
    zero: Double = np.round(-np.linalg.pinv(gains) @ offset, _DECIMALS)
    left = np.abs(terms @ found - values).max(), np.abs(gains @ zero + offset).max()
    return _Affine(gains, zero) if max(left) <= _TOLERANCE * np.abs(values).max() else None


def _kernel(convolution: Any, affine: _Affine) -> Double | None:
    """The convolution's weights for what is not scaled yet: (height, width, inputs, outputs)."""
    kernel = tf.make_ndarray(_source(convolution.inputs[1]).op.get_attr("value")).astype(np.float64)
    if convolution.type == "Conv2D":
        return np.asarray(np.einsum("hwco,ci->hwio", kernel, affine.gains))
    gains = np.diag(affine.gains)
    diagonal = affine.gains.shape == (len(gains), len(gains)) and np.allclose(affine.gains, np.diag(gains))
    return np.asarray(kernel * gains[:, np.newaxis]) if diagonal else None


def _rewired(graph: Any, reader: str, convolution: str, kernel: Array, zero: Array) -> Any:
    """The graph whose `reader` takes the image less `zero`, and whose convolution that kernel."""
    made = graph.graph.as_graph_def()
    nodes = {node.name: node for node in made.node}
    nodes[convolution].input[1] = _constant(made, "kernel", kernel)
    nodes[reader].input[0] = graph.inputs[0].op.name
    if zero.any():
        less = _constant(made, "less", -zero if len(set(zero)) > 1 else -zero[:1])
        nodes[reader].input[0] = _ADDED
        node = made.node.add(name=_ADDED, op="AddV2", input=[graph.inputs[0].op.name, less])
        node.attr["T"].type = tf.float32.as_datatype_enum
    return made


def _constant(graph: Any, name: str, values: Array) -> str:
    node = graph.node.add(name=f"{_ADDED}/{name}", op="Const")
    node.attr["dtype"].type = tf.float32.as_datatype_enum
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(values))
    return str(node.name)


def _agree(one: Classifier, other: Classifier) -> bool:
    """Whether both see the same in noise of every contrast."""
    noise = np.random.default_rng(1).uniform(0, 1, (1, one.height, one.width, one.channels)).astype(np.float32)
    for pixels in (noise, 255 * noise):
        ours, theirs = (run(network.function, pixels)[0] for network in (one, other))
        if np.abs(ours - theirs).max() > _SCORES * max(1, np.abs(ours).max()):
            return False
    return True
