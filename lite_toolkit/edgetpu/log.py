"""What the Edge TPU compiler prints, and what it writes to its operation logs, from version 1 to 16."""

import re
from dataclasses import dataclass, field, replace

from lite_toolkit.edgetpu.rules import MAPPED, StatusCount


@dataclass(frozen=True)
class ModelLog:
    """The section on one model.

    Attributes:
        model, output: as the compiler was given them, and wrote them.
        cached_bytes, remaining_bytes: of parameters on the chip, and left for more.
        available_bytes: both together, which is what versions before 2.1 print.
        streamed_bytes: sent for every inference. All bytes are rounded to a hundredth of the unit that is printed.
        subgraphs: how many parts are mapped.
        operators: of the model.
        statuses: in the order of the log; empty unless the compiler was told to print them, or some are not mapped.
    """

    model: str
    output: str | None = None
    input_bytes: int | None = None
    output_bytes: int | None = None
    cached_bytes: int | None = None
    remaining_bytes: int | None = None
    available_bytes: int | None = None
    streamed_bytes: int | None = None
    subgraphs: int | None = None
    operators: int | None = None
    mapped: int | None = None
    on_cpu: int | None = None
    statuses: tuple[StatusCount, ...] = ()


@dataclass(frozen=True)
class CompilerLog:
    """A whole log.

    Attributes:
        version: such as "16.0.384591198".
        seconds: that the compilation took by the compiler's account.
        failures: what went wrong, in the compiler's words.
        models: several where they were compiled together, or where one was cut into segments.
        other: lines that are none of the known ones.
    """

    version: str | None
    seconds: float | None
    failures: tuple[str, ...]
    models: tuple[ModelLog, ...]
    other: tuple[str, ...]


def parse(text: str) -> CompilerLog:
    """The figures of a log; nothing in it is an error, and no line is lost."""
    reader = _Reader()
    for line in text.splitlines():
        reader.read(line.strip())
    return CompilerLog(
        reader.version,
        reader.seconds,
        tuple(reader.failures),
        tuple(_completed(model) for model in reader.models),
        tuple(reader.other),
    )


def size_in_bytes(text: str) -> int | None:
    """Bytes of what the compiler prints as "3.86MiB" or "0.00B"; None for anything else."""
    found = re.fullmatch(r"(\d{1,12}(?:\.\d{1,6})?) ?([KMG]i)?B", text)
    return round(float(found[1]) * _UNITS[found[2]]) if found else None


@dataclass
class _Reader:
    version: str | None = None
    seconds: float | None = None
    failures: list[str] = field(default_factory=list)
    models: list[ModelLog] = field(default_factory=list)
    other: list[str] = field(default_factory=list)
    in_table: bool = False

    def read(self, line: str) -> None:
        known = self._read_row(line) or self._read_header(line) or self._read_figure(line)
        if line and not known and not line.startswith(_SAID_ELSEWHERE):
            (self.failures if _FAILURE.match(line) else self.other).append(line)

    def _read_row(self, line: str) -> bool:
        if line.split() == ["Operator", "Count", "Status"]:
            self.in_table = True
            return True
        found = re.match(r"(\S+) +(\d{1,9}) +(\S.*)", line)
        if not self.in_table or not found or not self.models:
            self.in_table = self.in_table and not line
            return False
        row = StatusCount(found[1], int(found[2]), found[3])
        self._amend(statuses=(*self.models[-1].statuses, row))
        return True

    def _read_header(self, line: str) -> bool:
        if found := re.match(r"Edge TPU Compiler version (\S+)", line):
            self.version = found[1]
        elif found := re.match(r"Models? compiled successfully in (\d{1,9}) ms", line):
            self.seconds = int(found[1]) / 1000
        elif found := re.match(r"Input(?: model)?: (.+)", line):
            self.models.append(ModelLog(found[1]))
        elif self.models and (found := re.match(r"Output(?: model)?: (.+)", line)):
            self._amend(output=found[1])
        return bool(found)

    def _read_figure(self, line: str) -> bool:
        label, _, text = line.partition(": ")
        if label not in _FIGURES or not self.models:
            return False
        name = _FIGURES[label]
        value = (
            size_in_bytes(text) if name.endswith("_bytes") else int(text) if re.fullmatch(r"\d{1,9}", text) else None
        )
        if value is not None:
            self._amend(**{name: value})
        return value is not None

    def _amend(self, **values: object) -> None:
        self.models[-1] = replace(self.models[-1], **values)  # type: ignore[arg-type]


def _completed(model: ModelLog) -> ModelLog:
    """With the figures that follow from others: the compiler leaves some out, such as where everything is mapped."""
    cached, remaining, available = model.cached_bytes, model.remaining_bytes, model.available_bytes
    if cached is not None and remaining is not None:
        available = cached + remaining
    elif cached is not None and available is not None:
        remaining = available - cached
    operators, on_cpu, mapped = model.operators, model.on_cpu, model.mapped
    if operators is None and model.statuses:
        operators = sum(row.count for row in model.statuses)
    if on_cpu is None and model.statuses:
        on_cpu = sum(row.count for row in model.statuses if row.status != MAPPED)
    elif on_cpu is None and operators is not None:
        on_cpu = 0 if model.subgraphs else operators
    if mapped is None and operators is not None and on_cpu is not None:
        mapped = operators - on_cpu
    return replace(
        model, remaining_bytes=remaining, available_bytes=available, operators=operators, on_cpu=on_cpu, mapped=mapped
    )


_UNITS = {None: 1, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
_FIGURES = {
    "Input size": "input_bytes",
    "Output size": "output_bytes",
    "On-chip memory used for caching model parameters": "cached_bytes",
    "On-chip memory remaining for caching model parameters": "remaining_bytes",
    "On-chip memory available for caching model parameters": "available_bytes",
    "Off-chip memory used for streaming uncached model parameters": "streamed_bytes",
    "Number of Edge TPU subgraphs": "subgraphs",
    "Total number of operations": "operators",
    "Number of operations that will run on Edge TPU": "mapped",
    "Number of operations that will run on CPU": "on_cpu",
}
_FAILURE = re.compile(
    r"ERROR: |Compilation failed|Invalid model: |Model not quantized|Model could not be parsed|Internal compiler error"
    r"|Compilation timed out|Aborted|Segmentation fault",
    re.IGNORECASE,
)
_SAID_ELSEWHERE = (
    "Started a compilation timeout timer of ",
    "Operation log: ",
    "Model successfully compiled but not all operations are supported by the Edge TPU.",
    "See the operation log file for individual operation details.",
    "Compilation child process completed within timeout period.",
    "Compilation succeeded!",
    "INFO: Initialized TensorFlow Lite runtime.",
)
