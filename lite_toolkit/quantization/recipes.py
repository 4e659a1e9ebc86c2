"""Quantization recipes: small TOML files that say how a `.tflite` is made; `calibration/README.md` decodes them."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal, get_args

from lite_toolkit import shipped
from lite_toolkit.decoding import between, decode
from lite_toolkit.errors import RecipeError, UsageError

Format = Literal["float32", "float16", "dynamic", "int8", "int16x8"]
Granularity = Literal["channel", "tensor"]
Rounding = Literal["nearest", "gptq"]
Correction = Literal["inputs", "slope", "bias"]
Criterion = Literal["minmax", "mse"]
Activation = Literal["softmax", "none"]
InputOutput = Literal["uint8", "int8", "int16", "float32"]

FORMATS: tuple[Format, ...] = get_args(Format)
# The formats that are calibrated, and the types that their input and output may have, the default first.
IO_TYPES: dict[Format, tuple[InputOutput, ...]] = {
    "int8": ("uint8", "int8", "float32"),
    "int16x8": ("int16", "float32"),
}


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"no regular expression, {error}") from error
    return text


@dataclass(frozen=True)
class Recipe:
    """How to make one file.

    Attributes:
        name: of the file, without suffix.
        format: of weights and activations.
        granularity: one weight scale for each output channel, or one for each tensor, as old delegates need.
        rounding: of weights, to the nearest step or by GPTQ.
        damping: of GPTQ, as a part of the mean diagonal of its Hessian.
        corrections: towards the float network; "inputs" fits weights to their quantized inputs, "slope" mends each
            channel by its scale, and "bias" by its bias.
        ranges: the criterion for ranges of activations, see `quantization.ranges.search`.
        synthetic_ranges: the same on the built-in synthetic set, whose activations in late layers do not reach as far
            as those of photographs, so that nothing should be clipped.
        in_float: regular expressions; layers of which one matches the whole name, or the whole name of the operator
            such as "LOGISTIC", stay in float.
        activation: of the output, for networks that the toolkit builds: "softmax", or "none" for logits.
        samples: calibration images used at most.
        seed: of the choice among more images, and of the synthetic set.

    Raises:
        RecipeError: a correction that the granularity does not allow.
    """

    name: str
    format: Format
    granularity: Granularity = "channel"
    rounding: Rounding = "nearest"
    damping: Annotated[float, between(0, 10)] = 0.05
    corrections: tuple[Correction, ...] = ()
    ranges: Criterion = "minmax"
    synthetic_ranges: Criterion = "minmax"
    in_float: tuple[Annotated[str, _pattern], ...] = ()
    activation: Activation = "softmax"
    samples: Annotated[int, between(1, 1_000_000)] = 128
    seed: Annotated[int, between(0, 2**31 - 1)] = 0

    def __post_init__(self) -> None:
        if self.granularity == "tensor" and "slope" in self.corrections:
            raise RecipeError("corrections 'slope' needs granularity 'channel': it is made by each channel's scale")

    @property
    def calibrated(self) -> bool:
        """Whether ranges of activations must be observed."""
        return self.format in IO_TYPES

    @property
    def on_synthetic(self) -> "Recipe":
        """The recipe as the built-in synthetic set needs it."""
        return replace(self, ranges=self.synthetic_ranges)

    @property
    def classic(self) -> "Recipe":
        """The recipe without any choice of weights or ranges."""
        return replace(self, name=f"{self.name}-minmax", rounding="nearest", corrections=(), ranges="minmax")

    @property
    def walks(self) -> bool:
        """Whether layers must be chosen one by one; otherwise the range that each activation takes is enough."""
        return self.calibrated and (self.rounding, self.corrections, self.ranges) != ("nearest", (), "minmax")


def load(name_or_path: str) -> Recipe:
    """The recipe of that name in `calibration/`, or the one in that `.toml` file.

    Raises:
        RecipeError: no such recipe, or an unknown key or value in it.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        known = names()
        if name_or_path not in known:
            raise RecipeError(f"unknown recipe {name_or_path!r}: choose one of {', '.join(known)}, or a .toml file")
        path = shipped.folder("calibration") / f"{name_or_path}.toml"
    return decode(Recipe, shipped.read_toml(path, RecipeError), str(path), RecipeError, name=path.stem)


def default(form: Format) -> Recipe:
    """What a format is made by unless told otherwise: the recipe of its name; float32 needs none."""
    return Recipe("float32", "float32") if form == "float32" else load(form)


def choose(formats: tuple[Format, ...], name_or_path: str | None, samples: int | None) -> tuple[Recipe, ...]:
    """One recipe for each format: the named one for its own format, or for all where none is asked for, the default's
    for the others; each with that number of samples, unless None.

    Raises:
        UsageError: the named recipe makes none of the formats.
        RecipeError: as `load`.
    """
    named = load(name_or_path) if name_or_path else None
    if named and formats and named.format not in formats:
        raise UsageError(f"recipe {name_or_path} makes {named.format}: pass --{named.format}, or leave the format out")
    formats = formats or ((named.format,) if named else ())
    chosen = [named if named and named.format == form else default(form) for form in formats]
    return tuple(replace(recipe, samples=samples or recipe.samples) for recipe in chosen)


def names() -> list[str]:
    """The names of the recipes that come with the toolkit."""
    return sorted(path.stem for path in shipped.folder("calibration").glob("*.toml"))
