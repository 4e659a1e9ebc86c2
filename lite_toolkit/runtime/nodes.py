"""Which nodes of a loaded model its delegates took."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lite_toolkit.runtime.delegates import XNNPACK, Delegate

if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Any


@dataclass(frozen=True)
class Share:
    """What one delegate took: its title, a number of nodes, and in how many partitions they lie."""

    delegate: str
    nodes: int
    partitions: int


@dataclass(frozen=True)
class Partition:
    """The nodes of a model's main subgraph, and who runs them.

    Attributes:
        nodes: how many there are in the file.
        shares: of the delegates that took some, the chosen one's first.
        kernels: operator -> how many nodes the runtime's own kernels run.
    """

    nodes: int
    shares: tuple[Share, ...]
    kernels: dict[str, int]

    def taken(self, delegate: Delegate) -> int:
        """How many nodes a delegate took."""
        return sum(share.nodes for share in self.shares if share.delegate == delegate.title)


def delegate_nodes(loaded: Any) -> set[int]:
    """The numbers of the nodes that delegates put into an interpreter's graph so far, one for each partition."""
    return {number for number, node in enumerate(_nodes(loaded)) if _is_delegate(node)}


def partition(loaded: Any, delegate: Delegate, early: Collection[int]) -> Partition:
    """Who runs the nodes of an allocated interpreter.

    The runtime tells which nodes delegates added, with the tensors that these read and write, but not which ones they
    replaced: those are found by walking the file's nodes from what a partition writes back to what it reads. What no
    partition replaced is left to the kernels.

    Args:
        loaded: the interpreter, its tensors allocated.
        delegate: the one chosen.
        early: `delegate_nodes` before the tensors were allocated: those of a library. XNNPACK's come later.
    """
    nodes = _nodes(loaded)
    own = {number: node for number, node in enumerate(nodes) if not _is_delegate(node)}
    writers = {int(tensor): number for number, node in own.items() for tensor in node["outputs"]}
    left, shares = dict(own), []
    late = delegate_nodes(loaded).difference(early)
    for title, partitions in ((delegate.title, early), (XNNPACK.title, late)):
        replaced = set().union(*(_replaced(nodes, writers, number) for number in partitions))
        left = {number: node for number, node in left.items() if number not in replaced}
        shares += [Share(title, len(replaced), len(partitions))] if partitions else []
    return Partition(len(own), tuple(shares), dict(Counter(node["op_name"] for node in left.values())))


def _replaced(nodes: list[dict[str, Any]], writers: dict[int, int], partition: int) -> set[int]:
    read = {int(tensor) for tensor in nodes[partition]["inputs"]}
    found: set[int] = set()
    tensors = [int(tensor) for tensor in nodes[partition]["outputs"]]
    while tensors:
        number = writers.get(tensors.pop())
        if number is not None and number not in found:
            found.add(number)
            tensors += [int(tensor) for tensor in nodes[number]["inputs"] if int(tensor) not in read]
    return found


def _nodes(loaded: Any) -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = loaded._get_ops_details()  # noqa: SLF001  # there is no public way
    return nodes


def _is_delegate(node: dict[str, Any]) -> bool:
    return bool(node["op_name"] == "DELEGATE")
