"""What the Edge TPU compiler will do with a model: operators, memory, the cost of streaming."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lite_toolkit.decoding import decode, encode
from lite_toolkit.documents import Report, sha256
from lite_toolkit.edgetpu import rules
from lite_toolkit.edgetpu.compiled import Compiled, open_compiled
from lite_toolkit.edgetpu.parameters import BANDWIDTHS, CAPACITY, NARROW, WIDE, is_wide, parameter_bytes, place
from lite_toolkit.edgetpu.partition import partition
from lite_toolkit.edgetpu.view import View
from lite_toolkit.errors import ReportError
from lite_toolkit.tflite.graph import Graph, Operator, Subgraph, read_graph

Residence = Literal["on chip", "streamed", "uncertain"]

DEFAULT_RUNTIME = 14  # that compiler 16 compiles for, unless it is told a lower one
LOWEST_RUNTIME = 10  # that compiler 16 can be told
_CAPACITIES = 17


@dataclass(frozen=True)
class OperatorForecast:
    """One operator.

    Attributes:
        output: the name of its first output; empty where it has none.
        status, reason, remedy, doubt: see `rules.Verdict`.
        parameters_bytes: on the device; 0 on the CPU.
        residence: where these are during inference; None where there are none.
    """

    index: int
    name: str
    output: str
    status: str
    reason: str
    remedy: str
    doubt: str
    parameters_bytes: int
    residence: Residence | None

    @property
    def mapped(self) -> bool:
        """Whether the Edge TPU runs it."""
        return self.status == rules.MAPPED


@dataclass(frozen=True, kw_only=True)
class Target:
    """What a manifest tells of the Edge TPU, where the model was converted for it; see `Forecast`."""

    name: str = "edgetpu"
    operators: int
    mapped: int
    parameters_bytes: int
    cached_bytes: tuple[int, int]
    streamed_bytes: tuple[int, int]
    minimum_runtime: int = DEFAULT_RUNTIME
    lowest_runtime: int
    uncertain: tuple[str, ...]


@dataclass(frozen=True)
class Forecast:
    """What compiler 16 will make of a model.

    Attributes:
        file: its name without the folder.
        operators: of the main graph, in the order of execution.
        parts: how many parts the compiler could map; it takes the first one only.
        refusals: why it will refuse the model as a whole.
        uncertain: what the forecast does not know, a sentence each.
        cached_bytes: parameters that stay on the chip, at least and at most.
        streamed_bytes: parameters that are sent for every inference, at least and at most.
        lowest_runtime: the runtime that its operators need at least, by the documentation.
    """

    file: str
    size_bytes: int
    sha256: str
    operators: tuple[OperatorForecast, ...]
    parts: int
    refusals: tuple[str, ...]
    uncertain: tuple[str, ...]
    cached_bytes: tuple[int, int]
    streamed_bytes: tuple[int, int]
    lowest_runtime: int

    @property
    def mapped(self) -> int:
        """Number of operators on the Edge TPU."""
        return sum(operator.mapped for operator in self.operators)

    @property
    def on_cpu(self) -> int:
        """Number of operators that stay on the CPU."""
        return len(self.operators) - self.mapped

    @property
    def parameters_bytes(self) -> int:
        """Of all mapped operators."""
        return self.cached_bytes[0] + self.streamed_bytes[1]

    @property
    def statuses(self) -> tuple[rules.StatusCount, ...]:
        """The operators counted as in the compiler's log."""
        counts = Counter((operator.name, operator.status) for operator in self.operators)
        return tuple(rules.StatusCount(name, count, status) for (name, status), count in sorted(counts.items()))

    @property
    def left(self) -> str:
        """What stays on the CPU, or why the compiler will refuse the model, in one line; empty for neither."""
        if self.refusals:
            return "; ".join(self.refusals)
        reasons = Counter((op.name, op.reason, op.remedy) for op in self.operators if not op.mapped)
        told = [f"{name} ×{count} ({', '.join(filter(None, why))})" for (name, *why), count in reasons.most_common()]
        count = f"{self.on_cpu} {'operator stays' if self.on_cpu == 1 else 'operators stay'} on the CPU"
        return f"{count}: {'; '.join(told)}" if told else ""

    @property
    def summary(self) -> Target:
        """The figures for a manifest."""
        return Target(
            operators=len(self.operators),
            mapped=self.mapped,
            parameters_bytes=self.parameters_bytes,
            cached_bytes=self.cached_bytes,
            streamed_bytes=self.streamed_bytes,
            lowest_runtime=self.lowest_runtime,
            uncertain=self.uncertain,
        )

    def to_json(self) -> dict[str, Any]:
        """What the compiler will do; ranges are [least, most]."""
        return {
            "file": self.file,
            "size_bytes": self.size_bytes,
            "sha256": self.sha256,
            "compiled": False,
            "mapped": self.mapped,
            "on_cpu": self.on_cpu,
            "parts": self.parts,
            "refusals": list(self.refusals),
            "uncertain": list(self.uncertain),
            "statuses": encode(self.statuses),
            "parameters_bytes": self.parameters_bytes,
            "chip_capacity_bytes": list(CAPACITY),
            "cached_bytes": list(self.cached_bytes),
            "streamed_bytes": list(self.streamed_bytes),
            "streaming_ms": {name: [1e3 * seconds for seconds in self.streaming_seconds(name)] for name in BANDWIDTHS},
            "bandwidth_bytes_per_s": dict(BANDWIDTHS),
            "minimum_runtime": DEFAULT_RUNTIME,
            "lowest_runtime": self.lowest_runtime,
            "operators": encode(self.operators),
        }

    def streaming_seconds(self, interface: str) -> tuple[float, float]:
        """What streaming costs at every inference, at least and at most; see `BANDWIDTHS`."""
        least, most = self.streamed_bytes
        return least / BANDWIDTHS[interface], most / BANDWIDTHS[interface]


