"""`lite-toolkit data`."""

from pathlib import Path

import click

from lite_toolkit.cli.commands.options import (
    ANY_PATH,
    FILE,
    Command,
    Delivery,
    Percent,
    reporting,
    require_own_place,
)


@click.command(cls=Command)
@click.argument("dir", type=ANY_PATH)
@click.option(
    "--labels-csv", "table", type=FILE, help="Images and their classes; by default labels.csv in the folder, or names."
)
@click.option(
    "--validation", metavar="PERCENT", type=Percent(0, 50), help="Of each class, to choose by; by default 15."
)
@click.option("--test", metavar="PERCENT", type=Percent(0, 50), help="Of each class, to judge by; by default 15.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the split.")
@click.option("--split", type=FILE, help="Use the split that --save-split wrote again.")
@click.option("--save-split", metavar="FILE.csv", type=FILE, help="Write the part of each image, with its sha256.")
@click.option("--no-labels", is_flag=True, help="Leave out the search for wrong labels, which takes a network.")
@click.option(
    "--cache", metavar="FOLDER", type=ANY_PATH, help="Keep what was computed of each image, for the next time."
)
@reporting
def data(
    dir: Path,  # noqa: A002  # people read DIR
    table: Path | None,
    validation: float | None,
    test: float | None,
    seed: int,
    split: Path | None,
    save_split: Path | None,
    no_labels: bool,
    cache: Path | None,
    delivery: Delivery,
) -> None:
    """Show what is in DIR, a folder of images with classes: counts, copies, sizes, labels that are likely wrong."""
    from lite_toolkit.cli.console import ShownSteps, warn
    from lite_toolkit.cli.tables import data as tables
    from lite_toolkit.datasets.split import Shares
    from lite_toolkit.training import survey

    if save_split:
        require_own_place(save_split, [table])
    request = survey.Request(
        data=dir,
        table=table,
        shares=Shares(validation, test, seed),
        split=split,
        save_split=save_split,
        labels=not no_labels,
        cache=cache,
        force=delivery.force,
    )
    found = survey.survey(request, ShownSteps())
    for message in (*found.notes, *(f"cannot read {one}" for one in found.unreadable_images)):
        warn(message)
    delivery.send(found.to_json(), lambda: tables.show(found))
