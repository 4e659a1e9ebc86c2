"""The declarative folders: beside the package when installed, in the checkout's root when developing."""

from pathlib import Path

_PACKAGE = Path(__file__).parent


def folder(name: str) -> Path:
    """The folder of `calibration` recipes or `devices` profiles."""
    installed = _PACKAGE / "data" / name
    return installed if installed.is_dir() else _PACKAGE.parent / name
