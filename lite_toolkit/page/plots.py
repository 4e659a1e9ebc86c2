"""What a page draws: SVG in the page's colours, with a text alternative, a caption and a key."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from lite_toolkit.drawings import accuracy as scatter
from lite_toolkit.drawings import latency
from lite_toolkit.drawings import layers as along
from lite_toolkit.drawings.svg import render
from lite_toolkit.measurement.accuracy import Rate
from lite_toolkit.measurement.latency import Times
from lite_toolkit.measurement.loss import Loss
from lite_toolkit.page.overview import Model, Overview, Timing, title
from lite_toolkit.reports import figures

WIDE, NARROW = 10.0, 3.75  # inches, of 96 CSS pixels: a desk and a telephone
_LABEL = 40  # characters


@dataclass(frozen=True)
class Key:
    """What a symbol in a plot stands for; `colour` is a variable of the page's style."""

    symbol: str
    colour: str
    text: str


@dataclass(frozen=True)
class Plot:
    """A drawing.

    Attributes:
        summary: the text alternative.
        caption: how to read it.
        pictures: `<svg>` elements by the class of page that shows them: "wide" and "narrow", or "any".
    """

    summary: str
    caption: str
    keys: tuple[Key, ...]
    pictures: dict[str, str]


def accuracy(found: Overview) -> Plot | None:
    """Accuracy against latency, with what was published; None where no model has both."""
    places = list(dict.fromkeys(found.place(timing) for model in found.models for timing in model.timings))
    rows = [
        _points(model, model.top1, found, places) for model in found.models if model.top1 is not None and model.timings
    ]
    if not rows:
        return None
    used = sorted({place for row in rows for place, _ in row.latencies})
    keys = [Key(scatter.symbol(place), f"--series-{place % 6 + 1}", places[place]) for place in used]
    keys += [Key(trail.symbol, "--muted", trail.text) for trail in scatter.TRAILS]
    told = "; ".join(
        f"{row.name} {row.top1:.1f}% at " + ", ".join(f"{ms:.3g} ms ({places[place]})" for place, ms in row.latencies)
        for row in rows
    )
    return Plot(
        summary=f"Scatter plot of top-1 against median latency. {told}.",
        caption="Top-1 with its 95% interval against median latency: higher and further left is better. Published "
        "points are of other hardware and of all 50,000 images of ImageNet's validation set: a frame, not a rival.",
        keys=tuple(keys),
        pictures=_both("accuracy", functools.partial(scatter.accuracy, rows)),
    )


def distributions(found: Overview) -> Plot | None:
    """All runs of every measurement as strips; None where there is none."""
    timings = [timing for model in found.models for timing in model.timings]
    if not timings:
        return None
    measured = [timing.measured for timing in timings]
    names = [f"{_name(timing)} · {_short(found.place(timing))}" for timing in timings]
    told = "; ".join(
        f"{name}: p50 {_ms(timing)}, p95 {timing.measured.times.p95_ms:.3g}"
        for name, timing in zip(names, timings, strict=True)
    )
    limit = 1.1 * max(timing.measured.times.p99_ms for timing in timings)
    share = latency.share(len(timings))
    some = f" Of more than {share:,} runs, {share:,} are drawn, in even steps of rank."
    cut = any(timing.measured.times.runs > share for timing in timings)
    beyond = sum(_beyond(timing.measured.latency, limit) for timing in timings)
    return Plot(
        summary=f"Strips of latencies in milliseconds. {told}.",
        caption="Every run is a line; the tall mark is the median, the short one the 95th percentile."
        + (some if cut else "")
        + (f" {beyond:,} slower runs lie to the right of the picture." if beyond else ""),
        keys=(),
        pictures=_both("strips", functools.partial(latency.strips, measured, names, limit)),
    )


