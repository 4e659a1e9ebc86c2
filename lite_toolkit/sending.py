"""What is sent to boards, which have no toolkit installed: `runner.py` and all that it imports, as one file."""

import io
import zipfile
from pathlib import Path

# All that `runner.py` imports, there and further on; tests/test_sending.py follows the imports.
# fmt: off
MODULES = (
    "__init__", "checkup", "children", "delegates", "errors", "golden", "host", "images", "inference", "latency",
    "operator_times", "partition", "preprocessing", "rehearsal", "resizing", "runner", "runtime", "streams",
)
# fmt: on

_MAIN = """\
import json
import sys

try:
    from lite_toolkit.runner import main
except ImportError as error:
    message = "{}: install what is missing for {}".format(error, sys.executable)
    print(json.dumps({"event": "error", "message": message, "exit_code": 1}))
    sys.exit(1)
sys.exit(main())
"""


def archive() -> bytes:
    """A Python zip application, `python3 FILE`; the same bytes for the same modules."""
    texts = {f"lite_toolkit/{module}.py": _text(module) for module in MODULES} | {"__main__.py": _MAIN.encode()}
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as made:
        for name, text in sorted(texts.items()):
            made.writestr(zipfile.ZipInfo(name), text)  # dated 1980, and stored: compressors differ
    return content.getvalue()


def landing() -> bytes:
    """The text of `landing.py`, which is sent by itself before all else."""
    return _text("landing")


def _text(module: str) -> bytes:
    return (Path(__file__).parent / f"{module}.py").read_bytes()
