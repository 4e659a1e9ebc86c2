"""`lite-toolkit compare`."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lite_toolkit.cli.console import print_facts, print_notes, print_table
from lite_toolkit.measurement.accuracy import Rate
from lite_toolkit.reports import figures
from lite_toolkit.reports.comparison import RESAMPLES, Changes, Comparison, LatencyChange, RateChange
from lite_toolkit.reports.saved_reports import Measured, Quantized

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
        "quantized": {"a": _costs(found.quantized[0]), "b": _costs(found.quantized[1])} if found.quantized else None,
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


def _measured(found: Measured) -> dict[str, Any]:
    left_out = ("runs_ns", "threads", "delegate")
    told = {name: value for name, value in asdict(found).items() if name not in left_out}
    return told | {"latency": found.latency.to_json()}


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
    low, high = rate.interval_percent
    counts = {"images": rate.images, "correct_images": rate.correct}
    return counts | {"percent": rate.percent, "low_percent": low, "high_percent": high}


def _costs(found: Quantized) -> dict[str, Any]:
    return {name: value for name, value in asdict(found).items() if not name.endswith("agreement")}


def show(found: Comparison) -> None:
    """What changed, for people."""
    print_facts([("A", str(found.a)), ("B", str(found.b))])
    for device, changes in found.devices.items():
        if changes.latencies:
            _show_latencies(device, changes.latencies)
        if changes.rates:
            _show_rates(device, changes.rates)
        if changes.quantized:
            _show_costs(*changes.quantized)
        print_notes(*changes.notes)
    print_notes(f"Intervals are of {_interval(found)}.", *found.notes)


def _show_latencies(device: str, pairs: Sequence[LatencyChange]) -> None:
    named = [(_arrow(one.a.model, one.b.model), str(one.a.threads), Path(one.a.delegate).name) for one in pairs]
    ratios = [
        (
            *map(figures.milliseconds, (one.a.latency.p50_ms, one.b.latency.p50_ms)),
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


def _others(a: Measured, b: Measured) -> tuple[str, ...]:
    times = [
        (a.latency.p90_ms, b.latency.p90_ms),
        (a.latency.p99_ms, b.latency.p99_ms),
        (a.latency.mean_ms, b.latency.mean_ms),
        (a.init_ms, b.init_ms),
    ]
    sizes = [(a.peak_bytes, b.peak_bytes), (a.model_bytes, b.model_bytes), (a.size_bytes, b.size_bytes)]
    return (
        *(_arrow(*map(figures.milliseconds, pair)) for pair in times),
        *(_arrow(*map(_megabytes, pair)) for pair in sizes),
        _arrow(f"{a.delegated_nodes}/{a.nodes}", f"{b.delegated_nodes}/{b.nodes}"),
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


def _show_costs(a: Quantized, b: Quantized) -> None:
    rows = [
        ("model", a.model, b.model),
        ("file MB", _megabytes(a.size_bytes), _megabytes(b.size_bytes)),
        ("SQNR dB", figures.decimal(a.sqnr_db), figures.decimal(b.sqnr_db)),
        ("KL divergence nats", f"{a.kl_divergence_nats:.4f}", f"{b.kl_divergence_nats:.4f}"),
        ("largest difference", f"{a.largest_difference:.3g}", f"{b.largest_difference:.3g}"),
    ]
    print_table("", ("", ">A", ">B"), rows)


def _percent(rate: Rate) -> str:
    low, high = rate.interval_percent
    return f"{rate.percent:.2f} ({low:.1f} to {high:.1f})"


def _arrow(a: str, b: str) -> str:
    return a if a == b else f"{a} → {b}"


def _megabytes(size_bytes: int | None) -> str:
    return figures.decimal(None if size_bytes is None else size_bytes / 1e6, 2)
