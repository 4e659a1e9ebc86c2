"""A drawing of a network: one row for each stage, one shape for each block, and bars for what each stage costs."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

from lite_toolkit.drawings import pictures
from lite_toolkit.networks import costs, modules
from lite_toolkit.networks.architectures import BlockSpec, ModelSpec

_CLASSES = 1000

# Lengths on the page are in inches, and y grows downwards.
_PAGE, _MARGIN, _TOP, _BOTTOM = 14.0, 0.4, 1.45, 0.75
_NETWORK = (3.7, 10.3)  # left and right end: labels end before it, bars begin after it
_BARS = (10.85, 12.45)
_BAR_LENGTH, _BAR_HEIGHT = 0.75, 0.17
_LABEL_HEIGHT, _SHAPE_HEIGHT, _SKIP_HEIGHT, _LINE = 0.68, 0.95, 0.09, 0.17
_ROW_PADDING, _ROW_GAP, _SHAPE_GAP = 0.12, 0.16, 0.17

_INK, _GREY, _BAND = "#22303c", "#74818d", "#f2f4f6"
_SMALL, _MIDDLE, _LARGE = 8.5, 10.0, 20.0  # points
_COLOURS = {
    "Conv 3×3": "#6f7f94",
    "MBConv 3×3": "#2a9d8f",
    "MBConv 5×5": "#e9a23b",
    "Fused 3×3": "#8f6bb3",
    "Conv 1×1": "#b0bac6",
    "Dense": "#d1495b",
}
_OTHER_COLOUR = "#4f86c6"
_OPERATOR_NAMES = {"mbconv": "MBConv", "fused": "Fused"}


@dataclass(frozen=True)
class _Shape:
    """A block as it is drawn: as wide as its output's resolution, as high as its channels from left to right."""

    operator: str
    resolution: float
    channels: tuple[int, ...]
    skip: bool = False
    squeeze: bool = False

    @property
    def colour(self) -> str:
        return _COLOURS.get(self.operator, _OTHER_COLOUR)


@dataclass(frozen=True)
class _Row:
    """A stage: its label, its shapes, and its costs."""

    title: str
    details: tuple[str, ...]
    shapes: tuple[_Shape, ...]
    cost: costs.Cost


@dataclass(frozen=True)
class _Scale:
    """Inches for the square root of a pixel and of a channel, one parameter, one multiply-add, and between shapes."""

    gap: float
    pixel: float
    channel: float
    param: float
    madd: float

    def width(self, shape: _Shape) -> float:
        return self.pixel * math.sqrt(shape.resolution)

    def heights(self, shape: _Shape) -> list[float]:
        return [self.channel * math.sqrt(channels) for channels in shape.channels]

    def row_height(self, row: _Row) -> float:
        highest = max(max(self.heights(shape)) for shape in row.shapes)
        skips = 2 * _SKIP_HEIGHT if any(shape.skip for shape in row.shapes) else 0.0
        return max(highest + skips, _LABEL_HEIGHT) + 2 * _ROW_PADDING


def draw(spec: ModelSpec, path: Path, size: costs.Size | None = None, force: bool = False) -> None:
    """Draw `spec`, with a classifier of 1000 classes, to an `.svg` or `.png` file; equal networks give equal bytes.

    Args:
        spec: the network.
        path: where the picture goes; its suffix chooses the format.
        size: side of the square input, or its (height, width), in pixels; None takes `spec.resolution`.

    Raises:
        OutputError: the suffix is another, or the file cannot be written.
        MissingExtraError: matplotlib is not installed.
        LiteToolkitError: `size` is too small.
    """
    pictures.save(lambda: figure(spec, size), _name(spec), path, force)


