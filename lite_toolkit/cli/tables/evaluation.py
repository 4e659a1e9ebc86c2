"""`lite-toolkit evaluate`."""

from collections.abc import Sequence

from lite_toolkit.cli.console import print_facts, print_notes, print_table
from lite_toolkit.measurement.accuracy import Pairing, Rate
from lite_toolkit.measurement.evaluation import Request
from lite_toolkit.reports import figures
from lite_toolkit.reports.evaluation import INTERVALS, TIE_RULE, Evaluation, Evaluations, Top

SHOWN = 10  # classes and confusions that people see; the JSON has all


def show(report: Evaluation | Evaluations, request: Request) -> None:
    """The summary of one device, or a line for each of several."""
    if isinstance(report, Evaluations):
        tops = [column for k in report.devices[0].rates for column in (f">top-{k} %", ">interval %")]
        columns = ("device", ">images", *tops, ">same top-1 %", ">images/s")
        print_table("", columns, [_device(one) for one in report.devices])
    else:
        _show_one(report, request)
    print_notes(f"Intervals are of {INTERVALS}.", f"Ties: {TIE_RULE}.")


def _device(found: Evaluation) -> tuple[str, ...]:
    cells = [cell for rate in found.rates.values() for cell in (f"{rate.percent:.2f}", _interval(rate))]
    agreement = figures.decimal(found.pairing.agreement_percent if found.pairing else None, 2)
    return found.device, str(found.images), *cells, agreement, f"{found.images_per_second:.3g}"


def _show_one(found: Evaluation, request: Request) -> None:
    """The summary, the classes with the lowest top-1, and what is confused most."""
    truth = found.ground_truth
    unreadable = f", {len(found.unreadable_images)} unreadable" if found.unreadable_images else ""
    offset = "; 1 is added to each class: the model has a background class first" if truth.offset else ""
    facts = [
        ("model", str(request.model)),
        ("images", f"{found.images:,} in {found.data}{unreadable}"),
        ("ground truth", f"{truth.source}{offset}"),
        *_top_facts("", found.top),
    ]
    if found.pairing and found.reference:
        facts += [("reference", str(request.reference)), *_top_facts("its ", found.reference.top)]
        facts += _pairing_facts(found.pairing)
    print_facts(facts)
    _show_classes(found)
    workers = f"{found.workers} workers" if found.workers else "a worker for each processor"
    times = figures.steps(found.seconds)
    print_facts([("seconds", f"{times}, {found.images_per_second:.0f} images/s with {workers}")])


def _show_classes(found: Evaluation) -> None:
    mistaken = [row for row in found.classes if row.correct_images < row.images]
    worst = sorted(mistaken, key=lambda row: (row.percent, -row.images, row.class_))[:SHOWN]
    rows = [(str(row.truth), f"{row.percent:.1f}", _interval(row), str(row.images)) for row in worst]
    if rows:
        title = f"Lowest top-1, {len(rows)} of {len(mistaken)} classes with mistakes"
        print_table(title, ("class", ">top-1 %", ">interval %", ">images"), rows)
    confused = [(*map(str, one.pair), str(one.images)) for one in found.confusions[:SHOWN]]
    if confused:
        title = f"Most frequent confusions, {len(confused)} of {len(found.confusions)}"
        print_table(title, ("class", "taken for", ">images"), confused)


def _top_facts(whose: str, found: Sequence[Top]) -> list[tuple[str, str]]:
    return [
        (
            f"{whose}top-{row.k}",
            f"{row.percent:.2f}% ({_interval(row)}), {row.correct_images:,} of {row.images:,}, "
            f"{row.tied_images:,} tied",
        )
        for row in found
    ]


def _pairing_facts(pairing: Pairing) -> list[tuple[str, str]]:
    low, high = pairing.interval_points
    only = (
        f"{pairing.only_model_correct_images:,} images right only with the model, "
        f"{pairing.only_reference_correct_images:,} only with the reference"
    )
    return [
        ("agreement", f"{pairing.agreement_percent:.2f}% same top-1"),
        ("change", f"{pairing.change_points:+.2f} points of top-1 ({low:+.2f} to {high:+.2f})"),
        ("McNemar", f"p = {pairing.mcnemar_p:.3g}: {only}"),
    ]


def _interval(rate: Rate) -> str:
    low, high = rate.interval_percent
    return f"{figures.decimal(low)} to {figures.decimal(high)}"
