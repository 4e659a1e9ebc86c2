"""`lite-toolkit compare`."""

import math
from pathlib import Path

import click

from lite_toolkit.cli.commands.options import FILE, Command, Delivery, Number, reporting
from lite_toolkit.documents import document
from lite_toolkit.errors import GateError


def _percent(_context: click.Context, _option: click.Parameter, value: str | None) -> float | None:
    """A number from 0, with or without "%"."""
    if value is None:
        return None
    try:
        number = float(value.removesuffix("%"))
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise click.BadParameter(f"{value!r}: must be a percentage from 0, such as 5 or 5%")
    return number


@click.command(cls=Command)
@click.argument("a", type=FILE)
@click.argument("b", type=FILE)
@click.option(
    "--max-latency-regression",
    metavar="PERCENT",
    callback=_percent,
    help="Exit code 3 where a median latency of B is higher by more, and its interval excludes no change.",
)
@click.option(
    "--max-drop",
    metavar="POINTS",
    type=Number(0, 100),
    help="Exit code 3 where top-1, agreement with float32 or mean average precision of B is lower by more.",
)
@click.option("--across-hosts", is_flag=True, help="Compare latencies of different machines too.")
@reporting
def compare(
    a: Path,
    b: Path,
    max_latency_regression: float | None,
    max_drop: float | None,
    across_hosts: bool,
    delivery: Delivery,
) -> None:
    """Show what changed from report A to report B, both of `benchmark`, `evaluate` or `validate`, or manifests."""
    from lite_toolkit.cli.tables import comparison as tables
    from lite_toolkit.reports import comparison

    found = comparison.compare(a, b, across_hosts=across_hosts)
    missed: list[str] = []
    if max_latency_regression is not None:
        missed += comparison.latency_regressions(found, max_latency_regression)
    if max_drop is not None:
        missed += comparison.drops(found, max_drop)
    delivery.send(document("compare", tables.comparison(found, missed)), lambda: tables.show(found))
    if missed:
        raise GateError("; ".join(missed))