def figure(spec: ModelSpec, size: costs.Size | None = None) -> Any:
    """The `matplotlib.figure.Figure` that `draw` saves."""
    from matplotlib.figure import Figure

    rows = _rows(spec, size)
    scale = _scale(rows)
    heights = [scale.row_height(row) for row in rows]
    tops = list(accumulate((height + _ROW_GAP for height in heights), initial=_TOP))
    middles = [top + height / 2 for top, height in zip(tops, heights, strict=False)]
    names = _part_names(spec)
    height = tops[-1] + _BOTTOM + 0.22 * len(names)
    page = Figure(figsize=(_PAGE, height), facecolor="white")
    axes = page.add_axes((0, 0, 1, 1), xlim=(0, _PAGE), ylim=(height, 0))
    axes.set_axis_off()
    _draw_title(axes, spec, size)
    for row, middle, height in zip(rows, middles, heights, strict=True):
        _draw_band(axes, middle, height)
        _draw_label(axes, row, middle)
        _draw_shapes(axes, row, scale, middle)
        _draw_bars(axes, row, scale, middle)
    for row, (middle, following), top in zip(rows, pairwise(middles), tops[1:], strict=False):
        _draw_turn(axes, _NETWORK[0] + _length(row, scale), middle, top - _ROW_GAP / 2, following)
    _draw_legend(axes, rows, tops[-1] + 0.15, names)
    return page


def _name(spec: ModelSpec) -> str:
    return f"EfficientNet {spec.name}"


def _rows(spec: ModelSpec, size: costs.Size | None) -> list[_Row]:
    stem, *stages, head = costs.stage_rows(spec, _CLASSES, size)
    outputs_of_stages = [row.resolution for row in (*stages[1:], head)]
    return [
        _stem(stem, stages[0].resolution),
        *(_stage(spec, row, output) for row, output in zip(stages, outputs_of_stages, strict=True)),
        _head(spec, head),
    ]


def _stem(row: costs.StageRow, output: tuple[int, int]) -> _Row:
    shape = _Shape("Conv 3×3", _side(output), (3, row.channels))
    return _Row(f"Stem: {shape.operator}", (_flow(row, output, shape), f"stride {row.stride}"), (shape,), row.cost)


def _stage(spec: ModelSpec, row: costs.StageRow, output: tuple[int, int]) -> _Row:
    shapes = tuple(_block(block, _side(output)) for block in spec.blocks if str(block.stage) == row.stage)
    blocks = "1 block" if row.layers == 1 else f"{row.layers} blocks"
    detail = f"{blocks}, stride {row.stride}, expansion {spec.stages[int(row.stage) - 1].expansion}"
    numbers = [str(one.number) for one in modules.sub_blocks(spec) if str(one.block.stage) == row.stage]
    named = (f"sub-block{'s' * (len(numbers) > 1)} {_counted(numbers)}",) if numbers else ()
    details = _flow(row, output, shapes[0]), detail, *named
    return _Row(f"Stage {row.stage}: {shapes[0].operator}", details, shapes, row.cost)


def _counted(numbers: Sequence[str]) -> str:
    """2, 3, 3 as "2, 3 ×2"."""
    counts = Counter(numbers)
    return ", ".join(f"{number} ×{count}" if count > 1 else number for number, count in counts.items())


def _head(spec: ModelSpec, row: costs.StageRow) -> _Row:
    convolution = _Shape("Conv 1×1", _side(row.resolution), (spec.blocks[-1].outputs, row.channels))
    dense = _Shape("Dense", 1.0, (row.channels, _CLASSES))
    details = (_flow(row, (1, 1), convolution), f"{_CLASSES} classes", "final layers")
    return _Row("Head: Conv 1×1, pooling, dense", details, (convolution, dense), row.cost)


def _block(block: BlockSpec, resolution: float) -> _Shape:
    operator = f"{_OPERATOR_NAMES[block.operator]} {block.kernel}×{block.kernel}"
    channels = (block.inputs, block.expanded, block.expanded, block.outputs)
    return _Shape(operator, resolution, channels, block.skip, block.squeezed > 0)


def _flow(row: costs.StageRow, output: tuple[int, int], first: _Shape) -> str:
    return f"{_pixels(row.resolution)} → {_pixels(output)}, {first.channels[0]} → {row.channels} channels"


def _side(resolution: tuple[int, int]) -> float:
    """The side of the square with as many pixels."""
    return math.sqrt(math.prod(resolution))


