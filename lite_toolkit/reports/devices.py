"""Reports of one device, and of several: those of each, and where the work failed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lite_toolkit.decoding import encode
from lite_toolkit.documents import Report


@dataclass(frozen=True)
class OfDevice(Report):
    """What was found on one device, by its name."""

    device: str


@dataclass(frozen=True)
class Failure:
    """A device, and why the work failed there."""

    device: str
    message: str


@dataclass(frozen=True)
class Several(Report):
    """The reports of several devices."""

    devices: Sequence[OfDevice]
    failed: tuple[Failure, ...]

    def __post_init__(self) -> None:
        names = [one.device for one in self.devices]
        if len(set(names)) < len(names):
            raise ValueError(f"devices {', '.join(names)}: must have each device once")

    def content(self) -> dict[str, Any]:
        """What stands below the only header."""
        return {"devices": [one.content() for one in self.devices], "failed": encode(self.failed)}
