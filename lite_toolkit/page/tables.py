"""The tables of a page."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from lite_toolkit.measurement.accuracy import Rate
from lite_toolkit.page.overview import Model, Overview, ran, title
from lite_toolkit.reports import figures
from lite_toolkit.reports.results import Judged, Loss, Profile, Range, Timing

OPERATORS_SHOWN = 15
_TENTHS = 10


@dataclass(frozen=True)
class Table:
    """A table; the first cell of a row is its heading.

    Attributes:
        columns: the names of those with numbers begin with ">", with hashes "#", with what is not wrapped "|".
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Summary:
    """A model in the table of all: a line for each entry of `latencies`, or one.

    Attributes:
        latencies: where, p50 and p95.
        cached, streamed: parameters on the Edge TPU's chip, and sent to it at every inference.
    """

    name: str
    size: str
    top1: tuple[str, ...]
    agreement: tuple[str, ...]
    sqnr: tuple[str, ...]
    latencies: tuple[tuple[str, str, str], ...]
    cached: tuple[str, ...]
    streamed: tuple[str, ...]


def summary(found: Overview) -> list[Summary]:
    """The table of all models."""
    return [
        Summary(
            name=model.title,
            size=", ".join(figures.size(size) for size in model.sizes_bytes) or "–",
            top1=tuple(_rate(one.evaluated.top[1]) for one in model.judged),
            agreement=tuple(f"{loss.quantized.agreement.percent:.1f}%" for loss in model.losses),
            sqnr=tuple(f"{figures.decimal(loss.quantized.sqnr_db)} dB" for loss in model.losses),
            latencies=tuple(_latency(found, timing) for timing in model.timings),
            cached=tuple(_memory(chip.cached_bytes) for chip in model.chips),
            streamed=tuple(_memory(chip.streamed_bytes) for chip in model.chips),
        )
        for model in found.models
    ]


def accuracies(found: Overview) -> Table | None:
    """What each model got right, and how it differs from its reference."""
    rows = [_judged(model, one) for model in found.models for one in model.judged]
    columns = ("model", "|images", ">top-1", ">also", "reference", ">same top-1", ">change, points", ">McNemar's p")
    return _table("Accuracy, with 95% intervals", columns, rows)


def losses(found: Overview) -> Table | None:
    """What quantization cost each model."""
    rows = [_loss(model, loss) for model in found.models for loss in model.losses]
    columns = ("model", "|against", "|images", ">same top-1", ">in the top 5", "scores", ">SQNR dB", ">KL, nats")
    return _table("Quantized against float", columns, rows)


def worst(loss: Loss) -> Table | None:
    """The layers that add most error, and what helps."""
    rows = [
        (f"{rank}. {loss.layers[place].name}", figures.decimal(loss.layers[place].own_sqnr_db), "; ".join(remedies))
        for rank, (place, remedies) in enumerate(loss.worst, start=1)
    ]
    return _table(
        f"Layers of {loss.quantized.model} that add most error", ("layer", ">own SQNR dB", "what helps"), rows
    )


def layers(loss: Loss) -> Table | None:
    """The error of each layer."""
    rows = [
        (
            *(f"{number}. {layer.name}", layer.operator),
            *(figures.decimal(value) for value in (layer.sqnr_db, layer.own_sqnr_db, layer.drop_db)),
            figures.decimal(layer.bias_percent),
            *(figures.decimal(value, 3) for value in (layer.slope, layer.saturated_percent)),
        )
        for number, layer in enumerate(loss.layers, start=1)
    ]
    columns = ("layer", "operator", ">SQNR dB", ">own SQNR dB", ">drop dB", ">bias %", ">slope", ">saturated %")
    return _table(f"Layers of {loss.quantized.model}, in order of execution", columns, rows)


def latencies(found: Overview) -> Table | None:
    """Every measurement."""
    columns = (
        *("model", "|where", ">runs", ">p50", ">p90", ">p95", ">p99", ">max", ">mean", ">load", ">first", ">peak MB"),
        "delegated nodes",
    )
    rows = [_timing(found, timing) for model in found.models for timing in model.timings]
    return _table("Latency, ms", columns, rows)


def tenths(name: str, timing: Timing) -> Table | None:
    """Medians of the first to the last tenth of the runs."""
    parts = [part for part in np.array_split(np.asarray(timing.measured.runs_ns) / 1e6, _TENTHS) if len(part)]
    rows = [
        (f"{number}", *(_milliseconds(float(value)) for value in (part.min(), np.median(part), part.max())))
        for number, part in enumerate(parts, start=1)
    ]
    return _table(f"Runs of {name} in their order, ms", ("tenth", ">least", ">median", ">most"), rows)


