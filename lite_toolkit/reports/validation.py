"""What quantization cost by `validate`, as a document."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lite_toolkit.documents import Report
from lite_toolkit.measurement import validation
from lite_toolkit.measurement.loss import Assessment, Comparison, Finding, LayerError


@dataclass(frozen=True)
class Loss:
    """What quantization cost a model, by `validate` or by the manifest that `convert` wrote.

    Attributes:
        model: the quantized file.
        reference: the float model's file; None for a manifest's, which is measured on images held out of calibration.
        data: description of the images; None where a manifest does not tell.
        size_bytes: of the quantized file; None where the report does not tell.
    """

    model: str
    reference: str | None
    data: str | None
    size_bytes: int | None
    assessment: Assessment

    @property
    def comparison(self) -> Comparison:
        """Of the scores."""
        return self.assessment.comparison


@dataclass(frozen=True)
class Validation(Report):
    """A quantized model against the float model; see `loss.Assessment`.

    Attributes:
        float_, quantized: the files' names.
        data: description of the images.
        skipped_images: one message for each that could not be read.
    """

    KIND = "validate"

    float_: str
    quantized: str
    data: str
    skipped_images: tuple[str, ...]
    preprocessing: Mapping[str, Any]
    comparison: Comparison
    layers: tuple[LayerError, ...]
    worst: tuple[Finding, ...]

    def __post_init__(self) -> None:
        self.loss  # noqa: B018  # refuses what does not belong together

    @property
    def loss(self) -> Loss:
        """What quantization cost."""
        assessment = Assessment(self.comparison, self.layers, self.worst)
        return Loss(self.quantized, self.float_, self.data, None, assessment)

    @classmethod
    def of(cls, found: validation.Validation) -> "Validation":
        """What was found."""
        assessment = found.assessment
        return cls(
            float_=found.reference.name,
            quantized=found.quantized.name,
            data=found.data,
            skipped_images=found.skipped,
            preprocessing=found.preprocessing.to_json(),
            comparison=assessment.comparison,
            layers=assessment.layers,
            worst=assessment.worst,
        )
