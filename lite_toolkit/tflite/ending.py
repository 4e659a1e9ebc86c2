"""What ends a graph, which tells what its outputs mean."""

from collections.abc import Iterator

from lite_toolkit.errors import ModelError
from lite_toolkit.runtime import heads
from lite_toolkit.tflite.graph import Operator, Subgraph, Tensor

# What values mean stays as it is: another type or shape, or the mean over the places of an image.
_PASSING = {"QUANTIZE", "DEQUANTIZE", "RESHAPE", "SQUEEZE", "EXPAND_DIMS", "CAST", "MEAN", "AVERAGE_POOL_2D"}
_JOINING = {"CONCATENATION", "PACK"}
_LINEAR = {"FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D", "BATCH_MATMUL"}
_SIGMOID_SCALE = 1 / 256  # that of every 8-bit LOGISTIC: TensorFlow Lite's 8-bit quantization specification


def ends(main: Subgraph) -> set[str]:
    """The operators that compute the first output; those that only pass on what it means are left out."""
    return {operator.name for operator in _last(main)}


def head(main: Subgraph) -> str:
    """What the values of the first output mean, one of `heads.HEADS`.

    Raises:
        ModelError: one output that is neither a sigmoid nor a linear layer's.
    """
    last, output = list(_last(main)), main.tensors[main.outputs[0]]
    names = {operator.name for operator in last}
    sigmoid = names == {"LOGISTIC"}
    if not output.shape or output.shape[-1] != 1:
        return heads.MULTI_LABEL if sigmoid else heads.SINGLE_LABEL
    if sigmoid or (_is_compiled(last) and _has_sigmoid_scale(output)):
        return heads.SIGMOID
    if names == {"SOFTMAX"}:
        raise ModelError("one output by a softmax is 1 for every image: it must be a sigmoid")
    if names and names <= _LINEAR and all(_is_plain(operator) for operator in last):
        return heads.LOGIT
    by = ", ".join(f"{operator.name}{'' if _is_plain(operator) else ' with an activation'}" for operator in last)
    raise ModelError(
        f"one output by {by or 'no operator'}: must be a sigmoid, which is above 0.5 for the second of two classes, or "
        "a linear layer's, above 0"
    )


def _last(main: Subgraph) -> Iterator[Operator]:
    makers = {number: operator for operator in main.operators for number in operator.outputs}
    tensors = [*main.outputs[:1]]
    while tensors:
        maker = makers.pop(tensors.pop(), None)  # once: a broken graph may have a circle
        if maker is None:
            continue
        if maker.name in _PASSING | _JOINING:
            tensors += maker.inputs[: 1 if maker.name in _PASSING else None]
        else:
            yield maker


def _is_plain(operator: Operator) -> bool:
    return operator.options.get("fused_activation_function", "NONE") == "NONE"


def _is_compiled(last: list[Operator]) -> bool:
    return [operator.name for operator in last] == ["edgetpu-custom-op"]


def _has_sigmoid_scale(output: Tensor) -> bool:
    quantized = output.quantization
    least = {"int8": -128, "uint8": 0}.get(output.dtype)
    return quantized is not None and quantized.scales[0] == _SIGMOID_SCALE and quantized.zero_points[0] == least