def stages(name: str, timing: Timing) -> Table | None:
    """The way from an image file to the scores."""
    rows = [
        (name, *(_milliseconds(value) for value in (times.p50_ms, times.p95_ms, times.p99_ms)))
        for name, times in timing.stages
    ]
    return _table(f"From an image file to the scores of {name}, ms", ("stage", ">p50", ">p95", ">p99"), rows)


def sustained(name: str, timing: Timing) -> Table | None:
    """The seconds of sustained runs, in tenths."""
    step = -(-len(timing.sustained) // _TENTHS)
    groups = [timing.sustained[start : start + step] for start in range(0, len(timing.sustained), step)]
    rows = []
    for group in groups:
        heat = [second.temperature_celsius for second in group if second.temperature_celsius is not None]
        clock = [second.frequency_mhz for second in group if second.frequency_mhz is not None]
        middle = float(np.median([second.middle_ms for second in group]))
        means = float(np.mean(clock)) if clock else None
        figured = figures.decimal(means, 0), figures.decimal(max(heat, default=None))
        rows.append((f"{group[-1].end:.0f}", _milliseconds(middle), *figured))
    return _table(f"Sustained runs of {name}", ("until second", ">median ms", ">MHz", ">°C"), rows)


def kinds(found: Overview) -> Table | None:
    """The time that each kind of operator takes in each model that was profiled."""
    times: dict[str, dict[int, float]] = {}
    for number, profile in enumerate(found.profiles):
        for one in profile.operators:
            spent = times.setdefault(one.operator, {})
            spent[number] = spent.get(number, 0.0) + one.p50_ms
    columns = tuple(f">{_profiled(found, profile)}" for profile in found.profiles)
    ordered = sorted(times.items(), key=lambda item: -sum(item[1].values()))
    rows = [(name, *(_optional(spent.get(number)) for number in range(len(columns)))) for name, spent in ordered]
    rows.append(("whole model", *(_milliseconds(profile.whole_ms) for profile in found.profiles)))
    caption = "Operators by kind, ms with one thread; each ran as a model of its own"
    return _table(caption, ("operator", *columns), rows if found.profiles else ())


def slowest(found: Overview) -> list[tuple[str, Table | None]]:
    """The slowest operators of each model that was profiled."""
    return [(name, _slowest(name, profile)) for profile in found.profiles for name in (_profiled(found, profile),)]


def chips(found: Overview) -> Table | None:
    """What the Edge TPU makes of each model."""
    rows = [
        (
            model.title,
            "compiled" if chip.mapped is None else "forecast",
            "–" if chip.mapped is None else str(chip.mapped),
            str(chip.on_cpu),
            *(_memory(chip.cached_bytes), _memory(chip.streamed_bytes)),
            f"{_range([figures.decimal(ms) for ms in chip.streaming_ms])} ms",
        )
        for model in found.models
        for chip in model.chips
    ]
    columns = ("model", "known by", ">mapped", ">on the CPU", ">on chip", ">streamed", ">streaming over USB 3")
    return _table("Edge TPU: operators, and parameters in the chip's memory", columns, rows)


def left(found: Overview) -> Table | None:
    """The operators that stay on the CPU, and why."""
    rows = dict.fromkeys(
        (model.title, *operator) for model in found.models for chip in model.chips for operator in chip.left
    )
    return _table("Operators on the CPU", ("model", "operator", "why", "what to do"), rows)


def machines(found: Overview) -> Table | None:
    """What measured."""
    names = list(dict.fromkeys(name for machine in found.machines for name, _ in machine.environment))
    told = [(title, dict(machine.environment)) for machine, title in found.machines.items()]
    rows = [(title, *(known.get(name) or "–" for name in names)) for title, known in told]
    return _table("Machines that measured", ("device", *names), rows)


def origins(found: Overview) -> Table | None:
    """Where each model comes from, and with what it was made."""
    rows = [
        (
            *(model.title, origin.weights, origin.recipe, origin.calibration or "–"),
            ", ".join(f"{name} {version}" for name, version in origin.versions),
        )
        for model in found.models
        for origin in model.origins
    ]
    return _table("Models", ("model", "weights", "|recipe", "|calibrated on", "made with"), rows)


def hashes(found: Overview) -> Table | None:
    """The sha256 of models and weights."""
    weights = {origin.model: origin.weights_sha256 for model in found.models for origin in model.origins}
    rows = [(model.title, digest, weights.get(model.name) or "–") for model in found.models for digest in model.sha256]
    return _table("sha256 of models", ("model", "#model's", "#weights'"), rows)


def files(found: Overview) -> Table | None:
    """The files that this page was made from."""
    rows = [(one.file, one.kind, one.toolkit_version, one.sha256) for one in found.sources]
    return _table("Files that this page was made from", ("file", "|what it is", "|lite-toolkit", "#sha256"), rows)


def _table(caption: str, columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Table | None:
    found = tuple(rows)
    return Table(caption, columns, found) if found else None


def _judged(model: Model, one: Judged) -> tuple[str, ...]:
    others = ", ".join(f"top-{k} {rate.percent:.1f}%" for k, rate in sorted(one.evaluated.top.items()) if k > 1)
    images = f"{one.evaluated.top[1].images:,} of {one.evaluated.data}" + ran(one)
    row = (model.title, images, _rate(one.evaluated.top[1]), others or "–")
    if one.pairing is None:
        return (*row, "–", "–", "–", "–")
    low, high = one.pairing.interval_points
    change = f"{one.pairing.change_points:+.2f} ({low:+.2f} to {high:+.2f})"
    same = f"{one.pairing.agreement_percent:.1f}%"
    return (*row, title(one.pairing.reference), same, change, f"{one.pairing.mcnemar_p:.3g}")


def _loss(model: Model, loss: Loss) -> tuple[str, ...]:
    against = title(loss.reference) if loss.reference else "float32, at conversion"
    data = f"{loss.quantized.agreement.images} held out of {loss.quantized.data}"
    return (
        *(model.title, against, (loss.quantized.data or "–") if loss.reference else data),
        *(f"{rate.percent:.1f}%" for rate in (loss.quantized.agreement, loss.quantized.top5_agreement)),
        *(loss.scores, figures.decimal(loss.quantized.sqnr_db)),
        f"{loss.quantized.kl_divergence_nats:.4f}",
    )


def _timing(found: Overview, timing: Timing) -> tuple[str, ...]:
    measured = timing.measured
    peak = None if measured.peak_bytes is None else measured.peak_bytes / 1e6
    return (
        *(title(measured.model), _place(found, timing), f"{measured.latency.runs:,}"),
        *_percentiles(timing, "p50_ms", "p90_ms", "p95_ms", "p99_ms", "max_ms", "mean_ms"),
        *(_milliseconds(measured.init_ms), _milliseconds(measured.first_ms), figures.decimal(peak)),
        f"{measured.delegated_nodes} of {measured.nodes}",
    )


def _latency(found: Overview, timing: Timing) -> tuple[str, str, str]:
    latency = timing.measured.latency
    return _place(found, timing), _milliseconds(latency.p50_ms), _milliseconds(latency.p95_ms)


def _percentiles(timing: Timing, *names: str) -> Iterator[str]:
    return (_milliseconds(getattr(timing.measured.latency, name)) for name in names)


def _rate(rate: Rate) -> str:
    low, high = rate.interval_percent
    return f"{rate.percent:.1f}% ({low:.1f} to {high:.1f})"


def _memory(sizes: Range) -> str:
    return _range([figures.mebibytes(int(size)) if size else "0" for size in sizes])


def _range(ends: list[str]) -> str:
    """From one to the other; a unit that both have stands once."""
    first, last = ends[0], ends[-1]
    if first == last:
        return first
    return f"{first.removesuffix(last[last.rfind(' ') :]) if ' ' in last else first} to {last}"


def _place(found: Overview, timing: Timing) -> str:
    """With a mark where the report doubts the measurement."""
    return f"{found.place(timing)}{' †' if timing.doubts else ''}"


def _profiled(found: Overview, profile: Profile) -> str:
    return f"{title(profile.model)}, {found.machines[profile.machine]}"


def _slowest(name: str, profile: Profile) -> Table | None:
    total = sum(one.p50_ms for one in profile.operators) or 1.0
    ordered = sorted(profile.operators, key=lambda one: -one.p50_ms)[:OPERATORS_SHOWN]
    rows = [
        (f"{one.index}. {one.layer}", one.operator, _milliseconds(one.p50_ms), f"{one.p50_ms / total:.1%}")
        for one in ordered
    ]
    return _table(f"Slowest operators of {name}", ("node", "operator", ">p50 ms", ">share"), rows)


def _optional(milliseconds: float | None) -> str:
    return "–" if milliseconds is None else _milliseconds(milliseconds)


def _milliseconds(value: float) -> str:
    return figures.decimal(value, 2 if value >= 1 else 3)
