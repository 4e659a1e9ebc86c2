"""`lite-toolkit metadata`."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lite_toolkit.cli.commands.options import (
    ANY_PATH,
    FILE,
    Delivery,
    Group,
    Number,
    reporting,
    require_own_place,
    sized,
)
from lite_toolkit.documents import document

if TYPE_CHECKING:
    from lite_toolkit.tflite.metadata import Normalization

_FORCE = click.option("--force", is_flag=True, help="Replace files that exist, MODEL itself included.")
_OUTPUT = click.option("-o", "--output", type=FILE, help="The new model; without it, MODEL itself, with --force.")


def _channels(_context: click.Context, _option: click.Parameter, value: str | None) -> tuple[float, ...] | None:
    """One number, or three with commas."""
    try:
        numbers = tuple(map(float, value.split(","))) if value else None
    except ValueError:
        numbers = ()
    if numbers is not None and len(numbers) not in (1, 3):
        raise click.BadParameter(f"{value!r} is neither one number nor three with commas")
    return numbers


@click.group(cls=Group)
def metadata() -> None:
    """TFLite Model Metadata: labels and normalization in the .tflite itself, as MediaPipe reads them."""


@metadata.command()
@click.argument("model", type=ANY_PATH)
@reporting
def show(model: Path, delivery: Delivery) -> None:
    """Show what a .tflite MODEL says of itself, and where that contradicts the model or its manifest."""
    from lite_toolkit.cli.console import warn
    from lite_toolkit.cli.tables import metadata as tables
    from lite_toolkit.tflite.graph import read_graph
    from lite_toolkit.tflite.metadata import read
    from lite_toolkit.tflite.metadata.contradictions import contradictions

    graph = read_graph(model)
    found = read(graph)
    problems = contradictions(model, graph, found)
    report = tables.report(model.name, found, problems)
    delivery.send(document("metadata-show", report), lambda: tables.show(model.name, found))
    for problem in problems:
        warn(problem)


@metadata.command()
@click.argument("model", type=ANY_PATH)
@_OUTPUT
@click.option("--labels", metavar="FILE[:LOCALE]", multiple=True, help="Class names, one a line; repeat for locales.")
@click.option("--name", help="Of the model.")
@click.option("--description", help="Of the model.")
@click.option("--author", help="Of the model.")
@click.option("--version", help="Of the model.")
@click.option("--license", help="Of the model, such as Apache-2.0.")
@click.option("--mean", metavar="N|N,N,N", callback=_channels, help="Subtracted from pixels of 0 to 255; with --std.")
@click.option("--std", metavar="N|N,N,N", callback=_channels, help="Divides pixels after that; with --mean.")
@click.option("--preprocessing", metavar="NAME|FILE", help="Mean and std as for `convert`, in place of both.")
@click.option("--score-threshold", type=Number(), help="Clients leave out classes of lower scores.")
@click.option("--score-calibration", type=FILE, help="A line for each class: scale,slope,offset[,least score].")
@click.option(
    "--score-transformation",
    type=click.Choice(["identity", "log", "inverse-logistic"]),
    default="identity",
    show_default=True,
    help="Of scores, before they are calibrated.",
)
@_FORCE
def write(
    model: Path,
    output: Path | None,
    labels: tuple[str, ...],
    name: str | None,
    description: str | None,
    author: str | None,
    version: str | None,
    license: str | None,  # noqa: A002  # the option's name
    mean: tuple[float, ...] | None,
    std: tuple[float, ...] | None,
    preprocessing: str | None,
    score_threshold: float | None,
    score_calibration: Path | None,
    score_transformation: str,
    force: bool,
) -> None:
    """Write metadata into a .tflite MODEL; what is not given stays as it is."""
    from lite_toolkit.tflite.metadata import Metadata, ScoreCalibration, files

    target = output or model
    new = Metadata(
        name=name,
        description=description,
        version=version,
        author=author,
        license=license,
        normalization=_normalization(mean, std, preprocessing),
        labels=_labels(labels),
        score_threshold=score_threshold,
        score_calibration=ScoreCalibration.read(score_calibration, score_transformation) if score_calibration else None,
    )
    read = (*(_label_file(one)[0] for one in labels), Path(preprocessing or ""), score_calibration)
    require_own_place(target, read)
    files.write(model, target, new, force)
    click.echo(f"wrote {target}")


@metadata.command()
@click.argument("model", type=ANY_PATH)
@_OUTPUT
@_FORCE
def strip(model: Path, output: Path | None, force: bool) -> None:
    """Take metadata and associated files out of a .tflite MODEL."""
    from lite_toolkit.tflite.metadata import files

    files.strip(model, output or model, force)
    click.echo(f"wrote {output or model}")


@metadata.command()
@click.argument("model", type=ANY_PATH)
@click.option(
    "-o", "--output", type=click.Path(file_okay=False, path_type=Path), help="By default MODEL's name without suffix."
)
@_FORCE
def extract(model: Path, output: Path | None, force: bool) -> None:
    """Save the associated files of a .tflite MODEL, such as its labels, into a folder."""
    from lite_toolkit.tflite.metadata import files

    for file in files.extract(model, output or Path(model.stem), force):
        click.echo(f"wrote {file}")


def _labels(given: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    from lite_toolkit.labels import read

    found = {}
    for one in given:
        file, locale = _label_file(one)
        if locale in found:
            raise click.BadParameter(f"two files of locale {locale!r}: each needs its own", param_hint="--labels")
        found[locale] = read(file)
    return found


def _label_file(given: str) -> tuple[Path, str]:
    """The file and the locale of "FILE" or "FILE:LOCALE"."""
    from lite_toolkit.tflite.metadata.values import LOCALE

    match = None if Path(given).exists() else re.fullmatch(f"(.+):({LOCALE})", given)
    return (Path(match[1]), match[2]) if match else (Path(given), "")


def _normalization(
    mean: tuple[float, ...] | None, std: tuple[float, ...] | None, preprocessing: str | None
) -> "Normalization | None":
    from lite_toolkit.tflite.metadata import Normalization

    if (mean is None) != (std is None) or (mean and preprocessing):
        raise click.UsageError("pass --mean and --std together, or --preprocessing instead")
    if mean and std:
        return Normalization(mean, std)
    made = sized(preprocessing)
    if made is None:
        return None
    spec = made(224)  # its size has no part in mean and std
    return Normalization.shortest(spec.mean, spec.std)
