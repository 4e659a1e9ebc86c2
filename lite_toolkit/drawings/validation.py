"""A drawing of a validation: where along the graph quantization loses what."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lite_toolkit.drawings import pictures
from lite_toolkit.measurement.layer_errors import LayerError
from lite_toolkit.measurement.validation import Comparison, Validation

# Lengths in inches.
_LAYER, _LEFT, _RIGHT, _LEAST_WIDTH = 0.145, 0.7, 0.2, 9.0
_HEIGHT, _TOP, _BOTTOM = 7.6, 1.05, 1.6
_SMALL, _MIDDLE, _LARGE = 7.0, 9.5, 15.0  # points
_INK, _GREY, _LINES, _OWN, _WORST = "#22303c", "#74818d", "#e3e7eb", "#4f86c6", "#d1495b"


def draw(found: Validation, path: Path) -> None:
    """Draw SQNR and drops along the graph to an `.svg` or `.png` file; equal findings give equal bytes.

    Raises:
        OutputError, MissingExtraError: as `pictures.require`; or the file cannot be written.
    """
    pictures.save(lambda: figure(found), _title(found), path)


def figure(found: Validation) -> Any:
    """The `matplotlib.figure.Figure` that `draw` saves."""
    from matplotlib.figure import Figure

    layers, worst = found.assessment.layers, [finding.layer for finding in found.assessment.worst]
    width = max(_LEAST_WIDTH, _LEFT + _RIGHT + _LAYER * len(layers))
    page = Figure(figsize=(width, _HEIGHT), facecolor="white")
    upper, lower = page.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    page.subplots_adjust(_LEFT / width, _BOTTOM / _HEIGHT, 1 - _RIGHT / width, 1 - _TOP / _HEIGHT, hspace=0.08)
    page.text(_LEFT / width, 1 - 0.35 / _HEIGHT, _title(found), size=_LARGE, weight="bold", color=_INK)
    page.text(_LEFT / width, 1 - 0.62 / _HEIGHT, _summary(found.assessment.comparison), size=_MIDDLE, color=_GREY)
    _draw_ratios(upper, layers)
    _draw_drops(lower, layers)
    for rank, layer in enumerate(worst, start=1):
        _draw_mark(upper, layers.index(layer), _or_nan(layer.own_sqnr_db), str(rank))
    _draw_names(lower, layers, worst)
    above = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderpad": 0.2, "borderaxespad": 0}
    upper.legend(ncols=3, fontsize=_MIDDLE, labelcolor=_INK, frameon=False, **above)
    return page


def _title(found: Validation) -> str:
    return f"{found.quantized.name} against {found.reference.name}"


def _summary(found: Comparison) -> str:
    sqnr = [] if found.sqnr_db is None else [f"SQNR of the scores {found.sqnr_db:.1f} dB"]
    return "  ·  ".join((f"{found.agreement_percent:.1f}% same top-1", *sqnr, f"{found.images} images"))


def _draw_ratios(axes: Any, layers: Sequence[LayerError]) -> None:
    """Where there is no error, and so no ratio, the line is broken."""
    places = range(len(layers))
    running = [_or_nan(layer.sqnr_db) for layer in layers]
    own = [_or_nan(layer.own_sqnr_db) for layer in layers]
    axes.plot(places, running, "-o", color=_INK, linewidth=1.2, markersize=2.8, label="SQNR in the running network")
    axes.plot(places, own, "o", color=_OWN, markersize=4, label="own SQNR: with exact inputs")
    axes.set_ylabel("SQNR, dB", color=_INK, size=_MIDDLE)
    _style(axes)


def _draw_drops(axes: Any, layers: Sequence[LayerError]) -> None:
    axes.bar(range(len(layers)), [_or_nan(layer.drop_db) for layer in layers], color=_OWN, width=0.7)
    axes.axhline(0, color=_GREY, linewidth=0.8)
    axes.set_ylabel("drop by the layer, dB", color=_INK, size=_MIDDLE)
    _style(axes)


def _draw_mark(axes: Any, place: int, value: float, text: str) -> None:
    """A ring, and the rank below it; the first one is explained in the legend."""
    label = "most error added, in order" if text == "1" else None
    ring = {"markersize": 8, "markerfacecolor": "none", "markeredgecolor": _WORST, "markeredgewidth": 1.4}
    axes.plot([place], [value], "o", label=label, linestyle="none", **ring)
    below = {"xytext": (0, -7), "textcoords": "offset points", "ha": "center", "va": "top"}
    axes.annotate(text, (place, value), color=_WORST, size=_MIDDLE, weight="bold", **below)


def _draw_names(axes: Any, layers: Sequence[LayerError], worst: Sequence[LayerError]) -> None:
    axes.set_xlim(-1, len(layers))
    axes.set_xticks(range(len(layers)), [layer.name for layer in layers], rotation=90, size=_SMALL)
    for label, layer in zip(axes.get_xticklabels(), layers, strict=True):
        label.set_color(_WORST if layer in worst else _INK)
        label.set_weight("bold" if layer in worst else "normal")


def _style(axes: Any) -> None:
    axes.grid(axis="y", color=_LINES, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=_SMALL, labelcolor=_INK)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value
