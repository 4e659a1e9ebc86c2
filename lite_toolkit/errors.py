"""Every error that the toolkit raises on purpose.

LiteToolkitError              exit code 1
├── UsageError                exit code 2: values that mean nothing together
├── UnknownVariantError       a variant name that is not in the table
├── WeightsError              a checkpoint that cannot be found, read, verified or matched
├── ImageError                an image, or a folder of images, that cannot be used
├── RecipeError               a quantization recipe that cannot be read or is not valid
├── ModelError                a model file that cannot be read, converted or run
├── DelegateError             a delegate that cannot be loaded, or does not run the model
├── OutputError               a result that cannot be written
├── CompilerError             the Edge TPU compiler is missing, fails or takes too long
├── MissingExtraError         an optional dependency that is not installed
├── DeviceError               a device profile that is not valid, or a target that cannot be one
├── JobError                  a job that failed in a process of its own, here or on a board
├── ReportError               a saved report that cannot be read, or not be compared
├── TamperedError             exit code 3: a bundle whose files are not what they were
└── GateError                 exit code 3: a model that works, but is worse than was asked for

Each message is one line that names the offending value and what is allowed instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection


class LiteToolkitError(Exception):
    """Base of the tree: the command line prints it as one line and exits with `exit_code`."""

    exit_code = 1


class UsageError(LiteToolkitError):
    """Values that mean nothing together, named as the command line spells them."""

    exit_code = 2


class UnknownVariantError(LiteToolkitError):
    """A name that `names.variant` does not know."""


class WeightsError(LiteToolkitError):
    """A checkpoint that cannot be found, read, verified or matched to the network."""


class ImageError(LiteToolkitError):
    """An image, or a folder of images, that cannot be used."""


class RecipeError(LiteToolkitError):
    """A quantization recipe that cannot be read or is not valid."""


class ModelError(LiteToolkitError):
    """A model file that cannot be read, converted or run."""


class DelegateError(LiteToolkitError):
    """A delegate that is unknown, cannot be loaded, or does not run the model."""


class OutputError(LiteToolkitError):
    """A result that cannot be written; what stood there before is untouched."""


class CompilerError(LiteToolkitError):
    """The Edge TPU compiler is missing, fails or takes too long; the message has its own words."""


class MissingExtraError(LiteToolkitError):
    """An optional dependency that is not installed; the message holds the pip command."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"{package} is not installed: "
            f'pip install "lite-toolkit[{extra}]", or in a checkout pip install ".[{extra}]"'
        )


class DeviceError(LiteToolkitError):
    """A device profile that cannot be read or is not valid, or a target that cannot be one of ssh."""


class JobError(LiteToolkitError):
    """A job that failed in a process of its own, here or on a board; the exit code is the one that it named."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class ReportError(LiteToolkitError):
    """A saved report that is damaged or another document, or two that cannot be compared."""


class TamperedError(LiteToolkitError):
    """A bundle whose files are not what they were when it was made."""

    exit_code = 3


class GateError(LiteToolkitError):
    """A figure that misses the limit that the user set; everything else is done."""

    exit_code = 3


def require_range(option: str, value: float | None, least: float, most: float = float("inf")) -> None:
    """Raise UsageError for a number that an option does not take, such as NaN; None was not given."""
    if value is not None and not least <= value <= most:
        allowed = f"at least {least:g}" if most == float("inf") else f"from {least:g} to {most:g}"
        raise UsageError(f"{option} {value:g}: must be {allowed}")


def require_choice(option: str, value: str | None, allowed: Collection[str]) -> None:
    """Raise UsageError for a text that an option does not take; None was not given."""
    if value is not None and value not in allowed:
        raise UsageError(f"{option} {value}: choose from {', '.join(allowed)}")
