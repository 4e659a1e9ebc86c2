"""The fewest, cheapest layers in float that bring a quantized model within a bound."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from lite_toolkit.errors import GateError
from lite_toolkit.tflite.graph import Subgraph
from lite_toolkit.tflite.inspection import operator_madds
from lite_toolkit.tflite.layers import layer_name

Layers = frozenset[str]

MOST_WORK = 0.5  # of the network's: with more than that in float, a float model is what is wanted
SPARED = 8  # layers of the choice, the dearest first, that are tried without


@dataclass(frozen=True)
class Trade:
    """What was given for the bound.

    Attributes:
        bound_points: percentage points that may be lost.
        drop_before_points: what it lost with every layer quantized.
        drop_points: what it loses now.
        measure: what is lost, "top-1", or "agreement" with the float model.
        layers: those that stay in float, in the order of execution.
        work_percent: their part of the network's multiply-adds; an operator without any counts its output's values.
        models_tried: quantized models that were made and measured on the way.
    """

    bound_points: float
    drop_before_points: float
    drop_points: float
    measure: str
    layers: tuple[str, ...]
    work_percent: float
    models_tried: int


def work_of(graph: Subgraph) -> dict[str, float]:
    """Layer -> its part of the network's work, in the order of execution."""
    work: dict[str, float] = {}
    for operator in graph.operators:
        name, elements = layer_name(graph, operator), graph.tensors[operator.outputs[0]].elements
        work[name] = work.get(name, 0) + max(operator_madds(graph, operator), elements)
    total = sum(work.values())
    return {name: part / total for name, part in work.items()}


def fewest(
    remedies: Iterable[Layers], work: Mapping[str, float], drop_of: Callable[[Layers], float], bound: float
) -> Layers:
    """Choose the layers that stay in float.

    Remedies are taken together from the first on, until the bound holds; how many is found by doubling and halving.
    Then each layer is tried without, the one of most work first.

    Args:
        remedies: sets of layers, that of the greatest disturbance first.
        work: part of the network's of every layer.
        drop_of: measures the model with these layers in float, in points.
        bound: points.

    Raises:
        GateError: no choice within `MOST_WORK` holds the bound.
    """
    choices = _choices(remedies, work)
    drops: dict[Layers, float] = {}

    def holds(layers: Layers) -> bool:
        drops[layers] = drops[layers] if layers in drops else drop_of(layers)
        return drops[layers] <= bound

    first = _first(choices, holds)
    if first is None:
        least = min(drops.values(), default=None)
        came = f"{least:.2f} points came closest" if least is not None else "no layer can be spared"
        raise GateError(
            f"a loss of at most {bound:g} points cannot be had with less than {100 * MOST_WORK:g}% of the work in "
            f"float: {came}"
        )
    chosen = choices[first]
    for layer in sorted(chosen, key=lambda name: -work[name])[:SPARED]:
        if len(chosen) > 1 and holds(chosen - {layer}):
            chosen -= {layer}
    return chosen


def _choices(remedies: Iterable[Layers], work: Mapping[str, float]) -> list[Layers]:
    """The first remedy, the first two together, and so on; what would take too much work is passed over."""
    choices: list[Layers] = []
    together: Layers = frozenset()
    for layers in remedies:
        wider = together | layers
        if wider != together and sum(work[name] for name in wider) <= MOST_WORK:
            choices.append(wider)
            together = wider
    return choices


def _first(choices: Sequence[Layers], holds: Callable[[Layers], bool]) -> int | None:
    """The least position that holds, where all after one that holds do too; None where the last does not."""
    low, high, stride = -1, 0, 1
    while high < len(choices) and not holds(choices[high]):
        low, high, stride = high, high + stride, 2 * stride
        if low < len(choices) - 1 < high:
            high = len(choices) - 1
    if high >= len(choices):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(choices[middle]) else (middle, high)
    return high
