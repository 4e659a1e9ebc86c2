"""`lite-toolkit benchmark`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from lite_toolkit.cli.console import print_facts, print_notes, print_table
from lite_toolkit.measurement.benchmark import Benchmark, Measurement, Profile
from lite_toolkit.measurement.distribution import Distribution
from lite_toolkit.measurement.stability import doubts, throttling
from lite_toolkit.reports import figures

OPERATORS_SHOWN = 10
SLICES = 10

_MACHINE = ("machine", "software")
_COLUMNS = (
    *("model", ">threads", "delegate", ">p50 ms", ">p90 ms", ">p99 ms", ">init ms", ">first ms", ">peak MB"),
    "nodes delegated",
)


def benchmark(found: Benchmark) -> dict[str, Any]:
    """The report of `lite-toolkit benchmark`."""
    return {
        "environment": found.measurements[0].result["environment"],
        "measurements": [_measurement(one) for one in found.measurements],
        "profiles": [_profile(one) for one in found.profiles],
    }


def _measurement(found: Measurement) -> dict[str, Any]:
    result = found.result
    memory, pipeline = result["memory"], result.get("pipeline_ns")
    return {
        "model": found.model.name,
        "size_bytes": found.model.stat().st_size,
        "threads": found.threads,
        "threads_started": result["threads_started"],
        "delegate": result["delegate"],
        "delegate_library": result["library"],
        "delegate_library_version": result["library_version"],
        "nodes": result["nodes"],
        "init_ms": result["init_ns"] / 1e6,
        "first_ms": result["first_ns"] / 1e6,
        "latency": _times(result["runs_ns"]),
        "warm_up": {"steady": result["steady"], "raw_ms": _milliseconds(result["warm_up_ns"])},
        "memory": memory | {"model_bytes": found.model_bytes},
        "pipeline": None if pipeline is None else {stage: _times(times) for stage, times in pipeline.items()},
        "load_average": result["load_average"],
        "others_busy_processors": result["others_busy"],
        "before": result["before"],
        "after": result["after"],
        "sustained": [_second(second) for second in result["sustained"]],
        "doubts": list(doubts(found)),
    }


def _times(nanoseconds: list[int]) -> dict[str, Any]:
    return Distribution.of(nanoseconds).to_json() | {"raw_ms": _milliseconds(nanoseconds)}


def _milliseconds(nanoseconds: list[int]) -> list[float]:
    return [value / 1e6 for value in nanoseconds]


def _second(second: dict[str, Any]) -> dict[str, Any]:
    state = {name: value for name, value in second.items() if name != "runs_ns"}
    return state | {"latency": _times(second["runs_ns"])}


def _profile(found: Profile) -> dict[str, Any]:
    return {
        "model": found.model.name,
        "threads": 1,
        "latency": _times(found.model_ns),
        "sum_ms": found.sum_ms,
        "operators": [
            {"index": one.index, "layer": one.layer, "operator": one.operator} | _times(one.times_ns)
            for one in found.operators
        ],
    }


def show_devices(found: Mapping[str, Benchmark], several: bool) -> None:
    """Each machine, one line for each measurement of all, and what was measured besides; names if there are several."""
    machines = {name: _environment(one.measurements[0].result["environment"]) for name, one in found.items()}
    rows = [(name, *_row(one)) for name, benchmark in found.items() for one in benchmark.measurements]
    if several:
        print_table("", ("device", *_MACHINE), [(name, *machine) for name, machine in machines.items()])
        print_table("", ("device", *_COLUMNS), rows)
    else:
        print_facts(zip(_MACHINE, *machines.values(), strict=True))
        print_table("", _COLUMNS, [row[1:] for row in rows])
    for name, benchmark in found.items():
        on = f" on {name}" if several else ""
        for one in benchmark.measurements:
            _show_pipeline(one, on)
            _show_sustained(one, on)
        for profile in benchmark.profiles:
            _show_profile(profile, on)


def _environment(environment: dict[str, Any]) -> tuple[str, str]:
    """What the machine is, and what runs on it."""
    governors = ", ".join(environment["governors"])
    cpu = f"{environment['processors']} × {environment['cpu'] or environment['machine']}"
    machine = [environment["board"], cpu, f"governor {governors}" if governors else None]
    software = (
        f"{environment['runtime']}, numpy {environment['numpy']}, Python {environment['python']}",
        environment["os"],
        f"{environment['system']} {environment['kernel']}",
    )
    return ", ".join(filter(None, machine)), ", ".join(filter(None, software))


def _row(found: Measurement) -> tuple[str, ...]:
    result, latency = found.result, found.latency
    peak, added = result["memory"]["peak_bytes"], found.model_bytes
    memory = figures.decimal(None if peak is None else peak / 1e6)
    return (
        *(found.model.name, str(found.threads), Path(result["delegate"]).name),
        *map(figures.milliseconds, (latency.p50_ms, latency.p90_ms, latency.p99_ms)),
        *(figures.milliseconds(result[name] / 1e6) for name in ("init_ns", "first_ns")),
        memory if added is None else f"{memory} (+{added / 1e6:.1f})",
        _nodes(result["nodes"]),
    )


def _nodes(nodes: dict[str, Any]) -> str:
    """Such as "60/62 XNNPACK, 2 QUANTIZE left"; each partition more costs copies between it and the kernels."""
    shares = [
        f"{share['nodes']}/{nodes['nodes']} {share['delegate']}"
        + (f" in {share['partitions']} parts" if share["partitions"] > 1 else "")
        for share in nodes["shares"]
    ]
    left = ", ".join(f"{count} {name}" for name, count in sorted(nodes["kernels"].items()))
    return ", ".join([*shares, *([f"{left} left"] if left else [])]) if shares else f"0/{nodes['nodes']}"


def _show_pipeline(found: Measurement, on: str) -> None:
    stages = found.result.get("pipeline_ns")
    if stages is None:
        return
    named = {"prepare": "decode, crop, resize, normalise", "quantize": "quantize", "invoke": "invoke", "total": "total"}
    rows = []
    for stage, title in named.items():
        times = Distribution.of(stages[stage])
        shown = times.p50_ms, times.p90_ms, times.p99_ms, times.mean_ms
        rows.append((title, *map(figures.milliseconds, shown)))
    print_table(
        f"From an image file, {_title(found)}{on}", ("stage", ">p50 ms", ">p90 ms", ">p99 ms", ">mean ms"), rows
    )


def _show_profile(found: Profile, on: str) -> None:
    slowest = sorted(found.operators, key=lambda one: -one.distribution.p50_ms)[:OPERATORS_SHOWN]
    print_table(
        f"Slowest operators of {found.model.name}, 1 thread{on}",
        (">node", "layer", "operator", ">p50 ms", ">share"),
        [(str(one.index), one.layer, one.operator, *_share(one.distribution.p50_ms, found.sum_ms)) for one in slowest],
    )
    kinds: dict[str, list[float]] = {}
    for one in found.operators:
        kinds.setdefault(one.operator, []).append(one.distribution.p50_ms)
    print_table(
        "All operators",
        ("operator", ">count", ">ms", ">share"),
        [
            (name, str(len(times)), *_share(sum(times), found.sum_ms))
            for name, times in sorted(kinds.items(), key=lambda kind: -sum(kind[1]))
        ],
    )
    parts, whole = map(figures.milliseconds, (found.sum_ms, Distribution.of(found.model_ns).p50_ms))
    print_notes(f"Each operator ran as a model of its own, {parts} ms in all; the whole model took {whole} ms.")


def _share(part: float, total: float) -> tuple[str, str]:
    return figures.milliseconds(part), f"{part / total:.1%}"


def _show_sustained(found: Measurement, on: str) -> None:
    """A tenth of the time in each row."""
    seconds = found.result["sustained"]
    if not seconds:
        return
    step = -(-len(seconds) // SLICES)
    rows = [_slice(seconds[start : start + step]) for start in range(0, len(seconds), step)]
    columns = (">until s", ">runs", ">p50 ms", ">p99 ms", ">MHz", ">°C", "reported")
    print_table(f"Sustained runs of {_title(found)}{on}", columns, rows)


def _slice(seconds: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    times = Distribution.of([value for second in seconds for value in second["runs_ns"]])
    frequencies = [value / 1e3 for second in seconds for value in second["frequencies_khz"]]
    temperatures = [value for second in seconds for value in second["temperatures_celsius"].values()]
    reported = {meaning: None for second in seconds for meaning in throttling(second["throttled"])}
    return (
        *(figures.decimal(seconds[-1]["seconds"], 0), str(times.runs)),
        *map(figures.milliseconds, (times.p50_ms, times.p99_ms)),
        figures.decimal(fmean(frequencies) if frequencies else None, 0),
        figures.decimal(max(temperatures, default=None)),
        ", ".join(reported),
    )


def _title(found: Measurement) -> str:
    return f"{found.model.name}, {found.threads} thread{'s' if found.threads > 1 else ''}"
