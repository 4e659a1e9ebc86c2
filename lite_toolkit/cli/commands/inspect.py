"""`lite-toolkit inspect`."""

from pathlib import Path

import click

from lite_toolkit.cli.commands.options import ANY_PATH, Command, Delivery, reporting


@click.command(cls=Command)
@click.argument("model", type=ANY_PATH)
@reporting
def inspect(model: Path, delivery: Delivery) -> None:
    """Show what a .tflite MODEL holds: types, operators, sizes, float operators left."""
    from lite_toolkit.cli.tables import inspection as tables
    from lite_toolkit.tflite.inspection import inspect as look

    found = look(model)
    delivery.send(found.to_json(), lambda: tables.show_inspection(found))
