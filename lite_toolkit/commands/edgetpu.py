"""`lite-toolkit edgetpu`."""

from pathlib import Path

import click

from lite_toolkit.commands.options import ANY_PATH, Delivery, reporting
from lite_toolkit.errors import GateError
from lite_toolkit.report import document


@click.group()
def edgetpu() -> None:
    """The Coral Edge TPU: what its compiler will make of a model, and running the compiler."""


@edgetpu.command()
@click.argument("model", type=ANY_PATH)
@click.option("--require-full", is_flag=True, help="Exit code 3 where an operator stays on the CPU.")
@reporting
def check(model: Path, require_full: bool, delivery: Delivery) -> None:
    """Forecast what the Edge TPU compiler makes of a .tflite MODEL, or show what it made of it."""
    from lite_toolkit.edgetpu import forecast
    from lite_toolkit.tables import edgetpu as tables

    found = forecast.check(model)
    report = tables.check(found)
    delivery.send(document("edgetpu-check", report), lambda: tables.show_check(found))
    if require_full and (report["on_cpu"] or report.get("refusals")):
        raise GateError(f"{model.name}: {', '.join(report.get('refusals', ())) or _left(report['on_cpu'])}")


def _left(count: int) -> str:
    return f"{count} {'operator stays' if count == 1 else 'operators stay'} on the CPU"
