"""Figures of latency: all runs, their order, and sustained runs beside the machine's state."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lite_toolkit.drawings import pictures
from lite_toolkit.drawings.pictures import INK, SERIES, SMALL, dots, figure, panel
from lite_toolkit.measurement.latency import Benchmark, Measurement, Second

_POINTS = 12_000  # in all panels of one kind; a point takes some 30 bytes
_FEWEST = 100  # in one panel
_HALF = 4.6  # inches, of 96 CSS pixels: half a desk
_SECONDS = 400
_WIDTH = 9.0  # inches, of a picture

_STATE: tuple[tuple[str, Callable[[Second], float | None]], ...] = (
    ("MHz", lambda second: second.frequency_mhz),
    ("°C", lambda second: second.hottest_celsius),
)


def draw(found: Benchmark, path: Path, force: bool = False) -> None:
    """Draw all measurements to an `.svg` or `.png` file: sustained runs over time, others by rank.

    Equal measurements give equal bytes.

    Raises:
        OutputError, MissingExtraError: as `pictures.require`; or the file cannot be written.
    """
    title = f"Latency on {found.environment.title}"
    pictures.save(lambda: picture(found, title), title, path, force)


def picture(found: Benchmark, title: str) -> Any:
    """The `matplotlib.figure.Figure` that `draw` saves."""
    measured = found.measurements
    made = sustained(measured, _WIDTH) if measured[0].sustained else ranks(measured, _WIDTH)
    names = [
        f"{Path(one.model).stem}, {one.delegate}, threads {one.threads}: p50 {one.times.p50_ms:.2f} ms"
        for one in measured
    ]
    made.suptitle(title, size=14, weight="bold")
    made.set_figheight(made.get_figheight() + 0.4 + 0.1 * len(names))
    pictures.legend(made.axes[0], made.axes[0].lines[::2], names, 2)  # each has a line, then its points
    return made


def ranks(found: Sequence[Measurement], width: float) -> Any:
    """The latency that each share of the runs kept to, with points at p50, p90 and p99."""
    page, axes = panel(width, 4.4)
    for one, colour in zip(found, _colours(len(found)), strict=True):
        times = np.sort(one.latency.raw_ms)
        axes.plot(np.linspace(0, 100, len(times)), times, color=colour, linewidth=1.4)
        axes.plot([50, 90, 99], [one.times.p50_ms, one.times.p90_ms, one.times.p99_ms], "o", color=colour, markersize=4)
    axes.set_xlim(0, 100)
    # The slowest runs of all may take ten times as long as the others.
    axes.set_ylim(0, 1.2 * max(one.times.p99_ms for one in found))
    axes.set_xlabel("percent of the runs")
    axes.set_ylabel("latency up to, ms")
    return page


def strips(found: Sequence[Measurement], names: Sequence[str], limit: float, width: float) -> Any:
    """Each measurement a strip of its runs below `limit` milliseconds, under its name."""
    page, axes = panel(width, 0.7 + 0.42 * len(found))
    points = share(len(found))
    for place, (measured, name) in enumerate(zip(found, names, strict=True)):
        times = _quantiles(measured.latency.raw_ms, points)
        latency = measured.times
        _ticks(axes, times[times <= limit], place, 0.13, color=SERIES[0], alpha=0.45, linewidth=0.8)
        _ticks(axes, [latency.p50_ms], place, 0.26, color=INK, linewidth=2)
        _ticks(axes, [latency.p95_ms], place, 0.17, color=INK, linewidth=1.2)
        above = {"xytext": (0, place - 0.3), "textcoords": ("axes fraction", "data"), "size": SMALL, "va": "bottom"}
        axes.annotate(f"{name}: {latency.p50_ms:.2f} ms", (0, place), color=INK, annotation_clip=False, **above)
    axes.set_ylim(len(found) - 0.6, -0.8)
    axes.set_xlim(0, limit)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    axes.set_xlabel("latency, ms")
    return page


def runs(found: Measurement, count: int) -> Any:
    """The runs of one of `count` measurements in their order, and how often each latency occurred."""
    page = figure(_HALF, 1.7)
    axes, beside = page.subplots(1, 2, sharey=True, width_ratios=(5, 1))
    latency, times = found.times, np.asarray(found.latency.raw_ms)
    each = latency.runs / len(times)  # runs that a told one stands for
    spread = max(latency.p99_ms - latency.min_ms, 0.04 * latency.p50_ms)
    low, high = latency.min_ms - 0.2 * spread, latency.p99_ms + 0.5 * spread
    places = np.unique(np.linspace(1, len(times), min(share(count), len(times))).round().astype(int))
    shown = times[places - 1]
    inside = shown <= high
    dots(axes, each * places[inside], shown[inside], 1.8, color=SERIES[0], alpha=0.6)
    edge = np.full((~inside).sum(), high)
    dots(axes, each * places[~inside], edge, 3, color=SERIES[1], clip_on=False)
    axes.axhline(latency.p50_ms, color=INK, linewidth=0.8)
    axes.set_ylim(low, high)
    axes.set_xlim(0, latency.runs)
    axes.set_ylabel("ms")
    axes.set_xlabel("run")
    axes.grid(axis="y")
    counts, edges = np.histogram(times, 40, (low, high))
    beside.stairs(counts, edges, orientation="horizontal", fill=True, color=SERIES[0], alpha=0.6)
    beside.axis("off")
    return page


def sustained(found: Sequence[Measurement], width: float) -> Any:
    """Latency, with marks at the bottom while the board reports limits; below it frequency and temperature if known.

    The line is the median of each second, and the band the range of 90% of its runs.
    """
    shown = [one.sustained[:: -(-len(one.sustained) // _SECONDS)] for one in found]
    known = [
        (unit, tell) for unit, tell in _STATE if any(tell(one) is not None for seconds in shown for one in seconds)
    ]
    page = figure(width, 2.1 + 1.1 * len(known))
    panels = page.subplots(1 + len(known), 1, sharex=True, squeeze=False, height_ratios=[2] + [1] * len(known))[:, 0]
    for seconds, colour in zip(shown, _colours(len(found)), strict=True):
        _draw_seconds(panels[0], seconds, colour, SERIES[1] if len(found) == 1 else colour)
    panels[0].set_ylim(0, None)
    panels[0].set_ylabel("latency, ms")
    for number, (axes, (unit, tell)) in enumerate(zip(panels[1:], known, strict=True)):
        for seconds, colour in zip(shown, _colours(len(found), 2 - number), strict=True):
            told = [(one.seconds, tell(one)) for one in seconds if tell(one) is not None]
            axes.plot(*zip(*told, strict=True), color=colour, linewidth=1.2)
        axes.set_ylabel(unit)
    for axes in panels:
        axes.grid(axis="y")
    panels[-1].set_xlim(0, max(seconds[-1].seconds for seconds in shown))
    panels[-1].set_xlabel("seconds")
    return page


def _draw_seconds(axes: Any, seconds: Sequence[Second], colour: str, limited: str) -> None:
    ends = [one.seconds for one in seconds]
    low, middle, high = zip(*(one.band_ms for one in seconds), strict=True)
    axes.fill_between(ends, low, high, color=colour, alpha=0.25, linewidth=0)
    axes.plot(ends, middle, color=colour, linewidth=1.4)
    limits = [one.seconds for one in seconds if one.limits]
    dots(axes, limits, np.zeros(len(limits)), 3, color=limited)


def _colours(count: int, alone: int = 0) -> list[str]:
    """One for each of several measurements; that of the place `alone` for a single one."""
    return [SERIES[alone]] if count == 1 else [SERIES[number % len(SERIES)] for number in range(count)]


def share(count: int) -> int:
    """How many points each of `count` drawings may have."""
    return max(_FEWEST, _POINTS // count)


def _ticks(axes: Any, x: ArrayLike, y: float, height: float, **style: Any) -> None:
    """Upright lines around a height, as one path."""
    x = np.asarray(x, float)
    gaps = np.full(len(x), np.nan)
    ends = np.tile([y - height, y + height, np.nan], len(x))
    axes.plot(np.column_stack([x, x, gaps]).ravel(), ends, solid_capstyle="butt", **style)


def _quantiles(runs: Sequence[float], points: int) -> Any:
    """All runs, or where there are more than `points`, so many quantiles of them."""
    times = np.sort(runs)
    return times if len(times) <= points else np.quantile(times, np.linspace(0, 1, points))