def _pixels(resolution: tuple[int, int]) -> str:
    return "×".join(map(str, resolution))


def _short(number: int) -> str:
    """Three digits and a unit: 17.8k, 4.69M."""
    for unit, letter in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if number >= unit:
            value = number / unit
            return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f}{letter}"
    return str(number)


def _scale(rows: Sequence[_Row]) -> _Scale:
    """The scale that fills the page with the longest row, the highest shape and the longest bars."""
    space = _NETWORK[1] - _NETWORK[0]
    gap = min(_SHAPE_GAP, space / (3 * max(len(row.shapes) for row in rows)))
    return _Scale(
        gap=gap,
        pixel=min(
            (space - gap * (len(row.shapes) - 1)) / sum(math.sqrt(shape.resolution) for shape in row.shapes)
            for row in rows
        ),
        channel=_SHAPE_HEIGHT / math.sqrt(max(max(shape.channels) for row in rows for shape in row.shapes)),
        param=_BAR_LENGTH / max(row.cost.params for row in rows),
        madd=_BAR_LENGTH / max(row.cost.madds for row in rows),
    )


def _length(row: _Row, scale: _Scale) -> float:
    return sum(map(scale.width, row.shapes)) + scale.gap * (len(row.shapes) - 1)


def _draw_title(axes: Any, spec: ModelSpec, size: costs.Size | None) -> None:
    total = costs.total(spec, _CLASSES, size)
    facts = (
        f"input {_pixels(costs.input_size(spec, size))}×3",
        f"{len(spec.blocks)} blocks",
        f"{_short(total.params)} parameters",
        f"{_short(total.madds)} multiply-adds",
        f"activation {spec.activation}",
    )
    axes.text(_MARGIN, 0.55, _name(spec), size=_LARGE, weight="bold", color=_INK)
    axes.text(_MARGIN, 0.9, "  ·  ".join(facts), size=_MIDDLE, color=_GREY)
    for left, heading in zip(_BARS, ("parameters", "multiply-adds"), strict=True):
        axes.text(left, _TOP - 0.1, heading, size=_SMALL, color=_GREY)


def _draw_band(axes: Any, middle: float, height: float) -> None:
    left, right, half = _MARGIN / 2, _PAGE - _MARGIN / 2, height / 2
    axes.fill([left, right, right, left], [middle - half, middle - half, middle + half, middle + half], color=_BAND)


def _draw_label(axes: Any, row: _Row, middle: float) -> None:
    top = middle - _LINE * len(row.details) / 2
    axes.text(_MARGIN, top, row.title, va="center", color=_INK, size=_MIDDLE, weight="bold")
    for number, detail in enumerate(row.details, start=1):
        axes.text(_MARGIN, top + _LINE * number + 0.02, detail, va="center", color=_GREY, size=_SMALL)


def _draw_shapes(axes: Any, row: _Row, scale: _Scale, middle: float) -> None:
    left = _NETWORK[0]
    right = left + _length(row, scale)
    axes.plot([left, right], [middle, middle], color=_GREY, linewidth=1, solid_capstyle="butt", zorder=1)
    for shape in row.shapes:
        _draw_shape(axes, shape, scale, left, middle)
        left += scale.width(shape) + scale.gap


def _draw_shape(axes: Any, shape: _Shape, scale: _Scale, left: float, middle: float) -> None:
    """The outline runs along the channels: in, expanded, expanded, out."""
    width, halves = scale.width(shape), [height / 2 for height in scale.heights(shape)]
    fractions = (0.0, 0.25, 0.75, 1.0) if len(halves) == 4 else (0.0, 1.0)
    across = [left + fraction * width for fraction in fractions]
    upper, lower = [middle - half for half in halves], [middle + half for half in halves]
    axes.fill(across + across[::-1], upper + lower[::-1], color=shape.colour, linewidth=0, zorder=2)
    if shape.squeeze:
        axes.plot([left + width / 2], [middle], "D", color="white", markersize=3.5, markeredgewidth=0, zorder=3)
    if shape.skip:
        _draw_skip(axes, left - scale.gap / 2, left + width + scale.gap / 2, middle, max(halves) + _SKIP_HEIGHT)


