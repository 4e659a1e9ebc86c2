"""Quantization recipes: small TOML files that say how a `.tflite` is made; `calibration/README.md` decodes them."""

import re
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from lite_toolkit import shipped
from lite_toolkit.errors import RecipeError

Format = Literal["float32", "float16", "dynamic", "int8", "int16x8"]
Granularity = Literal["channel", "tensor"]
Rounding = Literal["nearest", "gptq"]
Correction = Literal["inputs", "slope", "bias"]
Criterion = Literal["minmax", "percentile", "mse", "kl"]
Activation = Literal["softmax", "none"]
InputOutput = Literal["uint8", "int8", "int16", "float32"]

FORMATS: tuple[Format, ...] = get_args(Format)
# The formats that are calibrated, and the types that their input and output may have, the default first.
IO_TYPES: dict[Format, tuple[InputOutput, ...]] = {
    "int8": ("uint8", "int8", "float32"),
    "int16x8": ("int16", "float32"),
}


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
    """

    name: str
    format: Format
    granularity: Granularity = "channel"
    rounding: Rounding = "nearest"
    damping: float = 0.05
    corrections: tuple[Correction, ...] = ()
    ranges: Criterion = "minmax"
    synthetic_ranges: Criterion = "minmax"
    in_float: tuple[str, ...] = ()
    activation: Activation = "softmax"
    samples: int = 128
    seed: int = 0

    @property
    def calibrated(self) -> bool:
        """Whether ranges of activations must be observed."""
        return self.format in IO_TYPES

    @property
    def on_synthetic(self) -> "Recipe":
        """The recipe as the built-in synthetic set needs it."""
        return replace(self, ranges=self.synthetic_ranges)

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
    return _parse(path.stem, shipped.read_toml(path, RecipeError), str(path))


def default(form: Format) -> Recipe:
    """What a format is made by unless told otherwise: the recipe of its name; float32 needs none."""
    return Recipe("float32", "float32") if form == "float32" else load(form)


def names() -> list[str]:
    """The names of the recipes that come with the toolkit."""
    return sorted(path.stem for path in shipped.folder("calibration").glob("*.toml"))


def _parse(name: str, table: dict[str, Any], title: str) -> Recipe:
    keys = [field.name for field in fields(Recipe) if field.name != "name"]
    for key in table:
        if key not in keys:
            raise RecipeError(f"{title}: unknown key {key!r}: choose from {', '.join(keys)}")
    if "format" not in table:
        raise RecipeError(f"{title}: 'format' is missing: set one of {', '.join(FORMATS)}")
    fields_of: dict[str, Any] = {key: _checked(title, key, value) for key, value in table.items()}
    recipe = Recipe(name=name, **fields_of)
    if recipe.granularity == "tensor" and "slope" in recipe.corrections:
        raise RecipeError(
            f"{title}: corrections 'slope' needs granularity 'channel': it is made by each channel's scale"
        )
    return recipe


def _checked(title: str, key: str, value: object) -> object:
    """The value as the field's type has it."""
    expected = get_type_hints(Recipe)[key]
    if get_origin(expected) is tuple:
        if not isinstance(value, list):
            raise RecipeError(f"{title}: {key} {value!r}: must be a list")
        choices = get_args(get_args(expected)[0])
        return tuple(_choice(title, key, item, choices) if choices else _pattern(title, key, item) for item in value)
    if choices := get_args(expected):
        return _choice(title, key, value, choices)
    low, high = _LIMITS[key]
    # bool is an int to Python, and a whole number is a float to TOML's writers.
    if type(value) not in (int, expected) or not low <= float(str(value)) <= high:
        kind = "whole number" if expected is int else "number"
        raise RecipeError(f"{title}: {key} {value!r}: must be a {kind} from {low} to {high}")
    return expected(value)


def _choice(title: str, key: str, value: object, choices: tuple[str, ...]) -> object:
    if value not in choices:
        raise RecipeError(f"{title}: {key} {value!r}: choose from {', '.join(choices)}")
    return value


def _pattern(title: str, key: str, value: object) -> str:
    try:
        re.compile(str(value))
    except re.error as error:
        raise RecipeError(f"{title}: {key} {value!r}: no regular expression, {error}") from error
    return str(value)


_LIMITS: dict[str, tuple[float, float]] = {"samples": (1, 1_000_000), "seed": (0, 2**31 - 1), "damping": (0.0, 10.0)}
