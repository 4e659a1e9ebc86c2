"""What stands beside a model, read as a document."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lite_toolkit.decoding import LATER, Count
from lite_toolkit.documents import Report
from lite_toolkit.edgetpu.forecast import Target
from lite_toolkit.measurement.loss import Assessment, Loss
from lite_toolkit.quantization.mixed_precision import Trade
from lite_toolkit.quantization.recipes import Recipe
from lite_toolkit.tflite.inspection import Endpoint
from lite_toolkit.tflite.manifest import Basis


@dataclass(frozen=True)
class File:
    """The model's file, and what its scores are: "logits", "probabilities" or "scores"."""

    file: str
    sha256: str
    size_bytes: Count
    format: str
    scores: str


@dataclass(frozen=True)
class Weights:
    """Where they come from; `layout` is whose names they had."""

    source: str
    sha256: str | None
    layout: str | None = None


@dataclass(frozen=True)
class Calibration:
    """The images: see `RepresentativeDataset`."""

    description: str
    calibration_images: Count
    held_out_images: Count
    held_out: tuple[str | int, ...]
    skipped: tuple[str, ...]
    sha256: Mapping[str, str]


@dataclass(frozen=True)
class Source:
    """The file that was compiled."""

    file: str
    sha256: str


@dataclass(frozen=True)
class Compiled:
    """By which compiler, for which runtime, and what it said."""

    compiler: str
    minimum_runtime: int | None
    source: Source
    log: Mapping[str, Any] | None


@dataclass(frozen=True, kw_only=True)
class Manifest(Report):
    """How a model was made; what files of other versions may lack has a default.

    Attributes:
        head: what the outputs mean, one of `heads.HEADS`.
    """

    KIND = "manifest"

    model: File
    variant: str | None
    weights: Weights
    fresh_classifier: bool = False
    head: str | None = field(default=None, metadata=LATER)
    classes: Count | None = None
    labels: tuple[str, ...] | None = None
    recipe: Recipe
    calibration: Calibration | None
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    preprocessing_basis: Basis | None = field(default=None, metadata=LATER)
    input: Endpoint
    output: Endpoint
    mixed_precision: Trade | None = None
    target: Target | None = None
    held_out: Assessment | None
    versions: Mapping[str, str]
    edgetpu: Compiled | None = field(default=None, metadata=LATER)

    @property
    def loss(self) -> Loss | None:
        """What quantization cost; None where no images were held out."""
        if self.held_out is None:
            return None
        data = self.calibration.description if self.calibration else None
        return Loss(self.model.file, None, data, self.model.size_bytes, self.held_out)
