"""`lite-toolkit evaluate`."""

from collections.abc import Sequence

from lite_toolkit.cli.console import print_facts, print_notes, print_table
from lite_toolkit.measurement.accuracy import Pairing, Rate
from lite_toolkit.measurement.evaluation import Request
from lite_toolkit.measurement.multi_label import FORMULAS, MultiLabel
from lite_toolkit.reports import figures
from lite_toolkit.reports.evaluation import INTERVALS, TIE_RULE, Evaluation, Evaluations, Top

SHOWN = 10  # classes and confusions that people see; the JSON has all


def show(report: Evaluation | Evaluations, request: Request) -> None:
    """The summary of one device, or a line for each of several."""
    if isinstance(report, Evaluations):
        first = report.devices[0]
        tops = [column for k in first.rates for column in (f">top-{k} %", ">interval %")]
        same = [">same top-1 %"] if first.rates else []
        labels = [f">{name} %" for name in first.multi_label.figures] if first.multi_label else []
        columns = ("device", ">images", *tops, *same, *labels, ">images/s")
        print_table("", columns, [_device(one) for one in report.devices])
    else:
        first = report
        _show_one(report, request)
    if first.rates:
        print_notes(f"Intervals are of {INTERVALS}.", f"Ties: {TIE_RULE}.")
    if first.multi_label:
        print_notes(f"{FORMULAS[0].upper()}{FORMULAS[1:]}.")


def _device(found: Evaluation) -> tuple[str, ...]:
    cells = [cell for rate in found.rates.values() for cell in (f"{rate.percent:.2f}", _interval(rate))]
    same = [figures.decimal(found.pairing.agreement_percent if found.pairing else None, 2)] if found.rates else []
    multi = found.multi_label.figures.values() if found.multi_label else ()
    labels = [figures.decimal(value, 2) for value in multi]
    return found.device, str(found.images), *cells, *same, *labels, f"{found.images_per_second:.3g}"


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
        *_label_facts("", found.multi_label),
    ]
    if found.reference:
        facts += [("reference", str(request.reference)), *_top_facts("its ", found.reference.top)]
        facts += _label_facts("its ", found.reference.multi_label)
    if found.pairing:
        facts += _pairing_facts(found.pairing)
    print_facts(facts)
    _show_classes(found)
    if found.multi_label:
        _show_labels(found.multi_label)
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


def _show_labels(found: MultiLabel) -> None:
    known = [row for row in found.labels if row.average_precision_percent is not None]
    worst = sorted(known, key=lambda row: (row.average_precision_percent or 0, row.class_))[:SHOWN]
    rows = [
        (
            f"{row.class_} {row.name or ''}".strip(),
            *map(figures.decimal, (row.average_precision_percent, row.f1_percent)),
            *map(str, (row.images, row.predicted_images, row.correct_images)),
        )
        for row in worst
    ]
    if rows:
        title = f"Lowest average precision, {len(rows)} of {len(known)} labels that some images have and others not"
        print_table(title, ("label", ">AP %", ">F1 %", ">have it", ">are given it", ">rightly"), rows)


def _label_facts(whose: str, found: MultiLabel | None) -> list[tuple[str, str]]:
    if found is None:
        return []
    facts = [(f"{whose}{name}", f"{figures.decimal(value, 2)}%") for name, value in found.figures.items()]
    facts.append((f"{whose}exact", f"{found.exact.percent:.2f}% of the images ({_interval(found.exact)})"))
    if found.agreement_percent is not None:
        facts.append(("agreement", f"{found.agreement_percent:.2f}% same labels"))
    return facts


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
