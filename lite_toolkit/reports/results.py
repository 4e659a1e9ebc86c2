"""What a page shows of saved results, as values."""

from dataclasses import dataclass
from typing import TypeVar

from lite_toolkit.measurement.distribution import Distribution
from lite_toolkit.reports.saved_reports import Evaluated, Measured, Quantized

T = TypeVar("T")
Range = tuple[float, float]


@dataclass(frozen=True)
class Origin:
    """What a manifest tells of how a model was made; None where it does not.

    Attributes:
        scores: "logits", "probabilities" or "scores".
        input_type: such as "uint8".
        calibration: description of the images; None where there were none.
        target: the accelerator that it was converted for; None where there was none.
        compiled_from: the file that the Edge TPU compiler compiled; None where it did not.
        versions: packages and Python, by name.
    """

    model: str
    sha256: str
    size_bytes: int
    format: str
    scores: str
    input_type: str
    variant: str | None
    weights: str
    weights_sha256: str | None
    recipe: str
    calibration: str | None
    target: str | None
    compiled_from: str | None
    versions: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Layer:
    """The error of one layer: see `layer_errors.LayerError`."""

    name: str
    operator: str
    sqnr_db: float | None
    own_sqnr_db: float | None
    drop_db: float | None
    bias_percent: float | None
    slope: float | None
    saturated_percent: float | None


@dataclass(frozen=True)
class Loss:
    """What quantization cost, as a whole and layer by layer.

    Attributes:
        reference: the float model's file; None for a manifest's, which is measured on images held out of calibration.
        worst: the layers that add most error, the worst first: the place in `layers`, and what helps.
    """

    quantized: Quantized
    reference: str | None
    scores: str
    layers: tuple[Layer, ...]
    worst: tuple[tuple[int, tuple[str, ...]], ...]


@dataclass(frozen=True)
class Class:
    """A class: its index, and its name where that is known."""

    index: int
    name: str | None


@dataclass(frozen=True)
class Paired:
    """How a model's top-1 differs from that of a reference on the same images, in percentage points."""

    reference: str
    agreement_percent: float
    change_points: float
    interval_points: Range
    mcnemar_p: float


@dataclass(frozen=True)
class Judged:
    """What a model got right on one device.

    Attributes:
        delegate, delegate_options: as `--delegate` and `--delegate-option`; None where the report does not tell.
        offset: what was added to the classes of the ground truth.
        classes: those of the images.
        confusions: true class, the class it was taken for, and of how many images; the most frequent first.
    """

    evaluated: Evaluated
    sha256: str
    device: str
    delegate: str | None
    delegate_options: tuple[tuple[str, str], ...]
    offset: int = 0
    classes: tuple[Class, ...] = ()
    confusions: tuple[tuple[Class, Class, int], ...] = ()
    pairing: Paired | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Machine:
    """What measured: the device's name in the report, and names and values of its environment."""

    device: str
    environment: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Second:
    """A second of sustained runs: its end, percentiles of its runs, and the machine's state; None where not told."""

    end: float
    low_ms: float
    middle_ms: float
    high_ms: float
    frequency_mhz: float | None
    temperature_celsius: float | None
    throttled: int


@dataclass(frozen=True)
class Timing:
    """A measurement of latency; `stages` are those of the way from an image file to the scores."""

    machine: Machine
    measured: Measured
    doubts: tuple[str, ...]
    sustained: tuple[Second, ...]
    stages: tuple[tuple[str, Distribution], ...]


@dataclass(frozen=True)
class Operator:
    """The median time of one operator."""

    index: int
    layer: str
    operator: str
    p50_ms: float


@dataclass(frozen=True)
class Profile:
    """A model operator by operator, each run as a model of its own, and as a whole."""

    machine: Machine
    model: str
    whole_ms: float
    operators: tuple[Operator, ...]


@dataclass(frozen=True)
class Chip:
    """What the Edge TPU compiler will do with a model, or did; ranges are (least, most).

    Attributes:
        mapped, on_cpu: numbers of operators; `mapped` is None where the model is compiled, which does not tell.
        streaming_ms: what streaming costs at every inference over USB 3.
        left: operators on the CPU: name, reason and remedy.
    """

    model: str
    sha256: str
    size_bytes: int
    mapped: int | None
    on_cpu: int
    cached_bytes: Range
    streamed_bytes: Range
    streaming_ms: Range
    left: tuple[tuple[str, str, str], ...]


Value = Origin | Loss | Judged | Machine | Timing | Profile | Chip


@dataclass(frozen=True)
class Source:
    """A file: its name without the folder, the schema's kind, and what it holds."""

    file: str
    kind: str
    toolkit_version: str
    sha256: str
    values: tuple[Value, ...]

    def of(self, kind: type[T]) -> list[T]:
        """What it holds of one kind."""
        return [value for value in self.values if isinstance(value, kind)]
