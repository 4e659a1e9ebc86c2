"""What is sent to boards, which have no toolkit installed: the wings that run there, as one file."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

# Ground-floor modules and wings that run on boards; tests/test_layers.py holds that they need nothing else.
MODULES = ("__init__", "errors", "streams", "version")
WINGS = ("images", "runtime", "board")

_PACKAGE = Path(__file__).parents[1]

_MAIN = """\
import json
import sys

try:
    from lite_toolkit.board.runner import main
except ImportError as error:
    message = "{}: install what is missing for {}".format(error, sys.executable)
    print(json.dumps({"event": "error", "message": message, "exit_code": 1}))
    sys.exit(1)
sys.exit(main())
"""


def archive() -> bytes:
    """A Python zip application, `python3 FILE`; the same bytes for the same modules."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as made:
        made.writestr(_entry("__main__.py"), _MAIN)
        for path in sorted(modules()):
            made.writestr(_entry(f"lite_toolkit/{path.as_posix()}"), (_PACKAGE / path).read_bytes())
    return content.getvalue()


def modules() -> Iterator[Path]:
    """The files of all that is sent, seen from the package's folder."""
    yield from (Path(f"{module}.py") for module in MODULES)
    for wing in WINGS:
        yield from (path.relative_to(_PACKAGE) for path in (_PACKAGE / wing).rglob("*.py"))


def landing() -> bytes:
    """The text of `landing.py`, which is sent by itself before all else."""
    return (_PACKAGE / "board" / "landing.py").read_bytes()


def _entry(name: str) -> zipfile.ZipInfo:
    """Dated 1980, and stored: the clock and compressors differ."""
    return zipfile.ZipInfo(name)