@dataclass(frozen=True)
class Check(Report):
    """The forecast for a model, or what is inside of one that is compiled."""

    KIND = "edgetpu-check"

    found: Forecast | Compiled

    def content(self) -> dict[str, Any]:
        """What stands below the header."""
        return self.found.to_json()

    @classmethod
    def from_json(cls, content: Any, file: str) -> "Check":
        """What a document tells; errors as those of every report."""
        title = f"{file} is damaged"
        if content.get("compiled") is True:
            return cls(decode(Compiled, content, title, ReportError, exact=False))
        return cls(decode(Forecast, content, title, ReportError, exact=False))


def check(path: Path) -> Forecast | Compiled:
    """The forecast for a `.tflite` file, or what is inside where it is compiled already.

    Raises:
        ModelError: the file cannot be read, is not a `.tflite` file, or is malformed.
    """
    graph = read_graph(path)
    compiled = open_compiled(path.name, graph)
    return compiled if compiled.packages else forecast(path.name, graph)


def forecast(file: str, graph: Graph) -> Forecast:
    """The forecast for a model that is not compiled.

    Raises:
        ModelError: an operator lacks a tensor that it needs, or a constant is of another size than its shape.
    """
    main = graph.subgraphs[0]
    verdicts = rules.judge(main)
    delegated = [part.operators for part in partition(main, lambda op: verdicts[op.index].mapped) if part.delegated]
    kept = delegated[0] if delegated else frozenset()
    mapped = [operator for operator in main.operators if operator.index in kept]
    sizes = dict(zip((op.index for op in mapped), parameter_bytes(main, mapped), strict=True))
    wide = {position: sizes[op.index] for position, op in enumerate(mapped) if is_wide(main, op)}
    placements, cached = zip(*(place([*sizes.values()], *room) for room in _rooms(wide)), strict=True)
    residences = dict(zip(sizes, map(_residence, zip(*cached, strict=True)), strict=True))
    least, most = (extreme(placements, key=lambda placement: placement.cached) for extreme in (min, max))
    operators = tuple(
        _operator(main, operator, verdicts[operator.index], sizes.get(operator.index), residences.get(operator.index))
        for operator in main.operators
    )
    return Forecast(
        file=file,
        size_bytes=len(graph.content),
        sha256=sha256(graph.content),
        operators=operators,
        parts=len(delegated),
        refusals=tuple(_refusals(main, verdicts)),
        uncertain=(*_uncertain_memory(main, mapped, sum(sizes.values()), wide), *_uncertain(graph, operators)),
        cached_bytes=(least.cached, most.cached),
        streamed_bytes=(most.streamed, least.streamed),
        lowest_runtime=max((_runtime(operator) for operator in mapped), default=LOWEST_RUNTIME),
    )