def _beyond(times: Times, limit: float) -> int:
    """How many of the runs are slower than `limit`, as far as those that are told stand for all."""
    told = times.raw_ms
    return round(sum(run > limit for run in told) * times.distribution.runs / len(told))


def runs(found: Overview, timing: Timing, number: int, count: int) -> Plot:
    """The runs of one measurement in their order, and how often each latency occurred."""
    times, name = timing.measured.times, f"{_name(timing)}, {found.place(timing)}"
    return Plot(
        summary=f"Latency of {times.runs:,} runs of {name} in their order: from {times.min_ms:.3g} to "
        f"{times.max_ms:.3g} ms, median {times.p50_ms:.3g} ms.",
        caption=f"{name}: {times.runs:,} runs, p50 {times.p50_ms:.2f}, p95 {times.p95_ms:.2f}, "
        f"p99 {times.p99_ms:.2f}, at most {times.max_ms:.2f} ms",
        keys=(),
        pictures={"any": render(functools.partial(latency.runs, timing.measured, count), f"runs{number}")},
    )


def sustained(found: Overview, timing: Timing, number: int) -> Plot:
    """Latency, frequency and temperature of sustained runs."""
    seconds, name = timing.measured.sustained, f"{_name(timing)}, {found.place(timing)}"
    hottest = max((one.hottest_celsius for one in seconds if one.hottest_celsius is not None), default=None)
    heat = f" The hottest sensor reached {hottest:.1f} °C." if hottest is not None else ""
    step = round(seconds[-1].seconds / len(seconds))
    second, several = ("second", "seconds") if step <= 1 else (f"{step} seconds", f"times {step} seconds")
    limited = sum(bool(one.limits) for one in seconds)
    limits = f" The board reported limits in {limited} of {len(seconds)} {several}." if limited else ""
    return Plot(
        summary=f"Median latency of each of {len(seconds)} {several} of {name}: {seconds[0].band_ms[1]:.3g} ms in the "
        f"first, {seconds[-1].band_ms[1]:.3g} ms in the last.{heat}{limits}",
        caption=f"{name}: the median of each {second}, and the range of 90% of its runs.{heat}{limits}",
        keys=(),
        pictures=_both(f"sustained{number}", functools.partial(latency.sustained, [timing.measured])),
    )


def layers(loss: Loss, number: int) -> Plot:
    """The error of each layer of a quantized model, along the graph."""
    worst = loss.assessment.worst_layers
    told = ", ".join(f"{layer.name} {figures.decimal(layer.own_sqnr_db)} dB" for layer in worst)
    return Plot(
        summary=f"Signal to noise ratio of {len(loss.assessment.layers)} layers of {loss.model}, in order of "
        f"execution. Those that add most error: {told or 'none'}.",
        caption="Higher is better. A layer's own ratio is measured with exact inputs, so that no other layer's error "
        "counts; rings are the layers that add most error, numbered as in the table.",
        keys=(Key("—", "--ink", "in the running network"), Key("●", "--series-1", "own, with exact inputs")),
        pictures=_both(f"layers{number}", functools.partial(along.layers, loss.assessment)),
    )


def _both(name: str, draw: Callable[[float], Any]) -> dict[str, str]:
    return {
        "wide": render(lambda: draw(WIDE), f"{name}-wide"),
        "narrow": render(lambda: draw(NARROW), f"{name}-narrow"),
    }


def _points(model: Model, top1: Rate, found: Overview, places: Sequence[str]) -> scatter.Points:
    latencies = [(places.index(found.place(timing)), timing.measured.times.p50_ms) for timing in model.timings]
    return scatter.Points(_short(model.title), top1.percent, top1.interval_percent, tuple(latencies))


def _name(timing: Timing) -> str:
    return _short(title(timing.measured.model))


def _short(text: str) -> str:
    return text if len(text) <= _LABEL else f"{text[: _LABEL - 1]}…"


def _ms(timing: Timing) -> str:
    return f"{timing.measured.times.p50_ms:.3g}"
