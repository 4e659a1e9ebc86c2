"""`lite-toolkit evaluate`."""

from collections.abc import Mapping
from typing import Any

from lite_toolkit.cli.console import print_facts, print_notes, print_table
from lite_toolkit.measurement.accuracy import Accuracy, Pairing, Rate
from lite_toolkit.measurement.evaluation import Evaluation
from lite_toolkit.reports import figures

SHOWN = 10  # classes and confusions that people see; the JSON has all

TIE_RULE = "of equal scores the lowest class index wins"
INTERVALS = "95%: Wilson's score interval; of a change, Newcombe's for paired proportions (method 10)"


def evaluation(found: "Evaluation") -> dict[str, Any]:
    """The report of `lite-toolkit evaluate`; classes are the model's outputs, whatever the ground truth calls them."""
    request, result = found.request, found.results[0]
    reference = None
    if request.reference:
        reference = {"file": request.reference.name, "sha256": found.sha256[1], "top": _top(found.results[1])}
    return {
        "model": {"file": request.model.name, "sha256": found.sha256[0]},
        "delegate": request.delegate,
        "delegate_options": dict(request.delegate_options),
        "data": request.data.resolve().name,
        "images": found.images,
        "unreadable_images": list(found.unreadable),
        "preprocessing": found.preprocessing.to_json(),
        "ground_truth": {"source": found.truth.source, "offset": found.truth.offset},
        "ties": TIE_RULE,
        "intervals": INTERVALS,
        "top": _top(result),
        "classes": [
            {"class": index, "name": found.names.get(index), **_rate(rate)} for index, rate in result.classes.items()
        ],
        "confusions": [
            {
                "class": confusion.truth,
                "name": found.names.get(confusion.truth),
                "predicted_class": confusion.predicted,
                "predicted_name": found.names.get(confusion.predicted),
                "images": confusion.images,
            }
            for confusion in result.confusions
        ],
        "reference": reference,
        "pairing": _pairing(found.pairing) if found.pairing else None,
        "notes": list(found.notes),
        "workers": found.workers,
        "resumed_images": found.resumed,
        "seconds": dict(found.seconds),
        "images_per_second": _speed(found),
    }


def show(found: Mapping[str, "Evaluation"], several: bool) -> None:
    """The summary of one device, or a line for each of several."""
    if not several:
        show_evaluation(*found.values())
        return
    kinds = next(iter(found.values())).results[0].top
    tops = [column for k in kinds for column in (f">top-{k} %", ">interval %")]
    columns = ("device", ">images", *tops, ">same top-1 %", ">images/s")
    print_table("", columns, [_device(name, one) for name, one in found.items()])
    print_notes(f"Intervals are of {INTERVALS}.", f"Ties: {TIE_RULE}.")


def _device(name: str, found: "Evaluation") -> tuple[str, ...]:
    rates = found.results[0].top.values()
    cells = [cell for rate in rates for cell in (f"{rate.percent:.2f}", _interval(rate))]
    agreement = figures.decimal(found.pairing.agreement_percent if found.pairing else None, 2)
    return name, str(found.images), *cells, agreement, f"{_speed(found):.3g}"


def show_evaluation(found: "Evaluation") -> None:
    """The summary of `lite-toolkit evaluate`, the classes with the lowest top-1, and what is confused most."""
    request = found.request
    unreadable = f", {len(found.unreadable)} unreadable" if found.unreadable else ""
    offset = "; 1 is added to each class: the model has a background class first" if found.truth.offset else ""
    facts = [
        ("model", str(request.model)),
        ("images", f"{found.images:,} in {request.data.resolve().name}{unreadable}"),
        ("ground truth", f"{found.truth.source}{offset}"),
        *_top_facts("", found.results[0]),
    ]
    if found.pairing:
        facts += [("reference", str(request.reference)), *_top_facts("its ", found.results[1])]
        facts += _pairing_facts(found.pairing)
    print_facts(facts)
    _show_classes(found)
    workers = f"{found.workers} workers" if found.workers else "a worker for each processor"
    times = " · ".join(f"{name} {seconds:.1f}" for name, seconds in found.seconds.items())
    print_facts([("seconds", f"{times}, {_speed(found):.0f} images/s with {workers}")])
    print_notes(f"Intervals are of {INTERVALS}.", f"Ties: {TIE_RULE}.")


def _show_classes(found: "Evaluation") -> None:
    result = found.results[0]
    mistaken = [item for item in result.classes.items() if item[1].correct < item[1].images]
    worst = sorted(mistaken, key=lambda item: (item[1].percent, -item[1].images, item[0]))[:SHOWN]
    rows = [
        (_class(index, found.names), f"{rate.percent:.1f}", _interval(rate), str(rate.images)) for index, rate in worst
    ]
    if rows:
        title = f"Lowest top-1, {len(rows)} of {len(mistaken)} classes with mistakes"
        print_table(title, ("class", ">top-1 %", ">interval %", ">images"), rows)
    confused = [
        (_class(one.truth, found.names), _class(one.predicted, found.names), str(one.images))
        for one in result.confusions[:SHOWN]
    ]
    if confused:
        title = f"Most frequent confusions, {len(confused)} of {len(result.confusions)}"
        print_table(title, ("class", "taken for", ">images"), confused)


def _top(result: Accuracy) -> list[dict[str, Any]]:
    return [{"k": k, **_rate(rate), "tied_images": result.tied[k]} for k, rate in result.top.items()]


def _rate(rate: Rate) -> dict[str, Any]:
    low, high = rate.interval_percent
    return {
        "images": rate.images,
        "correct_images": rate.correct,
        "accuracy_percent": rate.percent,
        "low_percent": low,
        "high_percent": high,
    }


def _pairing(pairing: Pairing) -> dict[str, Any]:
    low, high = pairing.interval_points
    return {
        "same_images": pairing.same,
        "agreement_percent": pairing.agreement_percent,
        "both_correct_images": pairing.both,
        "only_model_correct_images": pairing.only_model,
        "only_reference_correct_images": pairing.only_reference,
        "neither_correct_images": pairing.neither,
        "top1_change_points": pairing.change_points,
        "low_points": low,
        "high_points": high,
        "mcnemar_p": pairing.mcnemar_p,
    }


def _top_facts(whose: str, result: Accuracy) -> list[tuple[str, str]]:
    return [
        (
            f"{whose}top-{k}",
            f"{rate.percent:.2f}% ({_interval(rate)}), {rate.correct:,} of {rate.images:,}, {result.tied[k]:,} tied",
        )
        for k, rate in result.top.items()
    ]


def _pairing_facts(pairing: Pairing) -> list[tuple[str, str]]:
    low, high = pairing.interval_points
    only = (
        f"{pairing.only_model:,} images right only with the model, {pairing.only_reference:,} only with the reference"
    )
    return [
        ("agreement", f"{pairing.agreement_percent:.2f}% same top-1"),
        ("change", f"{pairing.change_points:+.2f} points of top-1 ({low:+.2f} to {high:+.2f})"),
        ("McNemar", f"p = {pairing.mcnemar_p:.3g}: {only}"),
    ]


def _interval(rate: Rate) -> str:
    low, high = rate.interval_percent
    return f"{figures.decimal(low)} to {figures.decimal(high)}"


def _class(index: int, names: Mapping[int, str]) -> str:
    return f"{index} {names[index]}" if index in names else str(index)


def _speed(found: "Evaluation") -> float:
    done = found.images + len(found.unreadable) - found.resumed
    return done / found.seconds["images"]
