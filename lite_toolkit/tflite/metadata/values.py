"""What metadata says of an image classifier."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from lite_toolkit.errors import ModelError
from lite_toolkit.text import odd_characters

Transformation = Literal["IDENTITY", "LOG", "INVERSE_LOGISTIC"]

LOCALE = r"[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8})*"  # of BCP 47, in outline
_FLOAT32 = 3.4e38
_LARGEST, _SMALLEST_STD = 1e6, 1e-6  # in units of 0 to 255, so that nothing overflows a float32
TEXTS = ("name", "description", "version", "author", "license")


@dataclass(frozen=True)
class Normalization:
    """(pixel - mean) / std of pixels from 0 to 255; each is one value, or one for each channel.

    Raises:
        ModelError: another number of values, or one that is out of range.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        for name, values, low in (("mean", self.mean, -_LARGEST), ("std", self.std, _SMALLEST_STD)):
            if len(values) not in (1, 3) or not all(low <= value <= _LARGEST for value in values):
                raise ModelError(
                    f"metadata: {name} {values}: must be one number, or three, from {low:g} to {_LARGEST:g}"
                )
        if len(self.mean) != len(self.std):
            raise ModelError(f"metadata: mean {self.mean} and std {self.std}: must be as many")

    @classmethod
    def shortest(cls, mean: Sequence[float], std: Sequence[float]) -> "Normalization":
        """One value for all channels where they are equal."""
        equal = len(set(mean)) == len(set(std)) == 1
        return cls(tuple(mean[:1]), tuple(std[:1])) if equal else cls(tuple(mean), tuple(std))

    @property
    def channels(self) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
        """Mean and std, three values each."""
        mean, std = (values * (3 // len(values)) for values in (self.mean, self.std))
        return (mean[0], mean[1], mean[2]), (std[0], std[1], std[2])


@dataclass(frozen=True)
class ScoreCalibration:
    """How a score becomes a calibrated one: slope and offset of a sigmoid for each class.

    Attributes:
        lines: one for each class: "scale,slope,offset" and perhaps ",least score", or nothing.
        transformation: of the score, before the sigmoid.
        default_score: of a class whose line is empty, or whose score is less than the least.

    Raises:
        ModelError: a line is none of these.
    """

    lines: tuple[str, ...]
    transformation: Transformation = "IDENTITY"
    default_score: float = 0.0

    def __post_init__(self) -> None:
        for number, line in enumerate(self.lines, 1):
            if line and not _is_sigmoid(line):
                raise ModelError(
                    f"score calibration, line {number}: {line[:60]!r}: must be empty, or three or four finite numbers "
                    "with commas: scale (at least 0), slope, offset, least score"
                )

    @classmethod
    def read(cls, path: Path, transformation: str = "identity") -> "ScoreCalibration":
        """That of a file; the transformation may be written as an option is, such as "inverse-logistic".

        Raises:
            ModelError: the file cannot be read, or a line is wrong.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise ModelError(f"cannot read the score calibration from {path}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise ModelError(f"{path} is not a UTF-8 text file of score calibration") from error
        name: Any = transformation.upper().replace("-", "_")
        return cls(calibration_lines(text.removesuffix("\n")), name)


@dataclass(frozen=True)
class Metadata:
    """What a model says of itself; None or nothing where it does not, or where what it says shall stay as it is.

    Attributes:
        name, description, version, author, license: of the model.
        normalization: of the input image.
        labels: locale -> one name for each class; the locale "" is that of the classes' own names.
        score_threshold: below which a client leaves a class out.
        score_calibration: of the output.
        files: names of the associated files; written ones are named by what they hold.

    Raises:
        ModelError: a text holds a control character, or the threshold is out of range.
    """

    name: str | None = None
    description: str | None = None
    version: str | None = None
    author: str | None = None
    license: str | None = None
    normalization: Normalization | None = None
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    score_threshold: float | None = None
    score_calibration: ScoreCalibration | None = None
    files: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in TEXTS:
            if odd := odd_characters(getattr(self, name) or ""):
                raise ModelError(f"metadata: the {name} holds the control character U+{ord(odd[0]):04X}: remove it")
        if self.score_threshold is not None and not abs(self.score_threshold) <= _FLOAT32:
            raise ModelError(f"metadata: score threshold {self.score_threshold}: must be a finite float32")

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The classes' own names, or else those of the first locale."""
        return self.labels.get("") or next(iter(self.labels.values()), None)

    def to_json(self) -> dict[str, Any]:
        """The fields, as the reports have them."""
        return asdict(self)


def calibration_lines(text: str) -> tuple[str, ...]:
    """The lines of a file of score calibration; a newline at the end begins one more, as MediaPipe counts."""
    return tuple(line.strip() for line in text.split("\n"))


def _is_sigmoid(line: str) -> bool:
    try:
        numbers = [float(part) for part in line.split(",")]
    except ValueError:
        return False
    return len(numbers) in (3, 4) and all(map(math.isfinite, numbers)) and numbers[0] >= 0
