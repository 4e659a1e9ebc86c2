"""Figures of a validation: where along the graph quantization loses what."""

from pathlib import Path
from typing import Any

import numpy as np

from lite_toolkit.drawings import pictures
from lite_toolkit.drawings.pictures import INK, MUTED, SERIES, SMALL, dots, figure, panel
from lite_toolkit.measurement.loss import Assessment, Validation

# Lengths in inches.
_LAYER, _LEAST_WIDTH = 0.145, 9.0


def draw(found: Validation, path: Path, force: bool = False) -> None:
    """Draw SQNR and drops along the graph to an `.svg` or `.png` file; equal findings give equal bytes.

    Raises:
        OutputError, MissingExtraError: as `pictures.require`; or the file cannot be written.
    """
    title = f"{found.quantized} against {found.float_}"
    pictures.save(lambda: picture(found, title), title, path, force)


def picture(found: Validation, title: str) -> Any:
    """The `matplotlib.figure.Figure` that `draw` saves: with drops by layer, and all names."""
    assessment, compared = found.loss.assessment, found.comparison
    page = figure(max(_LEAST_WIDTH, 0.9 + _LAYER * len(found.layers)), 7.6)
    upper, lower = page.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    for axes in (upper, lower):
        axes.grid(axis="y")
        axes.set_axisbelow(True)
    _draw_ratios(upper, assessment)
    places = range(1, len(found.layers) + 1)
    lower.bar(places, [_or_nan(layer.drop_db) for layer in found.layers], color=SERIES[0], width=0.7)
    lower.axhline(0, color=MUTED, linewidth=0.8)
    lower.set_ylabel("drop by the layer, dB")
    lower.set_xticks(places, [layer.name for layer in found.layers], rotation=90, size=SMALL)
    for label, layer in zip(lower.get_xticklabels(), found.layers, strict=True):
        label.set_color(SERIES[1] if layer in assessment.worst_layers else INK)
    page.suptitle(title, size=15, weight="bold")
    sqnr = [] if compared.sqnr_db is None else [f"SQNR of the scores {compared.sqnr_db:.1f} dB"]
    summary = (f"{compared.agreement_percent:.1f}% {compared.measure}", *sqnr, f"{compared.images} images")
    names = ("SQNR in the running network", "own SQNR: with exact inputs", "most error added, in order")
    pictures.legend(upper, upper.lines, names, 3, title="  ·  ".join(summary))
    return page


def layers(found: Assessment, width: float) -> Any:
    """The ratios of each layer, in the running network and with exact inputs, and rings around the worst."""
    page, axes = panel(width, 3.1)
    _draw_ratios(axes, found)
    axes.set_xlabel("layer, in order of execution")
    return page


def _draw_ratios(axes: Any, found: Assessment) -> None:
    """Where there is no error, and so no ratio, the line is broken."""
    places = np.arange(1, len(found.layers) + 1)
    own = np.array([_or_nan(layer.own_sqnr_db) for layer in found.layers])
    axes.plot(places, [_or_nan(layer.sqnr_db) for layer in found.layers], color=INK, linewidth=1.3)
    dots(axes, places, own, 4.5, color=SERIES[0])
    for rank, layer in enumerate(found.worst_layers, start=1):
        place = found.layers.index(layer)
        ring = {"markersize": 9, "markerfacecolor": "none", "markeredgecolor": SERIES[1], "markeredgewidth": 1.4}
        axes.plot([place + 1], [own[place]], "o", **ring)
        below = {"xytext": (0, -7), "textcoords": "offset points", "ha": "center", "va": "top", "weight": "bold"}
        axes.annotate(str(rank), (place + 1, own[place]), size=SMALL, **below)
    axes.set_xlim(0, len(places) + 1)
    axes.set_ylabel("SQNR, dB")


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value
