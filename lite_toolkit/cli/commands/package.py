"""`lite-toolkit package`."""

from pathlib import Path

import click

from lite_toolkit.bundle.targets import TARGETS
from lite_toolkit.cli.commands.options import ANY_PATH, Command, Delivery, sized


@click.command(cls=Command)
@click.argument("model", type=ANY_PATH)
@click.option(
    "--target",
    "targets",
    type=click.Choice(list(TARGETS)),
    multiple=True,
    required=True,
    help="Platform to write code for; repeat it for several.",
)
@click.option("-o", "--output", metavar="DIR", type=ANY_PATH, required=True, help="Folder to make.")
@click.option(
    "--data",
    metavar="DIR",
    type=ANY_PATH,
    help="Photographs on which clients' resizing is compared; by default built-in synthetic images.",
)
@click.option("--preprocessing", metavar="NAME|FILE", help="As for `convert`; by default the manifest's.")
@click.option("--json", "as_json", is_flag=True, help="Print bundle.json.")
@click.option("--force", is_flag=True, help="Replace a bundle that exists.")
def package(
    model: Path,
    targets: tuple[str, ...],
    output: Path,
    data: Path | None,
    preprocessing: str | None,
    as_json: bool,
    force: bool,
) -> None:
    """Make a folder of a .tflite MODEL, code that runs it in an app, and what proves that it runs right there."""
    from lite_toolkit.bundle import packing
    from lite_toolkit.cli.console import ShownSteps, warn
    from lite_toolkit.cli.tables import bundle as tables

    request = packing.Request(model, tuple(dict.fromkeys(targets)), output, data, sized(preprocessing), force)
    found = packing.package(request, ShownSteps())
    for note in found.notes:
        warn(note)
    Delivery(as_json, None, force).send(found.described, lambda: tables.show_package(found, output))
