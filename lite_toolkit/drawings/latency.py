"""A drawing of a benchmark: the distribution of latencies, or latency and the machine's state over time."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lite_toolkit.drawings import pictures
from lite_toolkit.measurement.benchmark import Measurement
from lite_toolkit.measurement.stability import throttling

_INK, _GREY, _LINES = "#22303c", "#74818d", "#e3e7eb"
_COLOURS = ("#4f86c6", "#d1495b", "#3d9970", "#b8860b", "#7d5ba6", "#22303c")
_SMALL, _MIDDLE, _LARGE = 8.0, 9.5, 14.0  # points
_WIDTH, _PANEL = 9.0, 2.2  # inches


def draw(found: Sequence[Measurement], path: Path) -> None:
    """Draw to an `.svg` or `.png` file; equal measurements give equal bytes.

    Raises:
        OutputError, MissingExtraError: as `pictures.require`; or the file cannot be written.
    """
    pictures.save(lambda: figure(found), "Latency", path)


def figure(found: Sequence[Measurement]) -> Any:
    """The `matplotlib.figure.Figure` that `draw` saves: sustained runs over time, others by rank."""
    from matplotlib.figure import Figure

    panels = _panels(found)
    top = 0.8 + 0.2 * ((len(found) + 1) // 2)
    height = top + 0.6 + _PANEL * (len(panels) + 0.5)
    page = Figure(figsize=(_WIDTH, height), facecolor="white")
    ratios = [1.5, *[1.0] * (len(panels) - 1)]
    axes = page.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=ratios)[:, 0]
    page.subplots_adjust(0.09, 0.6 / height, 0.97, 1 - top / height, hspace=0.12)
    page.text(0.09, 1 - 0.4 / height, _title(found), size=_LARGE, weight="bold", color=_INK)
    for axis, (label, paint) in zip(axes, panels, strict=True):
        for place, one in enumerate(found):
            paint(axis, one, _COLOURS[place % len(_COLOURS)])
        axis.set_ylabel(label, color=_INK, size=_MIDDLE)
        _style(axis)
    sustained = bool(found[0].result["sustained"])
    axes[-1].set_xlabel("seconds" if sustained else "percent of the runs", color=_INK, size=_MIDDLE)
    axes[-1].set_xlim(0, None if sustained else 100)
    # The slowest runs of all may take ten times as long as the others.
    axes[0].set_ylim(0, None if sustained else 1.2 * max(one.latency.p99_ms for one in found))
    above = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderpad": 0.2, "borderaxespad": 0}
    axes[0].legend(ncols=2, fontsize=_SMALL, labelcolor=_INK, frameon=False, **above)
    return page


def _panels(found: Sequence[Measurement]) -> list[tuple[str, Any]]:
    if not found[0].result["sustained"]:
        return [("latency up to, ms", _draw_ranks)]
    seconds = [second for one in found for second in one.result["sustained"]]
    return [
        ("latency, ms", _draw_seconds),
        *([("frequency, MHz", _draw_frequencies)] if any(second["frequencies_khz"] for second in seconds) else []),
        *(
            [("temperature, °C", _draw_temperatures)]
            if any(second["temperatures_celsius"] for second in seconds)
            else []
        ),
    ]


def _draw_ranks(axes: Any, found: Measurement, colour: str) -> None:
    """The latency that each share of the runs kept to, with points at p50, p90 and p99."""
    times = np.sort(found.result["runs_ns"]) / 1e6
    latency = found.latency
    axes.plot(np.linspace(0, 100, len(times)), times, color=colour, linewidth=1.4, label=_name(found))
    axes.plot([50, 90, 99], [latency.p50_ms, latency.p90_ms, latency.p99_ms], "o", color=colour, markersize=4)


def _draw_seconds(axes: Any, found: Measurement, colour: str) -> None:
    """The median of each second, the range of 90% of its runs, and marks at the bottom while the board throttles."""
    seconds = found.result["sustained"]
    low, middle, high = np.array([np.percentile(second["runs_ns"], (5, 50, 95)) for second in seconds]).T / 1e6
    axes.fill_between(_ends(seconds), low, high, color=colour, alpha=0.2, linewidth=0)
    axes.plot(_ends(seconds), middle, color=colour, linewidth=1.4, label=_name(found))
    reported = _ends([second for second in seconds if throttling(second["throttled"])])
    axes.plot(reported, [0] * len(reported), "|", color=colour, markersize=12)


def _draw_frequencies(axes: Any, found: Measurement, colour: str) -> None:
    """The mean over the processors."""
    seconds = [second for second in found.result["sustained"] if second["frequencies_khz"]]
    means = [np.mean(second["frequencies_khz"]) / 1e3 for second in seconds]
    axes.plot(_ends(seconds), means, color=colour, linewidth=1.2)


def _draw_temperatures(axes: Any, found: Measurement, colour: str) -> None:
    """Of the hottest zone."""
    seconds = [second for second in found.result["sustained"] if second["temperatures_celsius"]]
    hottest = [max(second["temperatures_celsius"].values()) for second in seconds]
    axes.plot(_ends(seconds), hottest, color=colour, linewidth=1.2)


def _ends(seconds: Sequence[dict[str, Any]]) -> list[float]:
    return [second["seconds"] for second in seconds]


def _name(found: Measurement) -> str:
    return f"{found.model.stem}, {found.result['delegate']}, threads {found.threads}: p50 {found.latency.p50_ms:.2f} ms"


def _title(found: Sequence[Measurement]) -> str:
    environment = found[0].result["environment"]
    return f"Latency on {environment['board'] or environment['cpu'] or environment['machine']}"


def _style(axes: Any) -> None:
    axes.grid(axis="y", color=_LINES, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=_SMALL, labelcolor=_INK)
    for spine in axes.spines.values():
        spine.set_visible(False)
