"""Models that are shown the same images."""

from pathlib import Path

import pytest

from lite_toolkit.errors import ModelError
from lite_toolkit.images.preprocessing import PRESETS
from lite_toolkit.measurement.description import EVERYTHING, Description, together
from lite_toolkit.runtime import heads
from lite_toolkit.runtime.interpreter import TensorInfo

A, B = Path("a.tflite"), Path("b.tflite")
NORMALIZATION = ("mean", "std")


def side(preset: str, told: tuple[str, ...] = EVERYTHING, size: int = 64, classes: int = 10) -> Description:
    image = TensorInfo("image", (1, size, size, 3), "float32", 0.0, 0)
    note = None if told == EVERYTHING else f"uncertain {preset}"
    return Description(image, classes, heads.SINGLE_LABEL, PRESETS[preset](size), None, note, told, None)


@pytest.mark.parametrize(
    ("first", "second", "mean", "note"),
    [
        (side("lite"), side("lite"), 127.0, None),
        (side("lite"), side("inception", ()), 127.0, None),  # what is assumed gives way
        (side("lite", ()), side("inception"), 127.5, None),
        (side("lite", ()), side("inception", NORMALIZATION), 127.5, "uncertain inception"),
        (side("lite", ()), side("inception", ()), 127.0, "uncertain lite"),
        (side("lite"), side("lite", NORMALIZATION), 127.0, None),
    ],
)
def test_what_is_told_counts_for_both(first: Description, second: Description, mean: float, note: str | None) -> None:
    found = together([A, B], [first, second])
    assert (found.preprocessing.mean[0], found.note) == (mean, note)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (side("lite"), side("lite", size=96), r"a.tflite has input size \(64, 64\), but b.tflite \(96, 96\)"),
        (side("lite"), side("lite", classes=9), "a.tflite has number of classes 10, but b.tflite 9: they must be"),
        (side("lite"), side("inception"), "must be one, but .* is .* by a.tflite, .* by b.tflite"),
        (side("lite"), side("inception", NORMALIZATION), r"mean is \(127.0, .* by a.tflite, \(127.5, .* by b.tflite"),
        (side("lite", NORMALIZATION), side("inception"), r"mean is \(127.5, .* by b.tflite, \(127.0, .* by a.tflite"),
        (side("lite", NORMALIZATION), side("inception", NORMALIZATION), "mean is"),
    ],
)
def test_models_that_do_not_belong_together(first: Description, second: Description, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        together([A, B], [first, second])


def test_what_the_user_gives_counts_more_than_metadata_and_not_more_than_a_manifest() -> None:
    given = PRESETS["inception"]
    found = together([A, B], [side("lite", NORMALIZATION), side("lite", ())], given)
    assert (found.preprocessing, found.note) == (given(64), None)
    with pytest.raises(ModelError, match=r"by --preprocessing, .* by b.tflite"):
        together([A, B], [side("lite", NORMALIZATION), side("lite")], given)
