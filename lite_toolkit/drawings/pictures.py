"""Pictures by matplotlib, with equal bytes for equal content."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lite_toolkit import outputs
from lite_toolkit.errors import MissingExtraError, OutputError

FORMATS = (".png", ".svg")

# Left alone, matplotlib draws the ids inside an SVG file by chance, and takes dollar signs in names for formulas.
SETTINGS = {"svg.fonttype": "none", "svg.hashsalt": "lite-toolkit", "text.parse_math": False}


def require(path: Path) -> None:
    """Refuse at the start of a long job a picture that its end could not make.

    Raises:
        OutputError: the suffix is not one of `FORMATS`.
        MissingExtraError: matplotlib is not installed.
    """
    if path.suffix.lower() not in FORMATS:
        raise OutputError(f"{path}: a picture's suffix must be one of {', '.join(FORMATS)}")
    require_matplotlib()


def require_matplotlib() -> None:
    """Raises MissingExtraError where matplotlib is not installed."""
    try:
        import matplotlib  # noqa: F401  # only whether it is there
    except ImportError as error:
        raise MissingExtraError("matplotlib", "report") from error


def save(figure: Callable[[], Any], title: str, path: Path) -> None:
    """Draw the `matplotlib.figure.Figure` that `figure` makes to an `.svg` or `.png` file; errors as `require`."""
    require(path)
    import matplotlib

    suffix = path.suffix.lower()
    # Left alone, matplotlib writes the date and its own version into the file.
    unsigned = {"Date": None, "Creator": None} if suffix == ".svg" else {"Software": None}
    with matplotlib.rc_context(SETTINGS):
        picture = figure()
        with outputs.replacing(path) as temporary:
            picture.savefig(temporary, format=suffix[1:], dpi=150, metadata={"Title": title, **unsigned})