def _rooms(wide: Mapping[int, int]) -> Iterator[tuple[int, Collection[int]]]:
    """Capacities, and positions of what is streamed in any case: with more room, once in a while fewer bytes fit.

    At worst all wide layers, given by position and bytes, are streamed, and the largest takes twice its room.
    """
    least, most = CAPACITY
    yield from ((least + (most - least) * step // (_CAPACITIES - 1), ()) for step in range(_CAPACITIES))
    if wide:
        yield max(0, least - 2 * max(wide.values())), wide


def _residence(cached: Sequence[bool]) -> Residence:
    if any(cached) != all(cached):
        return "uncertain"
    return "on chip" if all(cached) else "streamed"


def _operator(
    graph: Subgraph, operator: Operator, verdict: rules.Verdict, size: int | None, residence: Residence | None
) -> OperatorForecast:
    """`size` is None for an operator outside the part that the compiler takes."""
    if verdict.mapped and size is None:
        verdict = rules.Verdict(rules.SECOND_SUBGRAPH, "it is behind an operator on the CPU", "map that one first")
    output = graph.tensors[operator.outputs[0]].name if operator.outputs else ""
    said = verdict.status, verdict.reason, verdict.remedy, verdict.doubt
    return OperatorForecast(operator.index, operator.name, output, *said, size or 0, residence if size else None)


def _refusals(graph: Subgraph, verdicts: Sequence[rules.Verdict]) -> Iterator[str]:
    late = sorted(
        {
            f"{operator.name} version {operator.version}"
            for operator, verdict in zip(graph.operators, verdicts, strict=True)
            if verdict.status == rules.VERSION_NOT_SUPPORTED
        }
    )
    if late:
        yield f"Model could not be parsed: {', '.join(late)} is later than compiler 16"
    if not any(tensor.dtype in ("int8", "uint8") for tensor in graph.tensors):
        yield "Model not quantized: no tensor is int8 or uint8"


def _uncertain_memory(graph: Subgraph, mapped: Sequence[Operator], total: int, wide: Collection[int]) -> Iterator[str]:
    if total > CAPACITY[0]:
        low, high = (bound / 2**20 for bound in CAPACITY)
        yield f"what stays on the chip: it has had {low:.2f} to {high:.2f} MiB of room, less with large activations"
    if wide:
        layers = "1 layer stays" if len(wide) == 1 else f"{len(wide)} layers stay"
        known = f"one of {NARROW:,} did, one of {WIDE:,} was streamed though there was room"
        yield f"whether {layers} on the chip, by the weights of each output: {known}"
    elementwise = (View(graph, op) for op in mapped if op.name in _ELEMENTWISE)
    constants = Counter(view.operator.name for view in elementwise if any(part.is_constant for part in view.inputs))
    if constants:
        named = ", ".join(f"{name} ×{count}" for name, count in sorted(constants.items()))
        yield f"the constants of {named}: they are not counted, and may be streamed"


def _uncertain(graph: Graph, operators: Sequence[OperatorForecast]) -> Iterator[str]:
    for doubt, count in Counter(op.doubt for op in operators if op.mapped and op.doubt).items():
        yield f"whether {count} mapped {'operator is' if count == 1 else 'operators are'} mapped: {doubt}"
    mapped = {operator.name: operator.parameters_bytes for operator in operators if operator.mapped}
    if mapped.keys() & {"LSTM", "UNIDIRECTIONAL_SEQUENCE_LSTM"}:
        yield "the parameters of the LSTM: its weights alone are counted, and the device stores more"
    if mapped.get("SOFTMAX"):
        yield f"the parameters of SOFTMAX: {mapped['SOFTMAX']:,} bytes with compiler 16, none before"
    unknown = [tensor for tensor in graph.subgraphs[0].tensors if any(side < 0 for side in tensor.shape_signature)]
    if unknown:
        yield f"unknown dimensions, as of {unknown[0].name!r}: the stored ones are compiled"
    if len(graph.subgraphs) > 1:
        yield f"{len(graph.subgraphs) - 1} further subgraphs: they run on the CPU, and only the first is told here"


def _runtime(operator: Operator) -> int:
    dilations = operator.options.get("dilation_h_factor", 1), operator.options.get("dilation_w_factor", 1)
    dilated = operator.name == "DEPTHWISE_CONV_2D" and dilations != (1, 1)
    return 13 if dilated else _RUNTIMES.get(operator.name, LOWEST_RUNTIME)


_ELEMENTWISE = frozenset(("ADD", "MAXIMUM", "MINIMUM", "MUL", "PRELU", "SQUARED_DIFFERENCE", "SUB"))
# The column "runtime version" of https://coral.ai/docs/edgetpu/models-intro, where it is not "all".
_RUNTIMES = {
    **dict.fromkeys(("EXPAND_DIMS", "PACK", "PRELU", "QUANTIZE", "SUM", "TRANSPOSE_CONV"), 13),
    **dict.fromkeys(("REDUCE_MAX", "REDUCE_MIN", "RSQRT", "SQUARED_DIFFERENCE", "TRANSPOSE"), 14),
    **dict.fromkeys(("LSTM", "UNIDIRECTIONAL_SEQUENCE_LSTM"), 14),
}
