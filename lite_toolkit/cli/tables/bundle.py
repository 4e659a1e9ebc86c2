"""`lite-toolkit package` and `verify`."""

from collections.abc import Mapping
from pathlib import Path

from lite_toolkit.bundle.contents import Bundle
from lite_toolkit.bundle.packing import Package
from lite_toolkit.bundle.parity import Parity
from lite_toolkit.cli.console import print_facts, print_table
from lite_toolkit.reports import figures


def show_package(found: Package, folder: Path) -> None:
    """The summary of `lite-toolkit package`, and how often clients agree."""
    described = found.described
    size = sum(file["size_bytes"] for file in described["files"])
    print_facts(
        [
            ("bundle", f"{folder}, {len(described['files']) + 1} files, {figures.size(size)}"),
            ("for", ", ".join(described["targets"])),
            ("labels", described["labels"] or "none"),
            ("golden", f"{len(described['golden']['vectors'])} images, {described['golden']['runtime']}"),
        ]
    )
    rows = [(one.client.name, one.client.how, figures.decimal(one.percent)) for one in found.survey.agreements]
    title = f"Same best class as with the model's own preprocessing, on {found.survey.images}"
    print_table(title, ("client", "how it resizes", ">same %"), rows)


def show_integrity(found: Mapping[str, str]) -> None:
    """The files that are not what they were."""
    print_table("Damaged", ("file", "problem"), found.items())


def show_parity(found: Mapping[str, Parity], bundle: Bundle) -> None:
    """The stages of each machine; names if there are several."""
    print_facts([("bundle", f"{bundle.folder}, {len(bundle.files)} files as they were")])
    for name, parity in found.items():
        rows = [
            (
                stage.name,
                _STARTS[stage.name],
                figures.decimal(stage.differing_percent, 2),
                f"{stage.largest_steps:.3g}",
                "" if stage.tolerance_steps is None else f"{stage.tolerance_steps:.3g}",
                "" if stage.tolerance_steps is None else "ok" if stage.good else "off",
            )
            for stage in parity.stages
        ]
        columns = ("stage", "from", ">differing %", ">largest, steps", ">allowed", "")
        print_table(f"{name}, {parity.runtime}", columns, rows)


_STARTS = {
    "decode": "the file",
    "resize": "the image",
    "quantize": "the resized pixels",
    "kernel": "the input tensor",
    "whole": "the file, to the scores",
}
