"""What `verify` found of a bundle, as a document."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lite_toolkit.bundle.contents import Bundle
from lite_toolkit.bundle.parity import Parity
from lite_toolkit.decoding import encode
from lite_toolkit.documents import OfDevice, Several


def integrity(bundle: Bundle, damaged: Mapping[str, str]) -> dict[str, Any]:
    """The files of a bundle, and by their paths what is wrong with some."""
    problems = [{"path": path, "problem": problem} for path, problem in damaged.items()]
    return {"bundle": bundle.folder.resolve().name, "files": len(bundle.files), "damaged": problems}


@dataclass(frozen=True)
class Verification(OfDevice):
    """A bundle whose files are as they were, and what a device sees in its golden images."""

    KIND = "verify"

    bundle: Bundle
    parity: Parity

    def content(self) -> dict[str, Any]:
        """What stands below the header."""
        found = {"runtime": self.parity.runtime, "good": not self.parity.broken, "stages": encode(self.parity.stages)}
        return {"device": self.device, **integrity(self.bundle, {}), **found}


@dataclass(frozen=True)
class Verifications(Several):
    """Those of several devices."""

    KIND = "verify-devices"

    devices: tuple[Verification, ...]
