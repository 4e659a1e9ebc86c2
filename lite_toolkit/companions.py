"""Models that are shown the same images: whether they belong together, and how the images are preprocessed."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lite_toolkit.classification import EVERYTHING, Description
from lite_toolkit.errors import ModelError
from lite_toolkit.preprocessing import Sized


def together(models: Sequence[Path], sides: Sequence[Description], given: Sized | None = None) -> Description:
    """The first model's description, with the preprocessing that is right for all.

    Args:
        models: the files.
        sides: what there is to know of each.
        given: the user's preprocessing, for models without manifest; a manifest must tell the same.

    Raises:
        ModelError: input sizes or numbers of classes differ, or manifests or metadata tell different preprocessing.
    """
    for what, values in (
        ("input size", [side.image.size for side in sides]),
        ("number of classes", [side.classes for side in sides]),
    ):
        if values[0] != values[-1]:
            raise ModelError(
                f"{models[0]} has {what} {values[0]}, but {models[-1]} {values[-1]}: they must be the same"
            )
    told = list(zip(map(str, models), sides, strict=True))
    if given:
        chosen = replace(sides[0], preprocessing=given(sides[0].image.size), note=None, told=EVERYTHING)
        told = [("--preprocessing", chosen), *((name, side) for name, side in told if side.told == EVERYTHING)]
    # Of the one that tells most, the first: what others only assume does not count.
    source, chosen = max(told, key=lambda one: len(one[1].told))
    for name, side in told:
        for key in side.told:
            ours, theirs = (getattr(one.preprocessing, key) for one in (chosen, side))
            if not _equal(ours, theirs):
                raise ModelError(
                    f"the preprocessing must be one, but {key} is {ours!r} by {source}, {theirs!r} by {name}"
                )
    return replace(sides[0], preprocessing=chosen.preprocessing, note=chosen.note)


def _equal(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, tuple):  # mean or std, which metadata holds in float32
        return np.array_equal(np.asarray(ours, np.float32), np.asarray(theirs, np.float32))
    return bool(ours == theirs)
