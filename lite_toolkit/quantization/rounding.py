"""Rounding of weights to the 255 steps of a symmetric int8 channel.

Weights are laid out as in a `.tflite`: (outputs, height, width, inputs) for convolutions, (1, height, width, channels)
for depthwise ones, (outputs, inputs) for dense ones.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Double = NDArray[np.float64]

LIMIT = 127  # symmetric: -128 is not used
BLOCK = 32  # columns of a lazy update, which is then one product of matrices


def channel_axes(depthwise: bool, rank: int) -> tuple[int, ...]:
    """The axes that one output channel's weights extend over."""
    return (0, 1, 2) if depthwise else tuple(range(1, rank))


def by_output(weights: Array, depthwise: bool) -> Array:
    """(outputs, inputs) of weights; a view of them."""
    return weights.reshape(-1, weights.shape[-1]).T if depthwise else weights.reshape(len(weights), -1)


def scales(weights: Array, depthwise: bool = False, shared: bool = False) -> Array:
    """The step of each channel, largest weight / 127, with the weights' rank; 1 for a channel of zeros.

    With `shared`, every channel has the greatest step.
    """
    largest = np.abs(weights).max(channel_axes(depthwise, weights.ndim), keepdims=True)
    each = np.where(largest > 0, largest / LIMIT, 1).astype(np.float32)
    return np.full_like(each, each.max()) if shared else each


def nearest(weights: Array, steps: Array) -> Array:
    """Each weight to the nearest step."""
    rounded: Array = (np.clip(np.rint(weights / steps), -LIMIT, LIMIT) * steps).astype(np.float32)
    return rounded


def gptq(weights: Array, steps: Array, hessian: Double, damping: float, depthwise: bool = False) -> Array:
    """Rounding that lets the weights not yet rounded make up for the error of those that are.

    Frantar et al., "GPTQ", arXiv 2210.17323: columns in the order of falling diagonal, errors spread by the Cholesky
    factor of the inverse Hessian. Each channel's largest weights stay at 127 steps, so that the step can be read off
    the result.

    Args:
        weights: float32, see above.
        steps: `scales` of them.
        hessian: X^T X of the inputs' patches in the order of the weights' inputs: (n, n), or (channels, n, n) for
            depthwise ones.
        damping: added to the diagonal, as a part of its mean.

    Returns:
        Multiples of `steps` within 127 of them; never worse on the Hessian's quadratic form than `nearest`.
    """
    rows = by_output(weights, depthwise)
    flat_steps = steps.reshape(-1, 1)
    quantize = _each if depthwise else _all
    result = quantize(rows.astype(np.float64), flat_steps.astype(np.float64), hessian, damping)
    rounded = nearest(rows, flat_steps)
    largest = np.abs(rows) == np.abs(rows).max(1, keepdims=True)
    kept = np.where(largest, rounded, result).astype(np.float32)
    worse = _error(kept - rows, hessian) > _error(rounded - rows, hessian)
    chosen = np.where(worse[:, None], rounded, kept)
    return (chosen.T if depthwise else chosen).reshape(weights.shape)


def _all(rows: Double, steps: Double, hessian: Double, damping: float) -> Double:
    """All channels share one Hessian: columns one after the other, blocks of them by products of matrices."""
    order, factor = _factor(hessian, damping)
    columns, step = np.ascontiguousarray(rows[:, order].T), steps[:, 0]  # a column lies in one piece
    rounded = np.empty_like(columns)
    for start in range(0, len(columns), BLOCK):
        stop = min(start + BLOCK, len(columns))
        part, upper = columns[start:stop], factor[start:stop, start:stop]
        errors = np.empty_like(part)
        for place, column in enumerate(part):
            value = np.clip(np.rint(column / step), -LIMIT, LIMIT) * step
            errors[place] = (column - value) / upper[place, place]
            part[place + 1 :] -= upper[place, place + 1 :, None] * errors[place]
            rounded[start + place] = value
        columns[stop:] -= factor[start:stop, stop:].T @ errors
    return rounded[np.argsort(order)].T


def _each(rows: Double, steps: Double, hessian: Double, damping: float) -> Double:
    """Each channel has a Hessian of its own, of few columns: all channels at once."""
    order, factor = _factor(hessian, damping)
    rows = np.take_along_axis(rows, order, 1)
    rounded = np.empty_like(rows)
    for column in range(rows.shape[1]):
        value = np.clip(np.rint(rows[:, column] / steps[:, 0]), -LIMIT, LIMIT) * steps[:, 0]
        error = (rows[:, column] - value) / factor[:, column, column]
        rows[:, column + 1 :] -= error[:, None] * factor[:, column, column + 1 :]
        rounded[:, column] = value
    return np.take_along_axis(rounded, np.argsort(order, 1), 1)


def _factor(hessian: Double, damping: float) -> tuple[NDArray[np.intp], Double]:
    """The columns by falling diagonal, and the upper Cholesky factor of the inverse in that order."""
    diagonal = np.einsum("...ii->...i", hessian)
    mean = diagonal.mean(-1, keepdims=True)
    # Inputs that are always 0 leave their weights free: any positive diagonal will do.
    damped = diagonal + np.where(mean > 0, damping * mean, 1.0)
    order = np.argsort(-damped, axis=-1, kind="stable")
    matrix = hessian + (damped - diagonal)[..., None] * np.eye(hessian.shape[-1])
    matrix = np.take_along_axis(matrix, order[..., :, None], -2)
    matrix = np.take_along_axis(matrix, order[..., None, :], -1)
    # H = U U^T with U upper makes inv(H) = inv(U)^T inv(U): half the work of inverting H itself.
    upper = np.linalg.cholesky(matrix[..., ::-1, ::-1])[..., ::-1, ::-1]
    return order, _inverse(upper)


def _inverse(upper: Double) -> Double:
    """The inverse of an upper triangular matrix, or of a stack of them, by halves."""
    size = upper.shape[-1]
    if size <= BLOCK:
        return np.asarray(np.linalg.inv(upper))
    half = size // 2
    first, last = _inverse(upper[..., :half, :half]), _inverse(upper[..., half:, half:])
    found = np.zeros_like(upper)
    found[..., :half, :half], found[..., half:, half:] = first, last
    found[..., :half, half:] = -first @ (upper[..., :half, half:] @ last)
    return found


def _error(difference: Array, hessian: Double) -> Double:
    """The quadratic form of each channel."""
    wide: Double = difference.astype(np.float64)
    product = np.einsum("cn,cnm->cm", wide, hessian) if hessian.ndim == 3 else wide @ hessian
    return np.asarray(np.einsum("cn,cn->c", product, wide))
