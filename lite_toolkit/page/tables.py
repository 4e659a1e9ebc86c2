"""The tables of a page."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from lite_toolkit.edgetpu.forecast import Forecast
from lite_toolkit.measurement.accuracy import Rate
from lite_toolkit.measurement.latency import Profile, Times
from lite_toolkit.measurement.loss import Loss
from lite_toolkit.page.overview import Machine, Model, Overview, Timing, ran, title
from lite_toolkit.reports import figures
from lite_toolkit.reports.evaluation import Evaluation
from lite_toolkit.training.contents import Survey

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
            top1=tuple(_headline(one) for one in model.judged),
            agreement=tuple(_agreement(loss) for loss in model.losses),
            sqnr=tuple(f"{figures.decimal(loss.comparison.sqnr_db)} dB" for loss in model.losses),
            latencies=tuple(_latency(found, timing) for timing in model.timings),
            cached=tuple(_memory(chip.cached_bytes) for chip in model.chips),
            streamed=tuple(_memory(chip.streamed_bytes) for chip in model.chips),
        )
        for model in found.models
    ]


def accuracies(found: Overview) -> Table | None:
    """What each model got right, and how it differs from its reference."""
    rows = [_judged(model, one) for model in found.models for one in model.judged if one.rates]
    columns = ("model", "|images", ">top-1", ">also", "reference", ">same top-1", ">change, points", ">McNemar's p")
    return _table("Accuracy, with 95% intervals", columns, rows)


def labels(found: Overview) -> Table | None:
    """What each model with a sigmoid for each label got right."""
    rows = [
        (
            *(model.title, f"{one.images:,} of {one.data}" + ran(one)),
            *(_percent(value) for value in one.multi_label.figures.values()),
            *(_rate(one.multi_label.exact), title(one.reference.file) if one.reference else "–"),
            _percent(one.multi_label.agreement_percent),
        )
        for model in found.models
        for one in model.judged
        if one.multi_label
    ]
    columns = ("model", "|images", ">mAP", ">micro F1", ">macro F1", ">exact", "reference", ">same labels")
    return _table("Any number of labels an image: mean average precision, and F1 at 0.5", columns, rows)


def losses(found: Overview) -> Table | None:
    """What quantization cost each model."""
    rows = [_loss(model, loss) for model in found.models for loss in model.losses]
    columns = ("model", "|against", "|images", ">same top-1", ">in the top 5", "scores", ">SQNR dB", ">KL, nats")
    return _table("Quantized against float", columns, rows)


def worst(loss: Loss) -> Table | None:
    """The layers that add most error, and what helps."""
    worst = zip(loss.assessment.worst_layers, loss.assessment.worst, strict=True)
    rows = [
        (f"{rank}. {layer.name}", figures.decimal(layer.own_sqnr_db), "; ".join(finding.remedies))
        for rank, (layer, finding) in enumerate(worst, start=1)
    ]
    return _table(f"Layers of {loss.model} that add most error", ("layer", ">own SQNR dB", "what helps"), rows)


def layers(loss: Loss) -> Table | None:
    """The error of each layer."""
    rows = [
        (f"{number}. {name}", *cells)
        for number, (name, *cells) in enumerate(map(figures.layer, loss.assessment.layers), start=1)
    ]
    return _table(f"Layers of {loss.model}, in order of execution", figures.LAYER, rows)


def contents(found: Survey) -> Table | None:
    """The classes of a folder of images, and how many there are of each."""
    rows = [
        (one.class_, *(f"{n:,}" for n in (one.images, one.train, one.validation, one.test))) for one in found.classes
    ]
    columns = ("class", ">images", ">train", ">validation", ">test")
    return _table(f"Images of {found.data} by class", columns, rows)


def copies(found: Survey) -> Table | None:
    """Images that are copies of one another."""
    rows = [
        (", ".join(one.images), "same file" if one.same_file else "same picture", _each(one.classes), _each(one.parts))
        for one in found.copies
    ]
    return _table(f"Copies in {found.data}", ("images", "|alike", "classes", "parts"), rows)


def _each(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))


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
    parts = [part for part in np.array_split(np.asarray(timing.measured.latency.raw_ms), _TENTHS) if len(part)]
    rows = [
        (f"{number}", *(figures.milliseconds(float(value)) for value in (part.min(), np.median(part), part.max())))
        for number, part in enumerate(parts, start=1)
    ]
    return _table(f"Runs of {name} in their order, ms", ("tenth", ">least", ">median", ">most"), rows)


def stages(name: str, timing: Timing) -> Table | None:
    """The way from an image file to the scores."""
    stages = timing.measured.pipeline.stages if timing.measured.pipeline else {}
    rows = [(stage, *_percentiles(times, "p50_ms", "p95_ms", "p99_ms")) for stage, times in stages.items()]
    return _table(f"From an image file to the scores of {name}, ms", ("stage", ">p50", ">p95", ">p99"), rows)


def sustained(name: str, timing: Timing) -> Table | None:
    """The seconds of sustained runs, in tenths."""
    rows = []
    for group in figures.tenths(timing.measured.sustained):
        middle = float(np.median([second.band_ms[1] for second in group]))
        rows.append((f"{group[-1].seconds:.0f}", figures.milliseconds(middle), *figures.clock_and_heat(group)))
    return _table(f"Sustained runs of {name}", ("until second", ">median ms", ">MHz", ">°C"), rows)


def kinds(found: Overview) -> Table | None:
    """The time that each kind of operator takes in each model that was profiled."""
    times: dict[str, dict[int, float]] = {}
    for number, (_, profile) in enumerate(found.profiles):
        for one in profile.operators:
            spent = times.setdefault(one.operator, {})
            spent[number] = spent.get(number, 0.0) + one.median_ms
    columns = tuple(f">{_profiled(found, *profiled)}" for profiled in found.profiles)
    ordered = sorted(times.items(), key=lambda item: -sum(item[1].values()))
    rows = [(name, *(_optional(spent.get(number)) for number in range(len(columns)))) for name, spent in ordered]
    rows.append(("whole model", *(figures.milliseconds(one.latency.distribution.p50_ms) for _, one in found.profiles)))
    caption = "Operators by kind, ms with one thread; each ran as a model of its own"
    return _table(caption, ("operator", *columns), rows if found.profiles else ())


def slowest(found: Overview) -> list[tuple[str, Table | None]]:
    """The slowest operators of each model that was profiled."""
    return [(name, _slowest(name, one)) for where, one in found.profiles for name in (_profiled(found, where, one),)]


def chips(found: Overview) -> Table | None:
    """What the Edge TPU makes of each model."""
    rows = [
        (
            model.title,
            *(("forecast", str(chip.mapped)) if isinstance(chip, Forecast) else ("compiled", "–")),
            str(chip.on_cpu),
            *(_memory(chip.cached_bytes), _memory(chip.streamed_bytes)),
            f"{_range([figures.decimal(1e3 * seconds) for seconds in chip.streaming_seconds('usb3')])} ms",
        )
        for model in found.models
        for chip in model.chips
    ]
    columns = ("model", "known by", ">mapped", ">on the CPU", ">on chip", ">streamed", ">streaming over USB 3")
    return _table("Edge TPU: operators, and parameters in the chip's memory", columns, rows)


def left(found: Overview) -> Table | None:
    """The operators that stay on the CPU, and why."""
    rows = dict.fromkeys(
        (model.title, operator.name, operator.reason, operator.remedy)
        for model in found.models
        for chip in model.chips
        for operator in (chip.operators if isinstance(chip, Forecast) else ())
        if operator.reason
    )
    return _table("Operators on the CPU", ("model", "operator", "why", "what to do"), rows)


def machines(found: Overview) -> Table | None:
    """What measured."""
    told = [(title, machine.environment.facts) for machine, title in found.machines.items()]
    names = list(dict.fromkeys(name for _, known in told for name in known))
    rows = [(title, *(known.get(name) or "–" for name in names)) for title, known in told]
    return _table("Machines that measured", ("device", *names), rows)


def origins(found: Overview) -> Table | None:
    """Where each model comes from, and with what it was made."""
    rows = [
        (
            *(model.title, origin.weights.source, origin.recipe.name),
            origin.calibration.description if origin.calibration else "–",
            ", ".join(f"{name} {version}" for name, version in origin.versions.items()),
        )
        for model in found.models
        for origin in model.origins
    ]
    return _table("Models", ("model", "weights", "|recipe", "|calibrated on", "made with"), rows)


def hashes(found: Overview) -> Table | None:
    """The sha256 of models and weights."""
    weights = {origin.model.file: origin.weights.sha256 for model in found.models for origin in model.origins}
    rows = [(model.title, digest, weights.get(model.name) or "–") for model in found.models for digest in model.sha256]
    return _table("sha256 of models", ("model", "#model's", "#weights'"), rows)


def files(found: Overview) -> Table | None:
    """The files that this page was made from."""
    rows = [(one.file, one.report.KIND, one.toolkit_version, one.sha256) for one in found.sources]
    return _table("Files that this page was made from", ("file", "|what it is", "|lite-toolkit", "#sha256"), rows)


def _table(caption: str, columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Table | None:
    found = tuple(rows)
    return Table(caption, columns, found) if found else None


def _judged(model: Model, one: Evaluation) -> tuple[str, ...]:
    others = ", ".join(f"top-{k} {rate.percent:.1f}%" for k, rate in one.rates.items() if k > 1)
    images = f"{one.rates[1].images:,} of {one.data}" + ran(one)
    row = (model.title, images, _rate(one.rates[1]), others or "–")
    if one.pairing is None or one.reference is None:
        return (*row, "–", "–", "–", "–")
    low, high = one.pairing.interval_points
    change = f"{one.pairing.change_points:+.2f} ({low:+.2f} to {high:+.2f})"
    same = f"{one.pairing.agreement_percent:.1f}%"
    return (*row, title(one.reference.file), same, change, f"{one.pairing.mcnemar_p:.3g}")


def _loss(model: Model, loss: Loss) -> tuple[str, ...]:
    against = title(loss.reference) if loss.reference else "float32, at conversion"
    found = loss.comparison
    data = f"{found.images} held out of {loss.data}"
    return (
        *(model.title, against, (loss.data or "–") if loss.reference else data),
        *(_agreement(loss), _percent(found.top5_agreement_percent)),
        *(found.scores, figures.decimal(found.sqnr_db)),
        f"{found.kl_divergence_nats:.4f}",
    )


def _timing(found: Overview, timing: Timing) -> tuple[str, ...]:
    measured = timing.measured
    return (
        *(title(measured.model), _place(found, timing), f"{measured.times.runs:,}"),
        *_percentiles(measured.latency, "p50_ms", "p90_ms", "p95_ms", "p99_ms", "max_ms", "mean_ms"),
        *(figures.milliseconds(measured.init_ms), figures.milliseconds(measured.first_ms)),
        *(figures.megabytes(measured.memory.peak_bytes), f"{measured.delegated_nodes} of {measured.nodes.nodes}"),
    )


def _latency(found: Overview, timing: Timing) -> tuple[str, str, str]:
    p50, p95 = _percentiles(timing.measured.latency, "p50_ms", "p95_ms")
    return _place(found, timing), p50, p95


def _percentiles(times: Times, *names: str) -> Iterator[str]:
    return (figures.milliseconds(getattr(times.distribution, name)) for name in names)


def _headline(one: Evaluation) -> str:
    if one.rates or one.multi_label is None:
        return _rate(one.rates[1])
    return f"mAP {_percent(one.multi_label.mean_average_precision_percent)}"


def _agreement(loss: Loss) -> str:
    labels = " (labels)" if loss.comparison.scores == "sigmoids" else ""
    return f"{_percent(loss.comparison.agreement_percent)}{labels}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}%"


def _rate(rate: Rate) -> str:
    low, high = rate.interval_percent
    return f"{rate.percent:.1f}% ({low:.1f} to {high:.1f})"


def _memory(sizes: int | tuple[int, int]) -> str:
    ends = sizes if isinstance(sizes, tuple) else (sizes,)
    return _range([figures.mebibytes(size) if size else "0" for size in ends])


def _range(ends: list[str]) -> str:
    """From one to the other; a unit that both have stands once."""
    first, last = ends[0], ends[-1]
    if first == last:
        return first
    return f"{first.removesuffix(last[last.rfind(' ') :]) if ' ' in last else first} to {last}"


def _place(found: Overview, timing: Timing) -> str:
    """With a mark where the report doubts the measurement."""
    return f"{found.place(timing)}{' †' if timing.measured.doubts else ''}"


def _profiled(found: Overview, where: Machine, profile: Profile) -> str:
    return f"{title(profile.model)}, {found.machines[where]}"


def _slowest(name: str, profile: Profile) -> Table | None:
    rows = [
        (f"{one.index}. {one.layer}", one.operator, *figures.share(one.median_ms, profile.sum_ms))
        for one in profile.slowest(OPERATORS_SHOWN)
    ]
    return _table(f"Slowest operators of {name}", ("node", "operator", ">p50 ms", ">share"), rows)


def _optional(milliseconds: float | None) -> str:
    return "–" if milliseconds is None else figures.milliseconds(milliseconds)
