"""`lite-toolkit report`."""

from pathlib import Path

import click

from lite_toolkit import outputs
from lite_toolkit.cli.commands.options import ANY_PATH, FILE, Command, require_own_place


@click.command(cls=Command)
@click.argument("results", type=FILE, nargs=-1, required=True)
@click.option("-o", "--output", type=FILE, default=Path("report.html"), show_default=True, help="The page to write.")
@click.option("--title", default="Model report", show_default=True, help="Its heading.")
@click.option(
    "--images", type=ANY_PATH, help="Folder of images with classes, to show of those that are confused or doubtful."
)
@click.option("--class-index", type=FILE, help="The data set's classes, as for `evaluate`.")
@click.option("--force", is_flag=True, help="Replace the page if it exists.")
def report(
    results: tuple[Path, ...],
    output: Path,
    title: str,
    images: Path | None,
    class_index: Path | None,
    force: bool,
) -> None:
    """Make one static HTML page of saved RESULTS: reports of any command, and manifests, of any models and devices."""
    from lite_toolkit.cli.console import ShownSteps, warn
    from lite_toolkit.page import document
    from lite_toolkit.reports import figures, reading

    require_own_place(output, [results, class_index])
    outputs.require_free([output], force)
    document.require()
    steps = ShownSteps()
    with steps.step("read"):
        sources = [reading.read(path) for path in dict.fromkeys(results)]
    page, found = document.compose(sources, heading=title, images=images, class_index=class_index, steps=steps)
    outputs.write_bytes(output, page.encode(), force)
    for note in found.notes:
        warn(note)
    click.echo(f"{output}: {figures.size(output.stat().st_size)}, models: {len(found.models)}")
