"""What a page draws: SVG in the page's colours, with a text alternative, a caption and a key."""

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lite_toolkit.accuracy import Rate
from lite_toolkit.distribution import Distribution
from lite_toolkit.page.overview import Model, Overview
from lite_toolkit.page.results import Loss, Second, Timing
from lite_toolkit.page.svg import INK, LINES, MUTED, PAPER, SERIES, render
from lite_toolkit.published import PUBLISHED
from lite_toolkit.tables import figures

WIDE, NARROW, PANEL = 10.0, 3.75, 4.6  # inches, of 96 CSS pixels: a desk, a telephone, half a desk
POINTS = 6_000  # in all panels of one kind; a point takes some 30 bytes
_SECONDS = 400
_SMALL = 8.5  # points
_MARKERS = "osD^vP"
_SYMBOLS = "●■◆▲▼✚"
_LABEL = 40  # characters
_GAP = 0.055  # of the height, between two labels

Draw = Callable[[float], Any]


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


@dataclass(frozen=True)
class _Points:
    """A model: its top-1 with interval, and its latency in each of the places that timed it."""

    name: str
    top1: float
    interval: tuple[float, float]
    latencies: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class _Trail:
    """The published models of one processor: latency, top-1 and name."""

    symbol: str
    marker: str
    line: str
    text: str
    points: tuple[tuple[float, float, str], ...]


_CONDITIONS = "published, int8, ImageNet validation"
_TRAILS = (
    _Trail(
        *("○", "o", "--", f"Pixel 4, CPU, 4 threads ({_CONDITIONS})"),
        tuple(
            (one.pixel4_cpu_ms, one.int8_top1_percent, name)
            for name, one in PUBLISHED.items()
            if one.pixel4_cpu_ms and one.int8_top1_percent
        ),
    ),
    _Trail(
        *("□", "s", ":", f"Pixel 4, Edge TPU ({_CONDITIONS})"),
        tuple(
            (one.pixel4_edgetpu_ms, one.int8_top1_percent, name)
            for name, one in PUBLISHED.items()
            if one.pixel4_edgetpu_ms and one.int8_top1_percent
        ),
    ),
)


def accuracy(found: Overview) -> Plot | None:
    """Accuracy against latency, with what was published; None where no model has both."""
    places = list(dict.fromkeys(found.place(timing) for model in found.models for timing in model.timings))
    rows = [
        _points(model, model.top1, found, places) for model in found.models if model.top1 is not None and model.timings
    ]
    if not rows:
        return None
    used = sorted({place for row in rows for place, _ in row.latencies})
    keys = [Key(_SYMBOLS[place % 6], _variable(place), places[place]) for place in used]
    keys += [Key(trail.symbol, "--muted", trail.text) for trail in _TRAILS]
    told = "; ".join(
        f"{row.name} {row.top1:.1f}% at " + ", ".join(f"{ms:.3g} ms ({places[place]})" for place, ms in row.latencies)
        for row in rows
    )
    return Plot(
        summary=f"Scatter plot of top-1 against median latency. {told}.",
        caption="Top-1 with its 95% interval against median latency: higher and further left is better. Published "
        "points are of other hardware and of all 50,000 images of ImageNet's validation set: a frame, not a rival.",
        keys=tuple(keys),
        pictures=_both("accuracy", functools.partial(_draw_accuracy, rows)),
    )


def distributions(found: Overview) -> Plot | None:
    """All runs of every measurement as strips; None where there is none."""
    timings = [timing for model in found.models for timing in model.timings]
    if not timings:
        return None
    names = [f"{_name(timing)} · {_short(found.place(timing))}" for timing in timings]
    told = "; ".join(
        f"{name}: p50 {_ms(timing)}, p95 {timing.measured.latency.p95_ms:.3g}"
        for name, timing in zip(names, timings, strict=True)
    )
    limit = 1.1 * max(timing.measured.latency.p99_ms for timing in timings)
    beyond = sum(run > limit * 1e6 for timing in timings for run in timing.measured.runs_ns)
    return Plot(
        summary=f"Strips of latencies in milliseconds. {told}.",
        caption="Every run is a line; the tall mark is the median, the short one the 95th percentile."
        + (f" {beyond} slower runs lie to the right of the picture." if beyond else ""),
        keys=(),
        pictures=_both("strips", functools.partial(_draw_strips, timings, names, limit)),
    )


