"""What a network does itself to its input before its first layer, read from the frozen graph.

Which operators do it does not matter: whatever lies between the input and the first operators with weights is computed
on images of one colour. So a scaling is seen at any depth of nesting, made by a layer or by arithmetic, of all channels
alike or of each, with a resize, a padding or another order of channels before or behind it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lite_toolkit.conversion.float_model import Classifier, run
from lite_toolkit.images.preprocessing import PRESETS, PreprocessingSpec

Array = NDArray[np.float32]
Span = tuple[float, float]

# Operators that end the way: they have weights, or hide what they do.
_LAYERS = {
    *("Conv2D", "DepthwiseConv2dNative", "Conv3D", "Conv2DBackpropInput", "Einsum"),
    *("MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"),
    *("PartitionedCall", "StatefulPartitionedCall", "While", "StatelessWhile", "If", "StatelessIf"),
}
_SHAPES = {"Shape", "ShapeN", "Size", "Rank"}  # they know nothing of values
_COLOURS = np.array([*product((0, 255), repeat=3), (128, 128, 128), (40, 90, 200)], np.uint8)
_ENDS = [0, 7]  # of these: black and white, between which an affine function has its extremes
_TOLERANCE = 1e-3  # of a span: float32 has seven digits
_UNIT = 0.3, 30.0  # spans of normalised values: 1 and 2 of 0..1 and -1..1, 10 in keras.applications' EfficientNet
_PIXELS = 60.0, 300.0  # spans of pixels that are shifted
_BEYOND = 0.25  # of its span, that a range may lie beside 0: nobody centres values elsewhere
DOMAINS = ("pixels", "unit", "inception")  # presets whose values a network may scale itself, the likeliest first


@dataclass(frozen=True)
class InputScaling:
    """What a network does to its input.

    Attributes:
        enter: float32 (1, height, width, channels) -> what each of the first layers sees of it.
        size: height and width of the input.
        channels: of the input.
        seen: height and width of what the first layers see, where that is one image.
        whole_numbers: whether the network takes whole numbers, or makes its input such on the way.
    """

    enter: Callable[[Array], list[Array]]
    size: tuple[int, int]
    channels: int
    seen: tuple[int, int] | None
    whole_numbers: bool

    def span(self, spec: PreprocessingSpec) -> Span:
        """The least and the greatest value that the first layers see of preprocessed images; 0 where they see none."""
        seen = [_varying(values) for values in self._colours(spec)]
        values = np.concatenate([np.zeros(0, np.float32), *(part.ravel() for part in seen)])
        return (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)

    def preset(self, name: str) -> PreprocessingSpec:
        """The preset of that name for the input."""
        return PRESETS[name](self.size).for_channels(self.channels)

    @cached_property
    def domain(self) -> str | None:
        """Which of `DOMAINS` the network scales itself; None where it scales nothing, or in a way that fits none."""
        if self.whole_numbers:
            return "pixels"
        seen = {domain: self._colours(self.preset(domain)) for domain in DOMAINS}
        if not any(map(_is_scaled, seen["pixels"])):
            return None
        for is_plausible in (_is_normalised, _is_shifted, _is_bounded):
            for domain, layers in seen.items():
                if all(is_plausible(_varying(values)) for values in layers):
                    return domain
        return None

    def _colours(self, spec: PreprocessingSpec) -> list[Array]:
        """What each first layer sees of images of one colour, preprocessed: (colours, values)."""
        colours = spec.normalize(spec.order_channels(_COLOURS))
        pixels = (np.broadcast_to(colour, (1, *self.size, self.channels)) for colour in colours)
        return [np.stack(values).reshape(len(_COLOURS), -1) for values in zip(*map(self.enter, pixels), strict=True)]


def read(classifier: Classifier) -> InputScaling:
    """What a network does before its first layers."""
    graph = classifier.function
    (image,) = graph.inputs
    found = list(way(image))
    layers = list({id(tensor): tensor for tensor, _, is_layer in found if is_layer}.values())
    cast = [reader.outputs[0].dtype for _, reader, _ in found if reader.type == "Cast"]
    pruned = graph.prune([image], layers)
    return InputScaling(
        enter=lambda values: run(pruned, values) if layers else [],
        size=(classifier.height, classifier.width),
        channels=classifier.channels,
        seen=_size([tuple(tensor.shape) for tensor in layers]),
        whole_numbers=classifier.integers or any(dtype.is_integer for dtype in cast),
    )


def way(tensor: Any) -> Iterator[tuple[Any, Any, bool]]:
    """Every tensor with values of the input, an operator that reads it, and whether that is one of the first layers."""
    waiting, met = [tensor], set()
    while waiting:
        tensor = waiting.pop()
        for reader in tensor.consumers():
            yield tensor, reader, reader.type in _LAYERS
            if reader.type not in _LAYERS | _SHAPES and reader.name not in met:
                met.add(reader.name)
                waiting.extend(reader.outputs)


def _size(shapes: list[tuple[int, ...]]) -> tuple[int, int] | None:
    """Height and width of images (batch, height, width, channels), where they have one."""
    sizes = {shape[1:3] if len(shape) == 4 else None for shape in shapes}
    return sizes.pop() if len(sizes) == 1 else None


def _varying(values: Array) -> Array:
    """Without what is the same for every colour, such as a padding."""
    return values[:, (values != values[:1]).any(axis=0)]


def _is_scaled(values: Array) -> bool:
    """Whether black and white are not what they were."""
    ends = _varying(values)[_ENDS]
    return not ends.size or not np.allclose(ends, [[0], [255]], atol=255 * _TOLERANCE)


def _is_normalised(values: Array) -> bool:
    """Whether a layer may be made for such values, affine in the pixels.

    One that sees nothing of a colour has images that are normalised each by itself, whatever their values.
    """
    return not values.size or (_is_bounded(values) and _is_affine(values))


def _is_shifted(values: Array) -> bool:
    """The same of values with the span of pixels."""
    return _is_normalised(values) or (_lies_at_0(values, _PIXELS) and _is_affine(values))


def _is_bounded(values: Array) -> bool:
    return not values.size or _lies_at_0(values, _UNIT)


def _lies_at_0(values: Array, spans: Span) -> bool:
    if not np.isfinite(values).all():
        return False
    low, high = values.min(), values.max()
    span = high - low
    return bool(spans[0] <= span <= spans[1] and low - _BEYOND * span <= 0 <= high + _BEYOND * span)


def _is_affine(values: Array) -> bool:
    """Whether a plane lies through what is seen of the colours."""
    terms = np.hstack([np.ones((len(_COLOURS), 1)), _COLOURS / 255])
    rest = values - terms @ (np.linalg.pinv(terms) @ values)
    return bool(np.abs(rest).max() <= _TOLERANCE * np.ptp(values))
