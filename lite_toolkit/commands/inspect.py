"""`lite-toolkit inspect`."""

from pathlib import Path

import click

from lite_toolkit.commands.options import ANY_PATH, Delivery, reporting


@click.command()
@click.argument("model", type=ANY_PATH)
@reporting
def inspect(model: Path, delivery: Delivery) -> None:
    """Show what a .tflite MODEL holds: types, operators, sizes, float operators left."""
    from lite_toolkit.inspection import inspect as look
    from lite_toolkit.tables import inspection as tables

    found = look(model)
    delivery.send(found.to_json(), lambda: tables.show_inspection(found))
