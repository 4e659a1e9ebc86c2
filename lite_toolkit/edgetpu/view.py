"""One operator of a graph, seen with its tensors."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lite_toolkit.errors import ModelError
from lite_toolkit.tflite.graph import MAXIMUM_RANK, Operator, Subgraph, Tensor


@dataclass(frozen=True)
class View:
    """An operator and the tensors of its graph.

    Attributes:
        fillings: number of a buffer -> the byte that fills it, if one does; shared, so that none is searched twice.
        shapes: numbers of the tensors that are computed from the shapes of others.
    """

    graph: Subgraph
    operator: Operator
    fillings: dict[int, int | None] = field(default_factory=dict)
    shapes: frozenset[int] = frozenset()

    @property
    def inputs(self) -> list[Tensor]:
        """The tensors that it reads, without those that are left out."""
        return [self.graph.tensors[number] for number in self.operator.inputs if number >= 0]

    @property
    def outputs(self) -> list[Tensor]:
        """The tensors that it writes."""
        return [self.graph.tensors[number] for number in self.operator.outputs]

    @property
    def activations(self) -> list[Tensor]:
        """Those of both that are computed for every input."""
        return [tensor for tensor in self.inputs if not tensor.is_constant] + self.outputs

    def has_input(self, position: int) -> bool:
        """Whether the tensor is not left out."""
        return position < len(self.operator.inputs) and self.operator.inputs[position] >= 0

    def input(self, position: int) -> Tensor:
        """The tensor that it reads at `position`.

        Raises:
            ModelError: it is left out.
        """
        if not self.has_input(position):
            raise ModelError(f"operator {self.operator.index} {self.operator.name}: input {position} is missing")
        return self.graph.tensors[self.operator.inputs[position]]

    @property
    def output(self) -> Tensor:
        """The first tensor that it writes; ModelError where there is none."""
        if not self.operator.outputs:
            raise ModelError(f"operator {self.operator.index} {self.operator.name}: it has no output")
        return self.graph.tensors[self.operator.outputs[0]]

    def axes(self, position: int, rank: int) -> set[int] | None:
        """The axes that a constant input names, counted from the front; None where it is no constant."""
        tensor = self.input(position)
        return {int(axis) % max(rank, 1) for axis in self.numbers(position)} if tensor.is_constant else None

    def numbers(self, position: int) -> NDArray[np.generic]:
        """The flat values of a constant input that has a few for each dimension, such as axes or strides."""
        tensor = self.input(position)
        if tensor.elements > 2 * MAXIMUM_RANK:
            where = f"operator {self.operator.index} {self.operator.name}"
            raise ModelError(f"{where}: input {position} has {tensor.elements} values, at most {2 * MAXIMUM_RANK} fit")
        return np.ravel(tensor.data())
