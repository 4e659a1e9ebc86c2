"""Room for biases in int32."""

import numpy as np
from numpy.typing import NDArray

from lite_toolkit.quantization import operators, rounding
from lite_toolkit.quantization.ranges import Range, steps
from lite_toolkit.tflite.graph import Operator, Subgraph

Array = NDArray[np.float32]

MOST = 2.0**29  # steps of a bias: the products of a few thousand inputs, 2^27 at most, are added to it


def widened(graph: Subgraph, operator: Operator, input_range: Range) -> Array | None:
    """The weights of an int8 layer with room for its biases; None where they have it.

    A bias is counted in steps of the input's scale times the channel's. A dead channel's weights are all but 0 and its
    scale with them, so that its bias would be more steps than int32 has: kernels then give whatever is left of the
    number. Its largest weight is raised to what gives the scale that the bias needs; on inputs of 255 steps that adds
    at most a 15,000th of the bias.

    Args:
        graph: that the operator belongs to.
        operator: CONV_2D, DEPTHWISE_CONV_2D or FULLY_CONNECTED, with one scale for each output channel.
        input_range: of its input.
    """
    weights, biases = operators.weights(operator, graph), operators.bias(operator, graph)
    depthwise = operators.is_depthwise(operator)
    needed = np.abs(biases) / (steps(input_range)[0] * MOST)
    rows = rounding.by_output(weights, depthwise).copy()
    narrow = np.flatnonzero(np.abs(rows).max(axis=1) < rounding.LIMIT * needed)
    if not narrow.size:
        return None
    rows[narrow, np.abs(rows[narrow]).argmax(axis=1)] = rounding.LIMIT * needed[narrow]
    return (rows.T if depthwise else rows).reshape(weights.shape)
