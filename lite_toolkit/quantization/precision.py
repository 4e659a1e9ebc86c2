"""Which operators are kept in float among quantized ones."""

import re
from collections.abc import Iterable

from lite_toolkit.errors import RecipeError
from lite_toolkit.quantization import kernels
from lite_toolkit.quantization.recipes import Recipe
from lite_toolkit.tflite.graph import Subgraph
from lite_toolkit.tflite.layers import layer_name


def in_float(graph: Subgraph, recipe: Recipe) -> frozenset[int]:
    """The indices of the operators that stay in float: those that the recipe names, and those without a kernel."""
    without = {operator.index for operator in graph.operators if operator.name not in kernels.INT8}
    return named(graph, recipe.in_float) | (without if recipe.format == "int8" else frozenset())


def named(graph: Subgraph, patterns: Iterable[str]) -> frozenset[int]:
    """The indices of the operators that match.

    Args:
        graph: of the float model.
        patterns: regular expressions for the whole name of a layer, or the whole name of an operator.

    Raises:
        RecipeError: a pattern matches nothing.
    """
    found: set[int] = set()
    for pattern in patterns:
        names = ((operator.index, layer_name(graph, operator), operator.name) for operator in graph.operators)
        matching = {index for index, *both in names if any(re.fullmatch(pattern, name) for name in both)}
        if not matching:
            raise RecipeError(
                f"in_float {pattern!r} matches no layer and no operator of the model, which has layers such as "
                f"{layer_name(graph, graph.operators[0])} and operators such as {graph.operators[0].name}"
            )
        found |= matching
    return frozenset(found)


def is_rounded(graph: Subgraph, tensor: int, kept: frozenset[int]) -> bool:
    """Whether a tensor is stored quantized: where its maker or a reader is, or where it is the model's own."""
    makers = [operator.index for operator in graph.operators if tensor in operator.outputs]
    readers = [operator.index for operator in graph.readers(tensor)]
    return not makers or not readers or not kept.issuperset(makers + readers)
