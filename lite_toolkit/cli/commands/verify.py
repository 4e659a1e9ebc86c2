"""`lite-toolkit verify`."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lite_toolkit.cli.commands.options import (
    ANY_PATH,
    Command,
    Delivery,
    delegation,
    on_devices,
    reporting,
)
from lite_toolkit.cli.on_devices import run_on
from lite_toolkit.documents import document
from lite_toolkit.errors import GateError
from lite_toolkit.runtime import processors

if TYPE_CHECKING:
    from lite_toolkit.bundle.parity import Parity


@click.command(cls=Command)
@click.argument("bundle", type=ANY_PATH)
@click.option(
    "--threads", type=click.IntRange(1, processors.MAXIMUM), help="Of the kernels; by default the device's, or 1."
)
@delegation
@on_devices
@reporting
def verify(
    bundle: Path,
    threads: int | None,
    delegate: str | None,
    delegate_options: Mapping[str, str],
    device: tuple[str, ...],
    delivery: Delivery,
) -> None:
    """Check the files of a BUNDLE, and whether this machine, or each --device, computes its golden vectors."""
    from lite_toolkit.bundle import contents, parity
    from lite_toolkit.cli.tables import bundle as tables
    from lite_toolkit.devices import profiles
    from lite_toolkit.reports.verification import Verification, Verifications, integrity

    if delivery.file and bundle.resolve() in delivery.file.resolve().parents:
        raise click.UsageError(f"-o {delivery.file} lies in the bundle: save the report elsewhere")
    chosen, found = profiles.load_all(device), contents.read(bundle)
    damaged = contents.damaged(found)
    if damaged:
        delivery.send(document("verify", integrity(found, damaged)), lambda: tables.show_integrity(damaged))
    contents.require_intact(found)
    request = parity.Request(found, threads, delegate, delegate_options)
    outcomes = run_on([replace(request, device=one) for one in chosen], parity.compare)
    report = outcomes.report(lambda name, one: Verification(name, found, one), Verifications)
    delivery.send(report.to_json(), lambda: tables.show_parity(outcomes.found, found))
    outcomes.complain()
    _require_parity(outcomes.found)


def _require_parity(found: Mapping[str, "Parity"]) -> None:
    told = [
        f"{name} at {', '.join(f'{stage.name} by {stage.largest_steps:.3g} steps' for stage in one.broken)}"
        for name, one in found.items()
        if one.broken
    ]
    if told:
        raise GateError(f"golden vectors are off on {'; '.join(told)}")
