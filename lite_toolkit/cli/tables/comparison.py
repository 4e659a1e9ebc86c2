"""`lite-toolkit compare`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lite_toolkit.cli.console import print_facts, print_notes, print_table
from lite_toolkit.decoding import encode
from lite_toolkit.measurement.accuracy import Rate
from lite_toolkit.measurement.latency import Measurement
from lite_toolkit.measurement.loss import Loss
from lite_toolkit.reports import figures
from lite_toolkit.reports.comparison import RESAMPLES, Changes, Comparison, FigureChange, LatencyChange, RateChange

RATIOS = f"95% of the ratio of medians: percentile bootstrap, {RESAMPLES:,} resamples of runs taken as independent"
RATES = (
    "95% of the change: Newcombe's for unpaired proportions (method 10), too wide where A and B are of the same images"
)


def comparison(found: Comparison, missed: Sequence[str]) -> dict[str, Any]:
    """The report of `lite-toolkit compare`; `missed` are the gates, a sentence for each."""
    return {
        "kind": found.kind,
        "a": found.a.name,
        "b": found.b.name,
        "intervals": _interval(found),
        "devices": [{"device": name or None, **_changes(changes)} for name, changes in found.devices.items()],
        "notes": list(found.notes),
        "missed_gates": list(missed),
    }


def _interval(found: Comparison) -> str:
    return RATIOS if any(changes.latencies for changes in found.devices.values()) else RATES


def _changes(found: Changes) -> dict[str, Any]:
    return {
        "latencies": [_latency(one) for one in found.latencies],
        "rates": [_rate(one) for one in found.rates],
        "figures": [encode(one) | {"change_points": one.points} for one in found.figures],
        "quantized": dict(zip("ab", map(_costs, found.losses), strict=True)) if found.losses else None,
        "notes": list(found.notes),
    }


def _latency(found: LatencyChange) -> dict[str, Any]:
    low, high = found.interval
    return {
        "threads": found.a.threads,
        "delegate": found.a.delegate,
        "ratio": found.ratio,
        "low_ratio": low,
        "high_ratio": high,
        "direction": found.direction,
        "a": _measured(found.a),
        "b": _measured(found.b),
    }


def _measured(found: Measurement) -> dict[str, Any]:
    return {
        "model": found.model,
        "size_bytes": found.size_bytes,
        "init_ms": found.init_ms,
        "first_ms": found.first_ms,
        "peak_bytes": found.memory.peak_bytes,
        "model_bytes": found.memory.model_bytes,
        "nodes": found.nodes.nodes,
        "delegated_nodes": found.delegated_nodes,
        "doubtful": bool(found.doubts),
        "latency": encode(found.times),
    }


def _rate(found: RateChange) -> dict[str, Any]:
    low, high = found.interval_points
    return {
        "name": found.name,
        "change_points": found.points,
        "low_points": low,
        "high_points": high,
        "direction": found.direction,
        "a": _side(found.a),
        "b": _side(found.b),
    }


def _side(rate: Rate) -> dict[str, Any]:
    return {name.removeprefix("accuracy_"): value for name, value in Rate.to_json(rate).items()}


def _costs(found: Loss) -> dict[str, Any]:
    compared = found.comparison
    return {
        "model": found.model,
        "data": found.data,
        "sqnr_db": compared.sqnr_db,
        "kl_divergence_nats": compared.kl_divergence_nats,
        "largest_difference": compared.largest_difference,
        "size_bytes": found.size_bytes,
    }


def show(found: Comparison) -> None:
    """What changed, for people."""
    print_facts([("A", str(found.a)), ("B", str(found.b))])
    for device, changes in found.devices.items():
        if changes.latencies:
            _show_latencies(device, changes.latencies)
        if changes.rates:
            _show_rates(device, changes.rates)
        if changes.figures:
            _show_figures(device, changes.figures)
        if changes.losses:
            _show_costs(*changes.losses)
        print_notes(*changes.notes)
    bounded = any(changes.latencies or changes.rates for changes in found.devices.values())
    print_notes(*([f"Intervals are of {_interval(found)}."] if bounded else []), *found.notes)


def _show_latencies(device: str, pairs: Sequence[LatencyChange]) -> None:
    named = [(_arrow(one.a.model, one.b.model), str(one.a.threads), Path(one.a.delegate).name) for one in pairs]
    ratios = [
        (
            *map(figures.milliseconds, (one.a.times.p50_ms, one.b.times.p50_ms)),
            f"{one.ratio:.3f}",
            *("{:.3f} to {:.3f}".format(*one.interval), one.direction),
        )
        for one in pairs
    ]
    columns = ("model", ">threads", "delegate")
    rows: list[tuple[str, ...]] = [(*name, *ratio) for name, ratio in zip(named, ratios, strict=True)]
    print_table(device, (*columns, ">A p50 ms", ">B p50 ms", ">B / A", ">interval", "latency"), rows)
    others = (">p90 ms", ">p99 ms", ">mean ms", ">init ms", ">peak MB", ">added MB", ">file MB", ">delegated")
    rows = [(*name, *_others(one.a, one.b)) for name, one in zip(named, pairs, strict=True)]
    print_table("A → B", (*columns, *others), rows)


def _others(a: Measurement, b: Measurement) -> tuple[str, ...]:
    return tuple(_arrow(*pair) for pair in zip(_cells(a), _cells(b), strict=True))


def _cells(found: Measurement) -> tuple[str, ...]:
    times = found.times.p90_ms, found.times.p99_ms, found.times.mean_ms, found.init_ms
    sizes = found.memory.peak_bytes, found.memory.model_bytes, found.size_bytes
    return (
        *map(figures.milliseconds, times),
        *(figures.megabytes(size, 2) for size in sizes),
        f"{found.delegated_nodes}/{found.nodes.nodes}",
    )


def _show_rates(device: str, rates: Sequence[RateChange]) -> None:
    rows = [
        (
            *(one.name, _percent(one.a), _percent(one.b), f"{one.points:+.2f}"),
            *("{:+.2f} to {:+.2f}".format(*one.interval_points), one.direction),
        )
        for one in rates
    ]
    print_table(device, ("", ">A %", ">B %", ">points", ">interval", "change"), rows)


def _show_figures(device: str, found: Sequence[FigureChange]) -> None:
    rows = [(one.name, f"{one.a_percent:.2f}", f"{one.b_percent:.2f}", f"{one.points:+.2f}") for one in found]
    print_table(device, ("without interval", ">A %", ">B %", ">points"), rows)


def _show_costs(a: Loss, b: Loss) -> None:
    names = ("model", "file MB", "SQNR dB", "KL divergence nats", "largest difference")
    print_table("", ("", ">A", ">B"), zip(names, _cost_cells(a), _cost_cells(b), strict=True))


def _cost_cells(found: Loss) -> tuple[str, ...]:
    compared = found.comparison
    return (
        *(found.model, figures.megabytes(found.size_bytes, 2), figures.decimal(compared.sqnr_db)),
        *(f"{compared.kl_divergence_nats:.4f}", f"{compared.largest_difference:.3g}"),
    )


def _percent(rate: Rate) -> str:
    low, high = rate.interval_percent
    return f"{rate.percent:.2f} ({low:.1f} to {high:.1f})"


def _arrow(a: str, b: str) -> str:
    return a if a == b else f"{a} → {b}"
