"""Figures of accuracy against latency, beside what was published."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lite_toolkit.drawings.pictures import LINES, MUTED, PAPER, SERIES, SMALL, panel
from lite_toolkit.networks.published import PUBLISHED

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
    page, axes = panel(width, 4.4)
    for trail in TRAILS:
        latencies, shares, _ = zip(*trail.points, strict=True)
        axes.plot(latencies, shares, trail.line, color=MUTED, linewidth=0.8, zorder=1)
        axes.plot(latencies, shares, trail.marker, color=PAPER, markeredgecolor=MUTED, markersize=5, zorder=2)
        for place, share, name in trail.points if trail is TRAILS[0] else ():
            below = {"xytext": (4, -9), "textcoords": "offset points", "color": MUTED, "size": SMALL}
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
        name = axes.annotate(row.name, (end, row.top1), textcoords="offset points", size=SMALL, **side)
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
        beside = {"xytext": (1.03, height - excess), "textcoords": "axes fraction", "va": "center", "size": SMALL}
        axes.annotate(row.name, (max(ms for _, ms in row.latencies), row.top1), arrowprops=line, **beside)


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
