"""`lite-toolkit benchmark`."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lite_toolkit.cli.commands.options import (
    ANY_PATH,
    FILE,
    Command,
    Delivery,
    Number,
    delegation,
    on_devices,
    reporting,
    sized,
)
from lite_toolkit.cli.on_devices import run_on
from lite_toolkit.runtime import processors

if TYPE_CHECKING:
    from lite_toolkit.cli.on_devices import Outcomes
    from lite_toolkit.measurement.latency import Benchmark


def _threads(_context: click.Context, _option: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    """Numbers separated by commas, each once."""
    if value is None:
        return None
    parts = [part.strip() for part in value.split(",")]
    if not all(part.isdecimal() and 1 <= int(part) <= processors.MAXIMUM for part in parts):
        raise click.BadParameter(f"{value!r}: must be numbers from 1 to {processors.MAXIMUM}, separated by commas")
    return tuple(dict.fromkeys(map(int, parts)))


@click.command(cls=Command)
@click.argument("models", type=ANY_PATH, nargs=-1, required=True)
@click.option(
    "--threads", metavar="N[,N...]", callback=_threads, help="Measured in turn; by default the device's, or 1."
)
@click.option("--runs", type=click.IntRange(1, 10**6), default=50, show_default=True, help="Inferences, at least.")
@click.option("--seconds", type=Number(0, 3600), default=1.0, show_default=True, help="Their time, at least.")
@click.option("--max-seconds", type=Number(0.1, 86400), default=150.0, show_default=True, help="Their time, at most.")
@delegation
@click.option("--require-full-delegation", is_flag=True, help="Fail where the delegate does not take every node.")
@click.option(
    "--preprocess", "image", metavar="IMAGE", type=FILE, help="Also measure the way from this file to scores."
)
@click.option(
    "--preprocessing", metavar="NAME|FILE", help="Of that image, as for `convert`; by default the manifest's."
)
@click.option("--profile", is_flag=True, help="Also measure each operator, as a model of its own.")
@click.option(
    "--sustained",
    metavar="MINUTES",
    type=Number(0, 1440, min_open=True),
    help="Run on for so long, with frequency, temperature and throttling every second.",
)
@click.option("--plot", type=FILE, help="Draw the latencies: FILE.svg or FILE.png.")
@on_devices
@reporting
def benchmark(
    *,
    models: tuple[Path, ...],
    threads: tuple[int, ...] | None,
    runs: int,
    seconds: float,
    max_seconds: float,
    delegate: str | None,
    delegate_options: Mapping[str, str],
    require_full_delegation: bool,
    image: Path | None,
    preprocessing: str | None,
    profile: bool,
    sustained: float | None,
    plot: Path | None,
    device: tuple[str, ...],
    delivery: Delivery,
) -> None:
    """Measure the latency of .tflite MODELS, each with each number of threads in a process of its own."""
    from lite_toolkit.cli.tables import benchmark as tables
    from lite_toolkit.devices import profiles
    from lite_toolkit.drawings import latency, pictures
    from lite_toolkit.measurement import benchmark as measuring
    from lite_toolkit.measurement.latency import Benchmark, Benchmarks

    if plot and len(device) > 1:
        raise click.UsageError("--plot draws the latencies of one --device")
    if plot:
        pictures.require(plot, delivery.force)
    request = measuring.Request(
        models=models,
        threads=threads,
        delegate=delegate,
        delegate_options=delegate_options,
        require_full_delegation=require_full_delegation,
        runs=runs,
        seconds=seconds,
        max_seconds=max_seconds,
        sustained_minutes=sustained or 0.0,
        image=image,
        preprocessing=sized(preprocessing),
        profile=profile,
    )
    outcomes = run_on([replace(request, device=one) for one in profiles.load_all(device)], measuring.benchmark)
    report = outcomes.report(lambda _, found: found, Benchmarks)
    delivery.send(report.to_json(), lambda: tables.show(report))
    _warn(outcomes)
    outcomes.complain()
    if plot and isinstance(report, Benchmark):
        latency.draw(report, plot, delivery.force)


def _warn(outcomes: "Outcomes[Benchmark]") -> None:
    from lite_toolkit.cli.console import warn

    for name, found in outcomes.found.items():
        for one in found.measurements:
            for message in (*([one.note] if one.note else []), *one.doubts):
                warn(f"{outcomes.title(name)}{one.model}, threads {one.threads}: {message}")
