"""`lite-toolkit variants` and `describe`."""

from pathlib import Path

import click

from lite_toolkit.cli.commands.options import FILE, INPUT_SIZE, Command, Delivery, reporting
from lite_toolkit.documents import document
from lite_toolkit.networks import names


@click.command(cls=Command)
@reporting
def variants(delivery: Delivery) -> None:
    """List the variants: size, cost, published accuracy and latency, source of the weights."""
    from lite_toolkit.cli.tables import networks as tables

    rows = tables.variant_rows()
    delivery.send(document("variants", {"variants": rows}), lambda: tables.show_variants(rows))


@click.command(cls=Command)
@click.argument("variant")
@click.option(
    "--classes", type=click.IntRange(min=1), default=1000, show_default=True, help="Outputs of the classifier."
)
@click.option("--no-top", is_flag=True, help="Leave the classifier out.")
@click.option("--input-size", type=INPUT_SIZE, help="Side of the square input, pixels.")
@click.option("--diagram", type=FILE, help="Draw the network: FILE.svg or FILE.png.")
@reporting
def describe(
    variant: str,
    classes: int,
    no_top: bool,
    input_size: int | None,
    diagram: Path | None,
    delivery: Delivery,
) -> None:
    """Show one VARIANT stage by stage, and draw it."""
    from lite_toolkit.cli.tables import networks as tables

    spec = names.variant(variant)
    if diagram:
        from lite_toolkit.drawings import pictures

        pictures.require(diagram, delivery.force)
    content = tables.description(spec, None if no_top else classes, input_size)
    delivery.send(document("describe", content), lambda: tables.show_description(content))
    if diagram:
        from lite_toolkit.drawings.network import draw

        draw(spec, diagram, input_size, delivery.force)
