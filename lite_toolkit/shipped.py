"""The declarative folders, beside the package when installed, in the checkout's root when developing; their files."""

import tomllib
from pathlib import Path
from typing import Any

from lite_toolkit.errors import LiteToolkitError

_PACKAGE = Path(__file__).parent


def folder(name: str) -> Path:
    """The folder of `calibration` recipes or `devices` profiles."""
    installed = _PACKAGE / "_data" / name
    return installed if installed.is_dir() else _PACKAGE.parent / name


def read_toml(path: Path, error: type[LiteToolkitError]) -> dict[str, Any]:
    """The table that a TOML file holds.

    Raises:
        error: the file cannot be read, or is no TOML file.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as reason:
        raise error(f"cannot read {path}: {reason.strerror}") from reason
    except (ValueError, RecursionError) as reason:
        raise error(f"{path} is not a TOML file: {reason}") from reason
