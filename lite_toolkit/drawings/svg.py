"""Figures of matplotlib as SVG inside a page: its colours and fonts are the page's, in light and in dark."""

import io
import re
import warnings
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

from lite_toolkit.drawings import pictures

# Colours that no figure shows: each stands for one of the page, which follows the reader's theme.
_VARIABLES = {f"#{number:06x}": f"--series-{number}" for number in range(1, 7)} | {
    f"#{number:02x}0000": f"--{name}" for number, name in enumerate(("ink", "muted", "line", "paper"), start=1)
}
_SETTINGS = pictures.settings(*_VARIABLES)
_DECIMALS = re.compile(r"(\.\d\d)\d+")
_FONT = re.compile(r"font: (\w+) ([\d.]+)px [^;]*")  # written so where the font is not of normal weight
_FAMILY = re.compile(r"font-family: [^;]*;? ?")


def render(figure: Callable[[], Any], name: str) -> str:
    """The `<svg>` element of a `matplotlib.figure.Figure`, hidden from screen readers; equal figures, equal text.

    Args:
        figure: draws it, by matplotlib's settings for pages.
        name: begins the ids inside, which must be unique on a page.
    """
    import matplotlib

    written = io.BytesIO()
    with matplotlib.rc_context(_SETTINGS), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of glyphs that its fonts lack: the reader's fonts draw the text
        figure().savefig(written, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    root = ElementTree.fromstring(written.getvalue())  # noqa: S314  # matplotlib wrote it
    _strip(root)
    for element in root.iter():
        _adopt(element, name)
    root.attrib = {"viewBox": root.attrib["viewBox"], "aria-hidden": "true", "focusable": "false"}
    return ElementTree.tostring(root, encoding="unicode")


def _strip(element: ElementTree.Element) -> None:
    """Take away what would not be this picture's alone: metadata, and a style for every element of the page."""
    for child in list(element):
        if _local(child.tag) in ("metadata", "style"):
            element.remove(child)
        _strip(child)


def _adopt(element: ElementTree.Element, name: str) -> None:
    """Make an element one of HTML, with ids, references and styles of the page, and without blanks around it."""
    attributes = {_local(key): value for key, value in element.items()}
    element.tag = _local(element.tag)
    if element.tag == "g":
        attributes.pop("id", None)  # nothing refers to a group
    element.attrib = {key: _rewritten(key, value, name) for key, value in attributes.items()}
    element.tail = None
    if element.text and not element.text.strip():
        element.text = None


def _rewritten(key: str, value: str, name: str) -> str:
    match key:
        case "id":
            return f"{name}-{value}"
        case "href":
            return f"#{name}-{value[1:]}"
        case "clip-path":
            return value.replace("url(#", f"url(#{name}-")
        case "d":
            return " ".join(_DECIMALS.sub(r"\1", value).split())
        case "style":
            for placeholder, variable in _VARIABLES.items():
                value = value.replace(placeholder, f"var({variable})")
            return _FAMILY.sub("", _FONT.sub(r"font-weight: \1; font-size: \2px", value))
    return value


def _local(name: str) -> str:
    return name.rpartition("}")[2]
