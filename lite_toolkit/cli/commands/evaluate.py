"""`lite-toolkit evaluate`."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lite_toolkit.cli.commands.options import (
    ANY_PATH,
    FILE,
    Command,
    Delivery,
    Number,
    delegate_on,
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
    from lite_toolkit.devices.jobs import Run
    from lite_toolkit.devices.profiles import Profile
    from lite_toolkit.measurement.evaluation import Evaluation, Request
    from lite_toolkit.progress import Steps


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
    "--max-drop",
    metavar="POINTS",
    type=Number(0, 100),
    help="Exit code 3 where top-1 is lower than the reference's by more.",
)
@delegation
@on_devices
@reporting
def evaluate(
    labels: Path | None,
    reference: Path | None,
    resume: Path | None,
    preprocessing: str | None,
    min_top1: float | None,
    max_drop: float | None,
    device: tuple[str, ...],
    delivery: Delivery,
    **options: Any,
) -> None:
    """Show how accurate a .tflite MODEL is on images whose classes are known."""
    if max_drop is not None and reference is None:
        raise click.UsageError("--max-drop is the drop from a --reference: pass that too")
    if resume and len(device) > 1:
        raise click.UsageError("--resume goes on with what one --device did")
    from lite_toolkit.cli.tables import evaluation as tables
    from lite_toolkit.labels import read as read_labels
    from lite_toolkit.measurement import evaluation
    from lite_toolkit.reports.evaluation import Evaluation, Evaluations

    request = evaluation.Request(
        reference=reference,
        labels=read_labels(labels) if labels else None,
        preprocessing=sized(preprocessing),
        resume=resume,
        **options,
    )
    outcomes = _evaluate(request, device)
    report = outcomes.report(Evaluation.of, Evaluations)
    delivery.send(report.to_json(), lambda: tables.show(report, request))
    outcomes.complain()
    for name, found in outcomes.found.items():
        _check_gates(f" on {name}" if outcomes.several else "", found, min_top1, max_drop)


def _evaluate(request: "Request", names: tuple[str, ...]) -> "Outcomes[Evaluation]":
    from lite_toolkit.cli.console import warn
    from lite_toolkit.devices import profiles
    from lite_toolkit.measurement import evaluation

    def work(device: "Profile", run: "Run", steps: "Steps") -> "Evaluation":
        if device.host is None:
            return evaluation.evaluate(requests[device.name], steps)
        return evaluation.evaluate(replace(requests[device.name], device=device.name), steps, run)

    chosen = profiles.load_all(names)
    requests = {device.name: _checked(_profiled(request, device)) for device in chosen}
    outcomes = run_on(chosen, work)
    for name, found in outcomes.found.items():
        for message in (*found.notes, *(f"cannot read {unreadable}" for unreadable in found.unreadable)):
            warn(f"{outcomes.title(name)}{message}")
    return outcomes


def _profiled(request: "Request", device: "Profile") -> "Request":
    return replace(request, **delegate_on(device, request.delegate, request.delegate_options))


def _checked(request: "Request") -> "Request":
    from lite_toolkit.runtime.delegates import is_edgetpu

    if is_edgetpu(request.delegate) and (request.workers or 1) > 1:
        raise click.UsageError(f"--workers {request.workers}: an Edge TPU serves one process at a time")
    return request


def _check_gates(on: str, found: "Evaluation", min_top1: float | None, max_drop: float | None) -> None:
    top1 = found.results[0].top[1].percent
    if min_top1 is not None and top1 < min_top1:
        raise GateError(f"top-1{on} is {top1:.2f}%, less than {min_top1:g}%")
    if max_drop is not None and found.pairing and -found.pairing.change_points > max_drop:
        raise GateError(f"top-1{on} drops by {-found.pairing.change_points:.2f} points, more than {max_drop:g}")
