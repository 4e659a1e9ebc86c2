"""`lite-toolkit validate`."""

from pathlib import Path

import click

from lite_toolkit.cli.commands.options import ANY_PATH, FILE, Command, Delivery, Number, reporting, sized
from lite_toolkit.errors import GateError


@click.command(cls=Command)
@click.argument("float", type=ANY_PATH)
@click.argument("quantized", type=ANY_PATH)
@click.option(
    "--data",
    type=ANY_PATH,
    required=True,
    help="Folder of images (searched recursively), .npy or .npz.",
)
@click.option("--samples", type=click.IntRange(min=1), help="Images used at most; by default all.")
@click.option("--preprocessing", metavar="NAME|FILE", help="As for `convert`; by default the manifest's.")
@click.option("--plot", type=FILE, help="Draw the errors along the graph: FILE.svg or FILE.png.")
@click.option(
    "--min-agreement",
    metavar="PERCENT",
    type=Number(0, 100),
    help="Exit code 3 where fewer images have the same top-1, or the same labels.",
)
@reporting
def validate(
    float: Path,  # noqa: A002  # people read FLOAT
    quantized: Path,
    data: Path,
    samples: int | None,
    preprocessing: str | None,
    plot: Path | None,
    min_agreement: float | None,
    delivery: Delivery,
) -> None:
    """Show what the .tflite model QUANTIZED lost of FLOAT, the one it was made from, and where."""
    from lite_toolkit.cli.console import ShownSteps, warn
    from lite_toolkit.cli.tables import validation as tables
    from lite_toolkit.drawings import layers, pictures
    from lite_toolkit.measurement import validation

    if plot:
        pictures.require(plot, delivery.force)
    chosen = sized(preprocessing)
    report = validation.validate(float, quantized, data, preprocessing=chosen, samples=samples, steps=ShownSteps())
    told = filter(None, (report.note, report.comparison.doubt))
    for message in (*told, *(f"skipped {one}" for one in report.skipped_images)):
        warn(message)
    delivery.send(report.to_json(), lambda: tables.show(report, float, quantized))
    if plot:
        layers.draw(report, plot, delivery.force)
    agreement = report.comparison.agreement_percent
    if min_agreement is not None and agreement < min_agreement:
        measure = report.comparison.measure
        raise GateError(f"{agreement:.2f}% of the images have the {measure}, less than {min_agreement:g}%")
