"""Which operators a delegate gets together: a graph cut as the TensorFlow Lite interpreter cuts it."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush

from lite_toolkit.tflite.graph import Operator, Subgraph


@dataclass(frozen=True)
class Part:
    """Operators, by their numbers, that run together: all on the delegate, or all on the CPU."""

    delegated: bool
    operators: frozenset[int]


def partition(graph: Subgraph, supported: Callable[[Operator], bool]) -> tuple[Part, ...]:
    """The parts in the order of execution.

    Each part begins with the first operator whose inputs are all there, and takes every further one of the same support
    that needs nothing but what is there by then, wherever it stands in the list. The same as
    `PartitionGraphIntoIndependentNodeSubsets` in tensorflow/lite/graph_info.cc, in linear time. Operators that wait for
    one another are in no part.
    """
    waiting, readers = _dependencies(graph)
    delegated = [supported(operator) for operator in graph.operators]
    ready: dict[bool, list[int]] = {True: [], False: []}
    for number, count in enumerate(waiting):
        if not count:
            ready[delegated[number]].append(number)
    parts = []
    while any(ready.values()):
        kind = min((heap[0], kind) for kind, heap in ready.items() if heap)[1]
        taken = set()
        while ready[kind]:
            number = heappop(ready[kind])
            taken.add(number)
            for tensor in set(graph.operators[number].outputs):
                for reader in readers.pop(tensor, ()):
                    waiting[reader] -= 1
                    if not waiting[reader]:
                        heappush(ready[delegated[reader]], reader)
        parts.append(Part(kind, frozenset(taken)))
    return tuple(parts)


def _dependencies(graph: Subgraph) -> tuple[list[int], dict[int, list[int]]]:
    """How many tensors each operator waits for, and which operators wait for each tensor."""
    computed = {number for operator in graph.operators for number in operator.outputs}
    readers: dict[int, list[int]] = defaultdict(list)
    waiting = []
    for position, operator in enumerate(graph.operators):
        needed = computed.intersection(operator.inputs)
        waiting.append(len(needed))
        for number in needed:
            readers[number].append(position)
    return waiting, readers
