"""`lite-toolkit classify`."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from lite_toolkit.cli.console import print_table
from lite_toolkit.measurement.classification import Prediction


def predictions(found: Sequence[Prediction]) -> list[dict[str, Any]]:
    """The report of `lite-toolkit classify`."""
    return [asdict(prediction) | {"image": str(prediction.image)} for prediction in found]


def show_predictions(found: Sequence[Prediction]) -> None:
    """One line for each class of each image."""
    rows = [
        (str(prediction.image) if rank == 0 else "", str(score.index), score.label or "", f"{score.score:.4f}")
        for prediction in found
        for rank, score in enumerate(prediction.top)
    ]
    if rows:
        print_table("", ("image", ">class", "label", ">score"), rows)
