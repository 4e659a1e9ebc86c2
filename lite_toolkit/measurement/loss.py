"""What quantization cost, as values: of the scores, and layer by layer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from lite_toolkit.decoding import LATER, UNTOLD, Count, between
from lite_toolkit.documents import Report
from lite_toolkit.measurement.accuracy import Rate
from lite_toolkit.tflite.layers import Granularity

ScoreKind = Literal["logits", "probabilities", "sigmoids"]
FEWEST_DOUBTED = 10  # images: of fewer, all may have one class by chance
Percent = Annotated[float, between(0, 100)]


@dataclass(frozen=True)
class Comparison:
    """What quantization cost on some images.

    Attributes:
        images: number of images compared.
        agreement_percent: images whose highest score has the same class, the lowest index winning a tie; of sigmoids,
            images with the same set of labels above 0.5.
        top5_agreement_percent: images whose highest float score has a class among the quantized model's best five; None
            where that says nothing: of sigmoids, and of five classes or fewer, all of which are among the best five.
        sqnr_db: signal to quantization noise ratio of the mean-centred scores, of sigmoids less 0.5; None where they
            are equal.
        kl_divergence_nats: mean over the images of the Kullback-Leibler divergence from the float model's
            probabilities to the quantized model's; of sigmoids, the sum of those of the labels.
        largest_difference: of any score.
        scores: what the scores were taken for; the softmax of logits are the probabilities, sigmoids those of labels
            that hold or not whatever the others.
        float_answers: how many different classes, or sets of labels, the float model sees; None in an old report.
    """

    images: Annotated[int, between(1)]
    agreement_percent: Percent
    top5_agreement_percent: Percent | None
    sqnr_db: float | None
    kl_divergence_nats: float
    largest_difference: float
    scores: ScoreKind
    float_answers: Count | None = field(default=None, metadata=LATER)

    @property
    def agreement(self) -> Rate:
        """Images with the same top-1, as a count."""
        return self._rate(self.agreement_percent)

    @property
    def top5_agreement(self) -> Rate | None:
        """Images whose float top-1 is among the best five, as a count."""
        return None if self.top5_agreement_percent is None else self._rate(self.top5_agreement_percent)

    @property
    def measure(self) -> str:
        """What agrees, as people read it."""
        return "same labels" if self.scores == "sigmoids" else "same top-1"

    @property
    def doubt(self) -> str | None:
        """Why the agreement says little, though it is right."""
        if self.float_answers != 1 or self.images < FEWEST_DOUBTED:
            return None
        what = "the same labels" if self.scores == "sigmoids" else "one class"
        return f"The float model sees {what} in all {self.images} images: agreement on them says little."

    def _rate(self, percent: float) -> Rate:
        return Rate(round(percent * self.images / 100), self.images)


@dataclass(frozen=True)
class LayerError:
    """The error of one layer's output, quantized less float, over all images.

    A layer's own error is what it adds: the error where its inputs are the float network's, quantized. None stands for
    a figure that does not exist, such as the ratio to an error of 0.

    Attributes:
        name, operator, weights: as in `layers.Layer`.
        tensor: the output's name in the float graph.
        dtype: of the output in the quantized graph.
        sqnr_db: 10 log10(signal power / error power) in the running network.
        own_sqnr_db: the same for the own error.
        drop_db: SQNR that the errors of its inputs would leave, less `sqnr_db`; below 0 where errors cancel.
        bias_percent: of the own error power, what lies in the mean error of each channel (of the last axis).
        slope: of the least-squares line from float to quantized values, with exact inputs.
        worst_slope: the slope of the channel where it is farthest from 1, of those that vary.
        slope_percent: of the own error power, what lies in the slopes of the channels.
        saturated_percent: float values that lie outside the range of the quantized output.
        clipping_percent: of the own error power, what these values lose.
        rounding_percent: of the own error power, that of rounding to steps of the output's scale, scale^2 / 12; above
            100 where most values are exactly 0, which is not rounded.
    """

    name: str
    operator: str
    tensor: str
    dtype: str
    weights: Granularity | None
    sqnr_db: float | None
    own_sqnr_db: float | None
    drop_db: float | None
    bias_percent: float | None
    slope: float | None
    worst_slope: float | None
    slope_percent: float | None
    saturated_percent: float
    clipping_percent: float | None
    rounding_percent: float | None


@dataclass(frozen=True)
class Finding:
    """One of the worst layers, its output's name in the float graph, and what helps, a phrase each."""

    name: str
    tensor: str
    remedies: tuple[str, ...]


@dataclass(frozen=True)
class Assessment:
    """What quantization cost, and where.

    Attributes:
        comparison: of the scores.
        layers: the error of each, in the order of execution.
        worst: the layers that add most error, and what helps, the worst first.
    """

    comparison: Comparison
    layers: tuple[LayerError, ...]
    worst: tuple[Finding, ...]

    def __post_init__(self) -> None:
        names = {layer.name for layer in self.layers}
        for finding in self.worst:
            if finding.name not in names:
                raise ValueError(f"worst {finding.name!r}: must be one of the layers")

    @property
    def worst_layers(self) -> list[LayerError]:
        """Those that `worst` is about."""
        named = {layer.name: layer for layer in self.layers}
        return [named[finding.name] for finding in self.worst]


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
        note: how the preprocessing was found, where that is not certain.
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
    note: str | None = field(default=None, metadata=UNTOLD)

    def __post_init__(self) -> None:
        self.loss  # noqa: B018  # refuses what does not belong together

    @property
    def loss(self) -> Loss:
        """What quantization cost."""
        assessment = Assessment(self.comparison, self.layers, self.worst)
        return Loss(self.quantized, self.float_, self.data, None, assessment)