def _draw_skip(axes: Any, left: float, right: float, middle: float, rise: float) -> None:
    """A bridge over the block to the circle where its input is added."""
    top = middle - rise
    axes.plot([left, left, right, right], [middle, top, top, middle], color=_INK, linewidth=0.9, zorder=1)
    circle = {"markersize": 5, "markerfacecolor": "white", "markeredgecolor": _INK, "markeredgewidth": 0.9}
    axes.plot([right], [middle], "o", zorder=4, **circle)


def _draw_turn(axes: Any, right: float, middle: float, gap: float, following: float) -> None:
    """The line from the end of one row to the beginning of the next."""
    left, beyond = _NETWORK[0], right + _SHAPE_GAP
    before = left - _SHAPE_GAP
    x, y = [right, beyond, beyond, before, before, left], [middle, middle, gap, gap, following, following]
    axes.plot(x, y, color=_GREY, linewidth=1, solid_capstyle="butt", zorder=1)
    axes.plot([left - 0.03], [following], ">", color=_GREY, markersize=4, markeredgewidth=0, zorder=1)


def _draw_bars(axes: Any, row: _Row, scale: _Scale, middle: float) -> None:
    values = ((row.cost.params, scale.param), (row.cost.madds, scale.madd))
    for left, (value, inches) in zip(_BARS, values, strict=True):
        right, upper, lower = left + value * inches, middle - _BAR_HEIGHT / 2, middle + _BAR_HEIGHT / 2
        axes.fill([left, right, right, left], [upper, upper, lower, lower], color=_GREY, alpha=0.6, linewidth=0)
        axes.text(right + 0.06, middle, _short(value), va="center", size=_SMALL, color=_INK)


def _part_names(spec: ModelSpec) -> list[str]:
    """A line of the kinds of sub-blocks, and one for each module, as it is where it has most layers."""
    made: dict[int, dict[str, None]] = {}
    layers: dict[int, tuple[str, ...]] = {}
    for one in modules.sub_blocks(spec):
        made.setdefault(one.number, {})[", ".join(str(module.number) for module in one.modules)] = None
        for module in one.modules:
            layers[module.number] = max(layers.get(module.number, ()), module.layers, key=len)
    kinds = [f"Sub-block {number}: modules {' or '.join(numbers)}." for number, numbers in sorted(made.items())]
    lines = [" ".join(kinds)] if kinds else []
    return lines + [f"Module {number}: {', '.join(names)}." for number, names in sorted(layers.items())]


def _draw_legend(axes: Any, rows: Sequence[_Row], y: float, names: Sequence[str]) -> None:
    shapes = [shape for row in rows for shape in row.shapes]
    left = _MARGIN
    for operator, colour in dict.fromkeys((shape.operator, shape.colour) for shape in shapes):
        axes.plot([left + 0.06], [y], "s", color=colour, markersize=8, markeredgewidth=0)
        left = _draw_entry(axes, left + 0.2, y, operator)
    if any(shape.squeeze for shape in shapes):
        axes.plot([left + 0.06], [y], "D", color="white", markeredgecolor=_GREY, markersize=4)
        left = _draw_entry(axes, left + 0.2, y, "squeeze-and-excite")
    if any(shape.skip for shape in shapes):
        _draw_skip(axes, left, left + 0.2, y + 0.04, 0.12)
        left = _draw_entry(axes, left + 0.32, y, "skip connection, added at the circle")
    note = "Width: resolution. Height: channels before, inside and after the block. Both are drawn as square roots."
    for number, line in enumerate((note, *names), start=1):
        _draw_entry(axes, _MARGIN, y + 0.05 + 0.22 * number, line)


def _draw_entry(axes: Any, left: float, y: float, text: str) -> float:
    """One text of the legend; returns where the next entry begins, which is an estimate at 0.075 inches a letter."""
    axes.text(left, y, text, va="center", size=_SMALL, color=_INK)
    return left + 0.075 * len(text) + 0.25
