"""Quantization recipes: small TOML files that say how a `.tflite` is made; `calibration/README.md` decodes them."""

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

from lite_toolkit import data
from lite_toolkit.errors import RecipeError

Format = Literal["float32", "float16", "dynamic", "int8", "int16x8"]
Granularity = Literal["channel", "tensor"]
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
        samples: calibration images used at most.
        seed: of the choice among more images, and of the synthetic set.
    """

    name: str
    format: Format
    granularity: Granularity = "channel"
    samples: int = 128
    seed: int = 0

    @property
    def calibrated(self) -> bool:
        """Whether ranges of activations must be observed."""
        return self.format in IO_TYPES


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
        path = data.folder("calibration") / f"{name_or_path}.toml"
    return _parse(path.stem, _read(path), str(path))


def default(form: Format) -> Recipe:
    """What a format is made by unless told otherwise: the recipe of its name; float32 needs none."""
    return Recipe("float32", "float32") if form == "float32" else load(form)


def names() -> list[str]:
    """The names of the recipes that come with the toolkit."""
    return sorted(path.stem for path in data.folder("calibration").glob("*.toml"))


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is not a TOML file: {error}") from error


def _parse(name: str, table: dict[str, Any], title: str) -> Recipe:
    keys = [field.name for field in fields(Recipe) if field.name != "name"]
    for key in table:
        if key not in keys:
            raise RecipeError(f"{title}: unknown key {key!r}: choose from {', '.join(keys)}")
    if "format" not in table:
        raise RecipeError(f"{title}: 'format' is missing: set one of {', '.join(FORMATS)}")
    for key, value in table.items():
        _check(title, key, value)
    return Recipe(name=name, **table)


def _check(title: str, key: str, value: object) -> None:
    expected = get_type_hints(Recipe)[key]
    if choices := get_args(expected):
        if value not in choices:
            raise RecipeError(f"{title}: {key} {value!r}: choose from {', '.join(choices)}")
    elif type(value) is not int or value < _MINIMUM[key]:
        raise RecipeError(f"{title}: {key} {value!r}: must be a whole number of at least {_MINIMUM[key]}")


_MINIMUM = {"samples": 1, "seed": 0}
