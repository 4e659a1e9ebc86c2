"""`lite-toolkit edgetpu`."""

from pathlib import Path

import click

from lite_toolkit.cli.commands.options import ANY_PATH, Delivery, Group, Number, reporting
from lite_toolkit.errors import CompilerError, GateError


@click.group(cls=Group)
def edgetpu() -> None:
    """The Coral Edge TPU: what its compiler will make of a model, and running the compiler."""


@edgetpu.command()
@click.argument("model", type=ANY_PATH)
@click.option("--require-full", is_flag=True, help="Exit code 3 where an operator stays on the CPU.")
@reporting
def check(model: Path, require_full: bool, delivery: Delivery) -> None:
    """Forecast what the Edge TPU compiler makes of a .tflite MODEL, or show what it made of it."""
    from lite_toolkit.cli.tables import edgetpu as tables
    from lite_toolkit.edgetpu import forecast

    found = forecast.check(model)
    delivery.send(forecast.Check(found).to_json(), lambda: tables.show_check(found))
    if require_full and found.left:
        raise GateError(f"{model.name}: {found.left}")


@edgetpu.command("compile")
@click.argument("models", type=ANY_PATH, nargs=-1, required=True, metavar="MODEL...")
@click.option("--output", type=click.Path(file_okay=False, path_type=Path), default=Path(), help="Folder, by default .")
@click.option("--compiler", type=ANY_PATH, help="The compiler; by default edgetpu_compiler in PATH.")
@click.option("--timeout", type=Number(min=1), default=600.0, show_default=True, help="Seconds to wait for it.")
@click.option(
    "--segments", type=click.IntRange(min=1, max=64), default=1, help="Parts of each model, for as many Edge TPUs."
)
@click.option(
    "--min-runtime", type=click.IntRange(min=10), help="Oldest runtime to compile for; by default the newest."
)
@reporting
def compile_(
    models: tuple[Path, ...],
    output: Path,
    compiler: Path | None,
    timeout: float,
    segments: int,
    min_runtime: int | None,
    delivery: Delivery,
) -> None:
    """Compile .tflite MODELS for the Edge TPU, several together; without a compiler, forecast what it would do."""
    from lite_toolkit.cli.console import ShownSteps
    from lite_toolkit.cli.tables import edgetpu as tables
    from lite_toolkit.edgetpu import compilation
    from lite_toolkit.edgetpu.compiler import Request, find

    request = Request(models, output, timeout, segments, min_runtime, delivery.force)
    expected = compilation.forecasts(request)
    try:
        program = find(compiler)
    except CompilerError:
        report = compilation.Compilation(None, tuple(map(compilation.Model, expected)))
        delivery.send(report.to_json(), lambda: tables.show_compilation(report))
        raise
    report = compilation.compile_models(request, program, expected, ShownSteps())
    delivery.send(report.to_json(), lambda: tables.show_compilation(report))
