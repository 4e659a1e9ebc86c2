"""A compiled model: what is inside, and whether a delegate can run it."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lite_toolkit.decoding import encode
from lite_toolkit.documents import sha256
from lite_toolkit.edgetpu.executable import Package, packages
from lite_toolkit.edgetpu.parameters import BANDWIDTHS
from lite_toolkit.edgetpu.rules import CUSTOM_OPERATOR
from lite_toolkit.errors import DelegateError
from lite_toolkit.runtime import delegates
from lite_toolkit.tflite.graph import Graph


@dataclass(frozen=True)
class Compiled:
    """What is inside a model that the Edge TPU compiler has written.

    Attributes:
        packages: one for each custom operator, the part of the model that is mapped; none where nothing is.
        cpu_operators: those beside them, counted by name.
    """

    file: str
    size_bytes: int
    sha256: str
    packages: tuple[Package, ...]
    cpu_operators: dict[str, int]

    @property
    def on_cpu(self) -> int:
        """Number of operators that stay on the CPU."""
        return sum(self.cpu_operators.values())

    @property
    def cached_bytes(self) -> int:
        """Parameters that stay on the chip."""
        return sum(package.cached_bytes for package in self.packages)

    @property
    def streamed_bytes(self) -> int:
        """Parameters that are sent for every inference."""
        return sum(package.streamed_bytes for package in self.packages)

    @property
    def minimum_runtime(self) -> int | None:
        """The version that the runtime must have at least; None where nothing is mapped."""
        return max((package.minimum_runtime for package in self.packages), default=None)

    @property
    def left(self) -> str:
        """What stays on the CPU, in one line; empty for nothing."""
        named = ", ".join(f"{name} ×{count}" for name, count in self.cpu_operators.items())
        return f"outside of the Edge TPU, on the CPU: {named}" if named else ""

    def streaming_seconds(self, interface: str) -> tuple[float]:
        """What streaming costs at every inference; see `BANDWIDTHS`."""
        return (self.streamed_bytes / BANDWIDTHS[interface],)

    def to_json(self) -> dict[str, Any]:
        """What the compiled model holds."""
        return {
            "file": self.file,
            "size_bytes": self.size_bytes,
            "sha256": self.sha256,
            "compiled": True,
            "on_cpu": self.on_cpu,
            "cpu_operators": self.cpu_operators,
            "cached_bytes": self.cached_bytes,
            "streamed_bytes": self.streamed_bytes,
            "streaming_ms": {name: 1e3 * self.streamed_bytes / rate for name, rate in BANDWIDTHS.items()},
            "bandwidth_bytes_per_s": dict(BANDWIDTHS),
            "minimum_runtime": self.minimum_runtime,
            "packages": encode(self.packages),
        }

    @property
    def note(self) -> str | None:
        """What users should know before they run it: the operators on the CPU, if any."""
        return f"{self.file}: {self.left}" if self.left else None


def open_compiled(file: str, graph: Graph) -> Compiled:
    """What is inside a file that the compiler has written.

    Raises:
        ModelError: a package is malformed.
    """
    names = (op.name for subgraph in graph.subgraphs for op in subgraph.operators if op.name != CUSTOM_OPERATOR)
    return Compiled(
        file, len(graph.content), sha256(graph.content), packages(graph), dict(sorted(Counter(names).items()))
    )


def for_delegate(model: Path, graph: Graph, delegate: str) -> Compiled | None:
    """What is inside a model that an Edge TPU is to run; None where another delegate is to run it.

    Args:
        model: the file.
        graph: in it.
        delegate: as `delegates.choose` takes it.

    Raises:
        DelegateError: the model is not compiled for the Edge TPU.
        ModelError: a package is malformed.
    """
    if not delegates.is_edgetpu(delegate):
        return None
    found = open_compiled(model.name, graph)
    if not found.packages:
        raise DelegateError(f"{model} is not compiled for the Edge TPU: lite-toolkit edgetpu compile {model}")
    return found
