"""What `verify` found of a bundle, as a document."""

from collections.abc import Mapping
from dataclasses import dataclass

from lite_toolkit.bundle.contents import Bundle
from lite_toolkit.bundle.parity import Parity, Stage
from lite_toolkit.documents import Report
from lite_toolkit.reports.devices import OfDevice, Several


@dataclass(frozen=True)
class Damage:
    """A file of the bundle that is not what it was."""

    path: str
    problem: str


@dataclass(frozen=True)
class Damaged(Report):
    """A bundle that is not what it was: its folder's name, and how many files it should have."""

    KIND = "verify"

    bundle: str
    files: int
    damaged: tuple[Damage, ...]

    @classmethod
    def of(cls, bundle: Bundle, damaged: Mapping[str, str]) -> "Damaged":
        """By the paths of files, what is wrong with them."""
        found = tuple(Damage(path, problem) for path, problem in damaged.items())
        return cls(bundle.folder.resolve().name, len(bundle.files), found)


@dataclass(frozen=True)
class Verification(OfDevice):
    """A bundle that is what it was, and what a device sees in its golden images."""

    KIND = "verify"

    bundle: str
    files: int
    damaged: tuple[Damage, ...]
    runtime: str
    good: bool
    stages: tuple[Stage, ...]

    @classmethod
    def of(cls, bundle: Bundle, device: str, found: Parity) -> "Verification":
        """What was found on a device of that name."""
        name = bundle.folder.resolve().name
        return cls(device, name, len(bundle.files), (), found.runtime, not found.broken, found.stages)


@dataclass(frozen=True)
class Verifications(Several):
    """Those of several devices."""

    KIND = "verify-devices"

    devices: tuple[Verification, ...]
