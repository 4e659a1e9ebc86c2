"""`lite-toolkit benchmark`."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median

from lite_toolkit.cli.console import print_facts, print_notes, print_table
from lite_toolkit.measurement.latency import Benchmark, Benchmarks, Environment, Measurement, Profile, Second
from lite_toolkit.reports import figures
from lite_toolkit.runtime.nodes import Partition

OPERATORS_SHOWN = 10

_STAGES = {"prepare": "decode, crop, resize, normalise"}  # what the others are, their names say
_MACHINE = ("machine", "software")
_COLUMNS = (
    *("model", ">threads", "delegate", ">p50 ms", ">p90 ms", ">p99 ms", ">init ms", ">first ms", ">peak MB"),
    "nodes delegated",
)


def show(report: Benchmark | Benchmarks) -> None:
    """Each machine, one line for each measurement of all, and what was measured besides; names if there are several."""
    found = report.devices if isinstance(report, Benchmarks) else (report,)
    machines = {one.device: _environment(one.environment) for one in found}
    rows = [(one.device, *_row(measured)) for one in found for measured in one.measurements]
    if isinstance(report, Benchmarks):
        print_table("", ("device", *_MACHINE), [(name, *machine) for name, machine in machines.items()])
        print_table("", ("device", *_COLUMNS), rows)
    else:
        print_facts(zip(_MACHINE, *machines.values(), strict=True))
        print_table("", _COLUMNS, [row[1:] for row in rows])
    for one in found:
        on = f" on {one.device}" if isinstance(report, Benchmarks) else ""
        for measured in one.measurements:
            _show_pipeline(measured, on)
            _show_sustained(measured, on)
        for profile in one.profiles:
            _show_profile(profile, on)


def _environment(found: Environment) -> tuple[str, str]:
    """What the machine is, and what runs on it."""
    governors = ", ".join(found.governors)
    cpu = f"{found.processors} × {found.cpu or found.machine}"
    machine = [found.board, cpu, f"governor {governors}" if governors else None]
    software = (
        f"{found.runtime}, numpy {found.numpy}, Python {found.python}",
        found.os,
        f"{found.system} {found.kernel}",
    )
    return ", ".join(filter(None, machine)), ", ".join(filter(None, software))


def _row(found: Measurement) -> tuple[str, ...]:
    times, added = found.times, found.memory.model_bytes
    peak = figures.megabytes(found.memory.peak_bytes)
    return (
        *(found.model, str(found.threads), Path(found.delegate).name),
        *map(figures.milliseconds, (times.p50_ms, times.p90_ms, times.p99_ms, found.init_ms, found.first_ms)),
        peak if added is None else f"{peak} (+{added / 1e6:.1f})",
        _nodes(found.nodes),
    )


def _nodes(found: Partition) -> str:
    """Such as "60/62 XNNPACK, 2 QUANTIZE left"; each partition more costs copies between it and the kernels."""
    shares = [
        f"{share.nodes}/{found.nodes} {share.delegate}"
        + (f" in {share.partitions} parts" if share.partitions > 1 else "")
        for share in found.shares
    ]
    left = ", ".join(f"{count} {name}" for name, count in sorted(found.kernels.items()))
    return ", ".join([*shares, *([f"{left} left"] if left else [])]) if shares else f"0/{found.nodes}"


def _show_pipeline(found: Measurement, on: str) -> None:
    if found.pipeline is None:
        return
    rows = []
    for stage, times in found.pipeline.stages.items():
        shown = times.distribution
        cells = shown.p50_ms, shown.p90_ms, shown.p99_ms, shown.mean_ms
        rows.append((_STAGES.get(stage, stage), *map(figures.milliseconds, cells)))
    print_table(
        f"From an image file, {_title(found)}{on}", ("stage", ">p50 ms", ">p90 ms", ">p99 ms", ">mean ms"), rows
    )


def _show_profile(found: Profile, on: str) -> None:
    print_table(
        f"Slowest operators of {found.model}, 1 thread{on}",
        (">node", "layer", "operator", ">p50 ms", ">share"),
        [
            (str(one.index), one.layer, one.operator, *figures.share(one.median_ms, found.sum_ms))
            for one in found.slowest(OPERATORS_SHOWN)
        ],
    )
    kinds: dict[str, list[float]] = {}
    for one in found.operators:
        kinds.setdefault(one.operator, []).append(one.median_ms)
    print_table(
        "All operators",
        ("operator", ">count", ">ms", ">share"),
        [
            (name, str(len(times)), *figures.share(sum(times), found.sum_ms))
            for name, times in sorted(kinds.items(), key=lambda kind: -sum(kind[1]))
        ],
    )
    parts, whole = map(figures.milliseconds, (found.sum_ms, found.latency.distribution.p50_ms))
    print_notes(f"Each operator ran as a model of its own, {parts} ms in all; the whole model took {whole} ms.")


def _show_sustained(found: Measurement, on: str) -> None:
    """A tenth of the time in each row, with the medians of its seconds' figures."""
    rows = [_tenth(seconds) for seconds in figures.tenths(found.sustained)]
    columns = (">until s", ">runs", ">p50 ms", ">p99 ms", ">MHz", ">°C", "reported")
    if rows:
        print_table(f"Sustained runs of {_title(found)}{on}", columns, rows)


def _tenth(seconds: Sequence[Second]) -> tuple[str, ...]:
    times = [second.latency.distribution for second in seconds]
    reported = {limit: None for second in seconds for limit in second.limits}
    return (
        *(figures.decimal(seconds[-1].seconds, 0), str(sum(one.runs for one in times))),
        figures.milliseconds(median(one.p50_ms for one in times)),
        figures.milliseconds(median(one.p99_ms for one in times)),
        *(*figures.clock_and_heat(seconds), ", ".join(reported)),
    )


def _title(found: Measurement) -> str:
    return f"{found.model}, {found.threads} thread{'s' if found.threads > 1 else ''}"
