"""Pictures by matplotlib, with equal bytes for equal content."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lite_toolkit import outputs
from lite_toolkit.errors import MissingExtraError, OutputError

FORMATS = (".png", ".svg")

# The colours of a drawing, as matplotlib calls those of its cycle: figures on a page have others than pictures.
SERIES, (INK, MUTED, LINES, PAPER) = tuple(f"C{number}" for number in range(6)), ("C6", "C7", "C8", "C9")
SMALL = 8.5  # points


def settings(*colours: str) -> dict[str, Any]:
    """matplotlib's settings for figures in ten colours: those of `SERIES`, then `INK`, `MUTED`, `LINES` and `PAPER`."""
    return {
        # Left alone, matplotlib draws the ids inside an SVG file by chance, and takes dollar signs for formulas.
        "svg.fonttype": "none",
        "svg.hashsalt": "lite-toolkit",
        "text.parse_math": False,
        "axes.prop_cycle": f"cycler(color={list(colours)})",
        "axes.edgecolor": LINES,
        "axes.labelcolor": MUTED,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "font.size": 9,
        "grid.color": LINES,
        "grid.linewidth": 0.7,
        "path.simplify": False,  # it would drop the points that have no length
        "text.color": INK,
        "xtick.color": LINES,
        "xtick.labelcolor": MUTED,
        "ytick.color": LINES,
        "ytick.labelcolor": MUTED,
    }


_PICTURE = settings(
    *("#4f86c6", "#d1495b", "#3d9970", "#b8860b", "#7d5ba6", "#2a9d8f"),
    *("#22303c", "#74818d", "#e3e7eb", "#ffffff"),
)


def require(path: Path, force: bool) -> None:
    """Refuse at the start of a long job a picture that its end could not make.

    Raises:
        OutputError: the suffix is not one of `FORMATS`, or `path` exists, unless `force`.
        MissingExtraError: matplotlib is not installed.
    """
    if path.suffix.lower() not in FORMATS:
        raise OutputError(f"{path}: a picture's suffix must be one of {', '.join(FORMATS)}")
    outputs.require_free([path], force)
    require_matplotlib()


def require_matplotlib() -> None:
    """Raises MissingExtraError where matplotlib is not installed."""
    try:
        import matplotlib  # noqa: F401  # only whether it is there
    except ImportError as error:
        raise MissingExtraError("matplotlib", "report") from error


def save(figure: Callable[[], Any], title: str, path: Path, force: bool) -> None:
    """Draw the `matplotlib.figure.Figure` that `figure` makes to an `.svg` or `.png` file; errors as `require`."""
    require(path, force)
    import matplotlib

    suffix = path.suffix.lower()
    # Left alone, matplotlib writes the date and its own version into the file.
    unsigned = {"Date": None, "Creator": None} if suffix == ".svg" else {"Software": None}
    with matplotlib.rc_context(_PICTURE):
        picture = figure()
        with outputs.replacing(path, force) as temporary:
            picture.savefig(
                temporary, format=suffix[1:], dpi=150, facecolor="white", metadata={"Title": title, **unsigned}
            )


def figure(width: float, height: float) -> Any:
    """An empty `matplotlib.figure.Figure`, in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def panel(width: float, height: float) -> tuple[Any, Any]:
    """A figure with one panel, and that."""
    page = figure(width, height)
    axes = page.subplots()
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    return page, axes


def dots(axes: Any, x: ArrayLike, y: ArrayLike, size: float, **style: Any) -> None:
    """Points as one path of lines almost without length, whose round ends are what is seen: 30 bytes each.

    Markers take a hundred; a line of no length at all is left out of a PNG file.
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    gaps = np.full(len(x), np.nan)
    xs, ys = np.column_stack([x, x + 1e-9, gaps]).ravel(), np.column_stack([y, y, gaps]).ravel()
    axes.plot(xs, ys, linewidth=size, solid_capstyle="round", snap=False, **style)


def legend(axes: Any, lines: Sequence[Any], names: Sequence[str], columns: int, **options: Any) -> None:
    """The names of lines above their panel; those that are there."""
    above = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderaxespad": 0.2, "frameon": False, "alignment": "left"}
    axes.legend(lines[: len(names)], names[: len(lines)], ncols=columns, fontsize=SMALL, **above, **options)
