"""The error of every layer of a quantized model: what it inherits, and what it adds."""

import math
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from lite_toolkit.errors import ModelError
from lite_toolkit.measurement.description import endpoints, info
from lite_toolkit.measurement.loss import LayerError
from lite_toolkit.runtime.interpreter import TensorInfo, interpreter
from lite_toolkit.tflite.graph import read_graph
from lite_toolkit.tflite.layers import Layer, common_layers

FloatArray = NDArray[np.float32]

# A channel's slope says nothing where its variance is less than this part of the mean one, or than what rounding to
# float32 leaves of its power.
_STEADY, _ROUNDED = 0.01, 1e-6


def measure(reference: bytes, quantized: bytes, images: Iterable[FloatArray]) -> tuple[LayerError, ...]:
    """The error of every layer that two `.tflite` models have in common, in the order of execution.

    Memory does not grow with the number of images: each adds to sums.

    Args:
        reference: the float model.
        quantized: the model that was made from it.
        images: normalised float32 images (height, width, 3).

    Raises:
        ModelError: a model cannot be read or run, they have no layer in common, or one has values that are not finite.
    """
    from lite_toolkit.tflite.surgery import expose, isolate  # tflite-runtime has no tools for it

    layers = common_layers(read_graph(reference).subgraphs[0], read_graph(quantized).subgraphs[0])
    if not layers:
        raise ModelError("the two models have no layer in common: the quantized one must be made from the float one")
    originals = [layer.reference.index for layer in layers]
    counterparts = [layer.quantized.index for layer in layers]
    exact = _Runner(expose(reference, originals))
    running = _Runner(expose(quantized, counterparts))
    isolated = _Runner(isolate(quantized, counterparts))
    sums = [_Sums(layer) for layer in layers]
    for number, image in enumerate(images, start=1):
        truth = list(exact.run(image))
        rows = zip(truth, running.run(image), isolated.run(image, *truth), strict=True)
        for layer_sums, values in zip(sums, rows, strict=True):
            with np.errstate(over="ignore", invalid="ignore"):  # told by the next line
                layer_sums.add(*values)
            if not layer_sums.finite:
                raise ModelError(f"layer {layer_sums.name} has values that are not numbers for image {number}")
    return tuple(layer_sums.result() for layer_sums in sums)


class _Runner:
    """A model that takes and gives real values, whatever it computes with."""

    def __init__(self, model: bytes) -> None:
        graph = read_graph(model)
        self._interpreter = interpreter(model)
        inputs, outputs = endpoints(graph)
        self._inputs = list(zip(graph.subgraphs[0].inputs, inputs, strict=True))
        self._outputs = list(zip(graph.subgraphs[0].outputs, outputs, strict=True))

    def run(self, *values: FloatArray) -> Iterator[FloatArray]:
        """One value for each input, then one for each output, both in the model's order."""
        for (number, side), real in zip(self._inputs, values, strict=True):
            self._interpreter.set_tensor(number, side.quantize(real).reshape(side.shape))
        self._interpreter.invoke()
        for number, side in self._outputs:
            yield side.dequantize(self._interpreter.get_tensor(number))


class _Sums:
    """Sums over all images for one layer, in double precision."""

    def __init__(self, layer: Layer) -> None:
        self._layer, self._output, self.name = layer, info(layer.quantized), layer.name
        self._low, self._high = _range(self._output)
        self._elements = self._saturated = 0
        self._signal = self._error = self._inherited = self._clipped = 0.0
        # For each channel: float values, their squares, own errors, their squares, products of value and own error.
        self._channels = np.zeros((5, layer.reference.shape[-1]))

    def add(self, truth: FloatArray, running: FloatArray, isolated: FloatArray) -> None:
        """One image: values of the float network, of the quantized one, and of the layer with exact inputs."""
        own = isolated - truth
        self._elements += truth.size
        self._signal += _power(truth)
        self._error += _power(running - truth)
        # What is left of the error without the layer's own is what the errors of its inputs became.
        self._inherited += _power(running - isolated)
        beyond = truth - truth.clip(self._low, self._high)
        self._saturated += int(np.count_nonzero(beyond))
        self._clipped += _power(beyond)
        values, errors = (array.reshape(-1, array.shape[-1]) for array in (truth, own))
        ones = np.ones(len(values), np.float32)
        products = ((values, values), (errors, errors), (values, errors))
        squares, own_squares, mixed = (np.einsum("nc,nc->c", left, right) for left, right in products)
        self._channels += (ones @ values, squares, ones @ errors, own_squares, mixed)

    @property
    def finite(self) -> bool:
        """Whether every value so far was."""
        return math.isfinite(self._signal + self._error) and bool(np.isfinite(self._channels).all())

    def result(self) -> LayerError:
        """The figures of all images so far."""
        _, squares, errors, own_squares, _ = self._channels
        own, rows = float(own_squares.sum()), self._elements / own_squares.size
        variances, covariances = _moments(self._channels, rows)
        varying = variances > np.maximum(_STEADY * variances.mean(), _ROUNDED * squares)
        slopes = 1 + covariances[varying] / variances[varying]
        variance, covariance = _moments(self._channels.sum(axis=1), self._elements)
        return LayerError(
            name=self.name,
            operator=self._layer.operator,
            tensor=self._layer.reference.name,
            dtype=self._output.dtype,
            weights=self._layer.weights,
            sqnr_db=decibels(self._signal, self._error),
            own_sqnr_db=decibels(self._signal, own),
            drop_db=decibels(self._error, self._inherited),
            bias_percent=_percent(float(np.square(errors).sum()) / rows, own),
            slope=1 + float(covariance / variance) if variance > _ROUNDED * squares.sum() else None,
            worst_slope=max(slopes.tolist(), key=lambda slope: abs(slope - 1), default=None),
            slope_percent=_percent(float((covariances[varying] ** 2 / variances[varying]).sum()), own),
            saturated_percent=100 * self._saturated / self._elements,
            clipping_percent=_percent(self._clipped, own),
            rounding_percent=_percent(self._elements * self._output.scale**2 / 12, own),
        )


def decibels(power: float, noise: float) -> float | None:
    """10 log10(power / noise); None where either is 0."""
    return 10 * math.log10(power / noise) if power and noise else None


def _moments(sums: NDArray[np.float64], count: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """`count` times the variance of the values, and times their covariance with the own errors."""
    values, squares, errors, _, products = sums
    return squares - values**2 / count, products - values * errors / count


def _percent(part: float, whole: float) -> float | None:
    return 100 * part / whole if whole else None


def _power(values: FloatArray) -> float:
    flat = values.reshape(-1)
    return float(flat @ flat)


def _range(info: TensorInfo) -> tuple[float, float]:
    """The real values that round to one the type has; those outside saturate."""
    if not info.scale:
        return -math.inf, math.inf
    limits = np.iinfo(info.dtype)
    return (limits.min - info.zero_point - 0.5) * info.scale, (limits.max - info.zero_point + 0.5) * info.scale