def runs(found: Overview, timing: Timing, number: int, count: int) -> Plot:
    """The runs of one measurement in their order, and how often each latency occurred."""
    latency, name = timing.measured.latency, f"{_name(timing)}, {found.place(timing)}"
    return Plot(
        summary=f"Latency of {latency.runs:,} runs of {name} in their order: from {latency.min_ms:.3g} to "
        f"{latency.max_ms:.3g} ms, median {latency.p50_ms:.3g} ms.",
        caption=f"{name}: {latency.runs:,} runs, p50 {latency.p50_ms:.2f}, p95 {latency.p95_ms:.2f}, "
        f"p99 {latency.p99_ms:.2f}, at most {latency.max_ms:.2f} ms",
        keys=(),
        pictures={
            "any": render(lambda: _draw_runs(timing, max(100, POINTS // count)), f"runs{number}"),
        },
    )


def sustained(found: Overview, timing: Timing, number: int) -> Plot:
    """Latency, frequency and temperature of sustained runs."""
    seconds, name = timing.sustained, f"{_name(timing)}, {found.place(timing)}"
    hottest = max((one.temperature_celsius for one in seconds if one.temperature_celsius is not None), default=None)
    heat = f" The hottest sensor reached {hottest:.1f} °C." if hottest is not None else ""
    limited = sum(one.throttled & 0xF != 0 for one in seconds)
    limits = f" The board reported limits in {limited} of {len(seconds)} seconds." if limited else ""
    return Plot(
        summary=f"Median latency of each of {len(seconds)} seconds of {name}: {seconds[0].middle_ms:.3g} ms in the "
        f"first, {seconds[-1].middle_ms:.3g} ms in the last.{heat}{limits}",
        caption=f"{name}: the median of each second, and the range of 90% of its runs.{heat}{limits}",
        keys=(),
        pictures=_both(f"sustained{number}", functools.partial(_draw_sustained, seconds)),
    )


def layers(loss: Loss, number: int) -> Plot:
    """The error of each layer of a quantized model, along the graph."""
    worst = [loss.layers[place] for place, _ in loss.worst]
    told = ", ".join(f"{layer.name} {figures.decimal(layer.own_sqnr_db)} dB" for layer in worst)
    return Plot(
        summary=f"Signal to noise ratio of {len(loss.layers)} layers of {loss.quantized.model}, in order of "
        f"execution. Those that add most error: {told or 'none'}.",
        caption="Higher is better. A layer's own ratio is measured with exact inputs, so that no other layer's error "
        "counts; rings are the layers that add most error, numbered as in the table.",
        keys=(Key("—", "--ink", "in the running network"), Key("●", "--series-1", "own, with exact inputs")),
        pictures=_both(f"layers{number}", functools.partial(_draw_layers, loss)),
    )


def _both(name: str, draw: Draw) -> dict[str, str]:
    return {
        "wide": render(lambda: draw(WIDE), f"{name}-wide"),
        "narrow": render(lambda: draw(NARROW), f"{name}-narrow"),
    }


def _points(model: Model, top1: Rate, found: Overview, places: Sequence[str]) -> _Points:
    latencies = [(places.index(found.place(timing)), timing.measured.latency.p50_ms) for timing in model.timings]
    return _Points(_short(model.title), top1.percent, top1.interval_percent, tuple(latencies))


def _draw_accuracy(rows: Sequence[_Points], width: float) -> Any:
    page, axes = _panel(width, 4.4)
    for trail in _TRAILS:
        latencies, shares, _ = zip(*trail.points, strict=True)
        axes.plot(latencies, shares, trail.line, color=MUTED, linewidth=0.8, zorder=1)
        axes.plot(latencies, shares, trail.marker, color=PAPER, markeredgecolor=MUTED, markersize=5, zorder=2)
        for place, share, name in trail.points if trail is _TRAILS[0] else ():
            below = {"xytext": (4, -9), "textcoords": "offset points", "color": MUTED, "size": _SMALL}
            axes.annotate(name, (place, share), **below)
    for row in rows:
        least, most = min(ms for _, ms in row.latencies), max(ms for _, ms in row.latencies)
        axes.plot([least, most], [row.top1] * 2, color=LINES, linewidth=1.5, zorder=3)
        axes.plot([least] * 2, row.interval, color=MUTED, linewidth=1, zorder=3)
        for place, ms in row.latencies:
            style = {"color": SERIES[place % 6], "markeredgecolor": PAPER, "markersize": 8, "zorder": 4}
            axes.plot([ms], [row.top1], _MARKERS[place % 6], **style)
    _scale(
        axes, [ms for row in rows for _, ms in row.latencies] + [ms for trail in _TRAILS for ms, _, _ in trail.points]
    )
    _label(axes, rows)
    axes.set_xlabel("median latency, ms")
    axes.set_ylabel("top-1, %")
    return page


def _label(axes: Any, rows: Sequence[_Points]) -> None:
    """Names at the right, from low to high, each with a line to its model, and moved apart where they would touch."""
    low, high = axes.get_ylim()
    ordered = sorted(rows, key=lambda one: one.top1)
    wanted = [(row.top1 - low) / (high - low) for row in ordered]
    heights: list[float] = []
    for height in wanted:
        heights.append(max(height, heights[-1] + _GAP) if heights else height)
    excess = sum(heights) / len(heights) - sum(wanted) / len(wanted)
    for row, height in zip(ordered, heights, strict=True):
        line = {"arrowstyle": "-", "color": LINES, "linewidth": 1, "shrinkB": 5}
        beside = {"xytext": (1.03, height - excess), "textcoords": "axes fraction", "va": "center", "size": _SMALL}
        axes.annotate(row.name, (max(ms for _, ms in row.latencies), row.top1), arrowprops=line, **beside)


def _draw_strips(timings: Sequence[Timing], names: Sequence[str], limit: float, width: float) -> Any:
    page, axes = _panel(width, 0.7 + 0.42 * len(timings))
    points = max(100, POINTS // len(timings))
    for place, (timing, name) in enumerate(zip(timings, names, strict=True)):
        times = _quantiles(timing.measured.runs_ns, points)
        latency: Distribution = timing.measured.latency
        _ticks(axes, times[times <= limit], place, 0.13, color=SERIES[0], alpha=0.3, linewidth=0.8)
        _ticks(axes, [latency.p50_ms], place, 0.26, color=INK, linewidth=2)
        _ticks(axes, [latency.p95_ms], place, 0.17, color=INK, linewidth=1.2)
        above = {"xytext": (0, place - 0.3), "textcoords": ("axes fraction", "data"), "size": _SMALL, "va": "bottom"}
        axes.annotate(f"{name}: {latency.p50_ms:.2f} ms", (0, place), color=INK, annotation_clip=False, **above)
    axes.set_ylim(len(timings) - 0.6, -0.8)
    axes.set_xlim(0, limit)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    axes.set_xlabel("latency, ms")
    return page


def _draw_runs(timing: Timing, points: int) -> Any:
    page = _figure(PANEL, 1.7)
    axes, beside = page.subplots(1, 2, sharey=True, width_ratios=(5, 1))
    latency, times = timing.measured.latency, np.asarray(timing.measured.runs_ns) / 1e6
    spread = max(latency.p99_ms - latency.min_ms, 0.04 * latency.p50_ms)
    low, high = latency.min_ms - 0.2 * spread, latency.p99_ms + 0.5 * spread
    places = np.unique(np.linspace(1, len(times), min(points, len(times))).round().astype(int))
    shown = times[places - 1]
    inside = shown <= high
    _dots(axes, places[inside], shown[inside], 1.6, color=SERIES[0], alpha=0.5)
    edge = np.full((~inside).sum(), high)
    _dots(axes, places[~inside], edge, 3, color=SERIES[1], clip_on=False)
    axes.axhline(latency.p50_ms, color=INK, linewidth=0.8)
    axes.set_ylim(low, high)
    axes.set_xlim(0, len(times))
    axes.set_ylabel("ms")
    axes.set_xlabel("run")
    axes.grid(axis="y")
    counts, edges = np.histogram(times, 40, (low, high))
    beside.stairs(counts, edges, orientation="horizontal", fill=True, color=SERIES[0], alpha=0.6)
    beside.axis("off")
    return page


def _draw_sustained(seconds: Sequence[Second], width: float) -> Any:
    step = -(-len(seconds) // _SECONDS)
    shown = seconds[::step]
    state = [
        ("MHz", [(one.end, one.frequency_mhz) for one in shown if one.frequency_mhz is not None]),
        ("°C", [(one.end, one.temperature_celsius) for one in shown if one.temperature_celsius is not None]),
    ]
    known = [(unit, values) for unit, values in state if values]
    page = _figure(width, 2.1 + 1.1 * len(known))
    panels = page.subplots(1 + len(known), 1, sharex=True, squeeze=False, height_ratios=[2] + [1] * len(known))[:, 0]
    ends = [one.end for one in shown]
    low, high = [one.low_ms for one in shown], [one.high_ms for one in shown]
    panels[0].fill_between(ends, low, high, color=SERIES[0], alpha=0.25, linewidth=0)
    panels[0].plot(ends, [one.middle_ms for one in shown], color=SERIES[0], linewidth=1.4)
    limited = [one.end for one in shown if one.throttled & 0xF]
    _dots(panels[0], limited, np.zeros(len(limited)), 3, color=SERIES[1])
    panels[0].set_ylim(0, None)
    panels[0].set_ylabel("latency, ms")
    for axes, (unit, values), colour in zip(panels[1:], known, (SERIES[2], SERIES[1]), strict=False):
        axes.plot(*zip(*values, strict=True), color=colour, linewidth=1.2)
        axes.set_ylabel(unit)
    for axes in panels:
        axes.grid(axis="y")
    panels[-1].set_xlim(0, ends[-1])
    panels[-1].set_xlabel("seconds")
    return page


def _draw_layers(loss: Loss, width: float) -> Any:
    page, axes = _panel(width, 3.1)
    places = np.arange(1, len(loss.layers) + 1)
    running = np.array([_or_nan(layer.sqnr_db) for layer in loss.layers])
    own = np.array([_or_nan(layer.own_sqnr_db) for layer in loss.layers])
    axes.plot(places, running, color=INK, linewidth=1.3)
    _dots(axes, places, own, 4.5, color=SERIES[0])
    for rank, (place, _) in enumerate(loss.worst, start=1):
        ring = {"markersize": 9, "markerfacecolor": "none", "markeredgecolor": SERIES[1], "markeredgewidth": 1.4}
        axes.plot([place + 1], [own[place]], "o", **ring)
        below = {"xytext": (0, -7), "textcoords": "offset points", "ha": "center", "va": "top", "weight": "bold"}
        axes.annotate(str(rank), (place + 1, own[place]), size=_SMALL, **below)
    axes.set_xlim(0, len(places) + 1)
    axes.set_xlabel("layer, in order of execution")
    axes.set_ylabel("SQNR, dB")
    return page


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _panel(width: float, height: float) -> tuple[Any, Any]:
    page = _figure(width, height)
    axes = page.subplots()
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    return page, axes


def _dots(axes: Any, x: ArrayLike, y: ArrayLike, size: float, **style: Any) -> None:
    """Points as one path of lines without length, whose round ends are what is seen: 30 bytes each, where markers take
    a hundred."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    gaps = np.full(len(x), np.nan)
    xs, ys = np.column_stack([x, x, gaps]).ravel(), np.column_stack([y, y, gaps]).ravel()
    axes.plot(xs, ys, linewidth=size, solid_capstyle="round", **style)


def _ticks(axes: Any, x: ArrayLike, y: float, height: float, **style: Any) -> None:
    """Upright lines around a height, as one path."""
    x = np.asarray(x, float)
    gaps = np.full(len(x), np.nan)
    ends = np.tile([y - height, y + height, np.nan], len(x))
    axes.plot(np.column_stack([x, x, gaps]).ravel(), ends, solid_capstyle="butt", **style)


def _scale(axes: Any, latencies: Iterable[float]) -> None:
    """Logarithmic, with ticks at 1, 2 and 5."""
    values = list(latencies)
    low, high = min(values) / 1.15, max(values) * 1.1
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    steps = [base * 10.0**power for power in range(-6, 7) for base in (1, 2, 5)]
    ticks = [step for step in steps if low <= step <= high]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()


def _quantiles(runs_ns: Sequence[int], points: int) -> Any:
    """All runs in milliseconds, or where there are more than `points`, so many quantiles of them."""
    times = np.sort(np.asarray(runs_ns) / 1e6)
    return times if len(times) <= points else np.quantile(times, np.linspace(0, 1, points))


def _name(timing: Timing) -> str:
    return _short(timing.measured.model.removesuffix(".tflite"))


def _short(text: str) -> str:
    return text if len(text) <= _LABEL else f"{text[: _LABEL - 1]}…"


def _ms(timing: Timing) -> str:
    return f"{timing.measured.latency.p50_ms:.3g}"


def _variable(place: int) -> str:
    return f"--series-{place % 6 + 1}"


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value
