"""Figures of matplotlib for a page: what they show comes ready, and their colours stand for the page's."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lite_toolkit.drawings.svg import INK, LINES, MUTED, PAPER, SERIES
from lite_toolkit.networks.published import PUBLISHED
from lite_toolkit.reports.results import Loss, Second, Timing

_POINTS = 12_000  # in all panels of one kind; a point takes some 30 bytes
_FEWEST = 100  # in one panel
_HALF = 4.6  # inches, of 96 CSS pixels: half a desk
_SECONDS = 400
_SMALL = 8.5  # points
_GAP = 0.055  # of the height, between two labels
_MARK = 4.0  # points: half of a marker
_SIDES: tuple[dict[str, Any], ...] = (
    {"xytext": (8, 0), "ha": "left", "va": "center"},
    {"xytext": (0, 6), "ha": "left", "va": "bottom"},
    {"xytext": (0, -6), "ha": "left", "va": "top"},
    {"xytext": (-8, 0), "ha": "right", "va": "center"},
)
_MARKERS = {"o": "●", "s": "■", "D": "◆", "^": "▲", "v": "▼", "P": "✚"}  # matplotlib's, and as characters


@dataclass(frozen=True)
class Points:
    """A model: its top-1 with interval, and its latency in each of the places that timed it."""

    name: str
    top1: float
    interval: tuple[float, float]
    latencies: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Trail:
    """The published models of one processor: latency, top-1 and name."""

    symbol: str
    marker: str
    line: str
    text: str
    points: tuple[tuple[float, float, str], ...]


_CONDITIONS = "published, int8, ImageNet validation"
TRAILS = (
    Trail(
        *("○", "o", "--", f"Pixel 4, CPU, 4 threads ({_CONDITIONS})"),
        tuple(
            (one.pixel4_cpu_ms, one.int8_top1_percent, name)
            for name, one in PUBLISHED.items()
            if one.pixel4_cpu_ms and one.int8_top1_percent
        ),
    ),
    Trail(
        *("□", "s", ":", f"Pixel 4, Edge TPU ({_CONDITIONS})"),
        tuple(
            (one.pixel4_edgetpu_ms, one.int8_top1_percent, name)
            for name, one in PUBLISHED.items()
            if one.pixel4_edgetpu_ms and one.int8_top1_percent
        ),
    ),
)


def symbol(place: int) -> str:
    """What marks the points of one place, as a character."""
    return list(_MARKERS.values())[place % len(_MARKERS)]


def accuracy(rows: Sequence[Points], width: float) -> Any:
    """Accuracy against latency: each model a line between its latencies, with its interval and its name."""
    page, axes = _panel(width, 4.4)
    for trail in TRAILS:
        latencies, shares, _ = zip(*trail.points, strict=True)
        axes.plot(latencies, shares, trail.line, color=MUTED, linewidth=0.8, zorder=1)
        axes.plot(latencies, shares, trail.marker, color=PAPER, markeredgecolor=MUTED, markersize=5, zorder=2)
        for place, share, name in trail.points if trail is TRAILS[0] else ():
            below = {"xytext": (4, -9), "textcoords": "offset points", "color": MUTED, "size": _SMALL}
            axes.annotate(name, (place, share), **below)
    for row in rows:
        least, most = min(ms for _, ms in row.latencies), max(ms for _, ms in row.latencies)
        axes.plot([least, most], [row.top1] * 2, color=LINES, linewidth=1.5, zorder=3)
        axes.plot([least] * 2, row.interval, color=MUTED, linewidth=1, zorder=3)
        for place, ms in row.latencies:
            style = {"color": SERIES[place % 6], "markeredgecolor": PAPER, "markersize": 8, "zorder": 4}
            axes.plot([ms], [row.top1], list(_MARKERS)[place % 6], **style)
    published = [ms for trail in TRAILS for ms, _, _ in trail.points]
    _scale(axes, published + [ms for row in rows for _, ms in row.latencies])
    axes.set_xlabel("median latency, ms")
    axes.set_ylabel("top-1, %")
    page.draw_without_rendering()  # places what names must not touch
    if not _name_beside(axes, rows):
        _name_at_the_right(axes, rows)
    return page


def _name_beside(axes: Any, rows: Sequence[Points]) -> bool:
    """Names beside their models; none of them where one would touch something."""
    taken = list(_occupied(axes, rows))
    names: list[Any] = []
    for row in rows:
        name = _name_free(axes, row, taken)
        if name is None:
            for other in names:
                other.remove()
            return False
        names.append(name)
        taken.append(name.get_window_extent())
    return True


def _name_free(axes: Any, row: Points, taken: Sequence[Any]) -> Any:
    """The name of a model at the first of `_SIDES` that has room; None where none has."""
    latencies = [ms for _, ms in row.latencies]
    for side in _SIDES:
        end = min(latencies) if side["ha"] == "right" else max(latencies)
        name = axes.annotate(row.name, (end, row.top1), textcoords="offset points", size=_SMALL, **side)
        box = name.get_window_extent()
        if axes.bbox.x0 <= box.x0 and box.x1 <= axes.bbox.x1 and not box.count_overlaps(taken):
            return name
        name.remove()
    return None


def _occupied(axes: Any, rows: Sequence[Points]) -> Iterator[Any]:
    """Boxes around the names, marks and lines in a drawing, in pixels."""
    from matplotlib.transforms import Bbox

    yield from (text.get_window_extent() for text in axes.texts)
    lines = [((ms, share), (ms, share)) for trail in TRAILS for ms, share, _ in trail.points]
    for row in rows:
        least, most = min(ms for _, ms in row.latencies), max(ms for _, ms in row.latencies)
        lines += [((least, row.top1), (most, row.top1)), ((least, row.interval[0]), (least, row.interval[1]))]
    for line in lines:
        yield Bbox(axes.transData.transform(line)).padded(_MARK * axes.figure.dpi / 72)


def _name_at_the_right(axes: Any, rows: Sequence[Points]) -> None:
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


def strips(timings: Sequence[Timing], names: Sequence[str], limit: float, width: float) -> Any:
    """Each measurement a strip of its runs below `limit` milliseconds, under its name."""
    page, axes = _panel(width, 0.7 + 0.42 * len(timings))
    points = share(len(timings))
    for place, (timing, name) in enumerate(zip(timings, names, strict=True)):
        times = _quantiles(timing.measured.runs_ns, points)
        latency = timing.measured.latency
        _ticks(axes, times[times <= limit], place, 0.13, color=SERIES[0], alpha=0.45, linewidth=0.8)
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


def runs(timing: Timing, count: int) -> Any:
    """The runs of one of `count` measurements in their order, and how often each latency occurred."""
    page = _figure(_HALF, 1.7)
    axes, beside = page.subplots(1, 2, sharey=True, width_ratios=(5, 1))
    latency, times = timing.measured.latency, np.asarray(timing.measured.runs_ns) / 1e6
    spread = max(latency.p99_ms - latency.min_ms, 0.04 * latency.p50_ms)
    low, high = latency.min_ms - 0.2 * spread, latency.p99_ms + 0.5 * spread
    places = np.unique(np.linspace(1, len(times), min(share(count), len(times))).round().astype(int))
    shown = times[places - 1]
    inside = shown <= high
    _dots(axes, places[inside], shown[inside], 1.8, color=SERIES[0], alpha=0.6)
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


def sustained(seconds: Sequence[Second], width: float) -> Any:
    """Latency, with marks at the bottom while the board reports limits; below it frequency and temperature if known."""
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


def layers(loss: Loss, width: float) -> Any:
    """The ratios of each layer, in the running network and with exact inputs, and rings around the worst."""
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


def share(count: int) -> int:
    """How many points each of `count` drawings may have."""
    return max(_FEWEST, _POINTS // count)


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


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value
