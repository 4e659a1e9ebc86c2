"""Moments of what a linear layer reads, by which its weights are rounded and corrected."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lite_toolkit.quantization import operators, rounding
from lite_toolkit.quantization.operators import Activation, is_depthwise
from lite_toolkit.tflite.graph import Operator, Subgraph

Array = NDArray[np.float32]
Double = NDArray[np.float64]

ALONE = 1 << 18  # multiplications, above which OpenBLAS takes several threads
CHANNELS = 64  # of a depthwise layer at once: their patches stay in the processor's cache


@dataclass(frozen=True, eq=False)
class Moments:
    """Of the inputs x that a layer multiplies its weights by, and of the exact outputs y, one row a place.

    Attributes:
        squares: covariance of x, in the order of `rounding.gptq`: (inputs, inputs), or (outputs, inputs, inputs) of a
            depthwise layer, whose outputs see inputs of their own. An error of the mean is left to the bias.
        input_mean: of x, (inputs,) or (outputs, inputs).
        products: covariance of y and x, (outputs, inputs).
        output_mean, output_variance: of y, (outputs,).
    """

    squares: Double
    input_mean: Double
    products: Double
    output_mean: Double
    output_variance: Double

    def product_mean(self, weights: Array) -> Double:
        """The mean of each output of a layer without its bias."""
        return np.asarray((self._rows(weights) * self.input_mean).sum(1))

    def slopes(self, weights: Array) -> Double:
        """The regression slope of each output on the exact ones; 1 where the exact ones do not vary."""
        covariance = (self._rows(weights) * self.products).sum(1)
        # Beside outputs that vary so much more, single precision leaves no slope.
        varies = self.output_variance > 1e-5 * self.output_variance.mean()
        return np.where(varies, covariance / np.where(varies, self.output_variance, 1.0), 1.0)

    def _rows(self, weights: Array) -> Double:
        """(outputs, inputs) of weights as they are laid out in the file."""
        return rounding.by_output(weights, depthwise=self.input_mean.ndim == 2).astype(np.float64)


def of(operator: Operator, graph: Subgraph, source: Activation, exact: Array) -> Moments:
    """The moments of a linear operator.

    Args:
        operator, graph: with weights that the file holds.
        source: what it reads.
        exact: (images, places, outputs) at `operators.places`.
    """
    seen = operators.taps(operator, graph, exact.shape[1]).of(source)
    y = exact.reshape(-1, exact.shape[-1])
    mean = y.mean(0, dtype=np.float64)
    centred = y - mean.astype(np.float32)
    variance = np.einsum("nc,nc->c", centred, centred).astype(np.float64) / len(y)
    found = _depthwise(seen, centred) if is_depthwise(operator) else _dense(seen, centred)
    return Moments(*found, mean, variance)


def rows(seen: Activation) -> Array:
    """(images * places, taps * channels) of what `Taps.of` gives."""
    images, places = seen.stored.shape[:2]
    return seen.real().reshape(images * places, -1)


def _dense(seen: Activation, y: Array) -> tuple[Double, Double, Double]:
    x = rows(seen)
    mean = x.mean(0, dtype=np.float64)
    x = x - mean.astype(np.float32)
    return (x.T @ x).astype(np.float64) / len(x), mean, (y.T @ x).astype(np.float64) / len(x)


def _depthwise(seen: Activation, y: Array) -> tuple[Double, Double, Double]:
    taps, channels = seen.stored.shape[2:]
    patches, each = seen.stored.reshape(-1, taps, channels), y.shape[-1] // channels
    outputs = np.ascontiguousarray(y.reshape(-1, channels, each).transpose(1, 2, 0))
    squares, means, products = (
        np.empty((channels, taps, taps)),
        np.empty((channels, taps)),
        np.empty((channels, each, taps)),
    )
    for start in range(0, channels, CHANNELS):
        part = slice(start, start + CHANNELS)
        x = Activation(np.ascontiguousarray(patches[:, :, part].transpose(2, 1, 0)), seen.limits).real()
        means[part] = x.mean(2)
        x -= means[part, :, None].astype(np.float32)
        squares[part] = _squares(x)
        products[part] = outputs[part] @ x.swapaxes(1, 2)
    squares /= len(patches)
    products /= len(patches)
    return np.repeat(squares, each, 0), np.repeat(means, each, 0), products.reshape(-1, taps)


def _squares(x: Array) -> Array:
    """x x^T of each matrix of a stack, in pieces that OpenBLAS multiplies where it is called: its threads would take
    longer to wake than these take to multiply.
    """
    piece = ALONE // x.shape[1] ** 2
    parts = (x[:, :, start : start + piece] for start in range(0, x.shape[2], piece))
    return np.asarray(sum(part @ part.swapaxes(1, 2) for part in parts))
