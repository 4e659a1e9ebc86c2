"""`lite-toolkit evaluate`."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lite_toolkit.cli.commands.options import (
    ANY_PATH,
    FILE,
    Command,
    Delivery,
    Number,
    delegation,
    on_devices,
    reporting,
    sized,
)
from lite_toolkit.cli.on_devices import run_on
from lite_toolkit.errors import GateError
from lite_toolkit.runtime import processors

if TYPE_CHECKING:
    from lite_toolkit.cli.on_devices import Outcomes
    from lite_toolkit.measurement.evaluation import Evaluation


def _whole_numbers(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> tuple[int, ...]:
    parts = [part.strip() for value in values for part in value.split(",")]
    for part in parts:
        if not (part.isdecimal() and len(part) < 9 and int(part) > 0):
            raise click.BadParameter(f"{part!r} is not a whole number of 1 or more, or several with commas")
    return tuple(map(int, parts))


@click.command(cls=Command)
@click.argument("model", type=ANY_PATH)
@click.option("--data", metavar="DIR", type=ANY_PATH, required=True, help="Folder of images (searched recursively).")
@click.option(
    "--labels-csv", "table", type=FILE, help="Images and their classes; by default labels.csv in the folder, or names."
)
@click.option("--class-index", type=FILE, help="The data set's classes: index and wnid of each (TSV, CSV, JSON, list).")
@click.option("--labels", type=FILE, help="Class names, one a line; by default the manifest's.")
@click.option("--reference", type=FILE, help="Model to compare with, such as the float one.")
@click.option("--top", metavar="K", multiple=True, callback=_whole_numbers, help="Count the best K too; by default 5.")
@click.option(
    "--workers", type=click.IntRange(1, processors.MAXIMUM), help="Processes; by default one for each processor."
)
@click.option("--resume", type=FILE, help="Note what is done in this file, and go on from there.")
@click.option("--preprocessing", metavar="NAME|FILE", help="As for `convert`, of a model without manifest.")
@click.option(
    "--min-top1",
    metavar="PERCENT",
    type=Number(0, 100),
    help="Exit code 3 where top-1 is lower.",
)
@click.option(
    "--min-map",
    metavar="PERCENT",
    type=Number(0, 100),
    help="Exit code 3 where the mean average precision of a multi-label model is lower.",
)
@click.option(
    "--max-drop",
    metavar="POINTS",
    type=Number(0, 100),
    help="Exit code 3 where top-1, or mean average precision, is lower than the reference's by more.",
)
@delegation
@on_devices
@reporting
def evaluate(
    *,
    model: Path,
    data: Path,
    table: Path | None,
    class_index: Path | None,
    labels: Path | None,
    reference: Path | None,
    top: tuple[int, ...],
    workers: int | None,
    resume: Path | None,
    preprocessing: str | None,
    min_top1: float | None,
    min_map: float | None,
    max_drop: float | None,
    delegate: str | None,
    delegate_options: Mapping[str, str],
    device: tuple[str, ...],
    delivery: Delivery,
) -> None:
    """Show how accurate a .tflite MODEL is on images whose classes are known."""
    if resume and len(device) > 1:
        raise click.UsageError("--resume goes on with what one --device did")
    from lite_toolkit.devices import jobs

    if not device:
        click.get_current_context().with_resource(jobs.ahead())
    from lite_toolkit.cli.tables import evaluation as tables
    from lite_toolkit.devices import profiles
    from lite_toolkit.labels import read as read_labels
    from lite_toolkit.measurement import evaluation
    from lite_toolkit.reports.evaluation import Evaluation, Evaluations

    request = evaluation.Request(
        model=model,
        data=data,
        reference=reference,
        table=table,
        class_index=class_index,
        labels=read_labels(labels) if labels else None,
        preprocessing=sized(preprocessing),
        top=top,
        workers=workers,
        delegate=delegate,
        delegate_options=delegate_options,
        resume=resume,
        min_top1=min_top1,
        min_map=min_map,
        max_drop=max_drop,
    )
    outcomes = run_on([replace(request, device=one) for one in profiles.load_all(device)], evaluation.evaluate)
    _warn(outcomes)
    report = outcomes.report(Evaluation.of, Evaluations)
    delivery.send(report.to_json(), lambda: tables.show(report, request))
    outcomes.complain()
    for name, found in outcomes.found.items():
        if found.missed:
            raise GateError(f"{outcomes.title(name)}{found.missed}")


def _warn(outcomes: "Outcomes[Evaluation]") -> None:
    from lite_toolkit.cli.console import warn

    for name, found in outcomes.found.items():
        for message in (*found.notes, *(f"cannot read {unreadable}" for unreadable in found.unreadable)):
            warn(f"{outcomes.title(name)}{message}")
