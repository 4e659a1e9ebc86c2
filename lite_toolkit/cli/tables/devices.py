"""`lite-toolkit devices` and `doctor`."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from lite_toolkit.board.checkup import Finding
from lite_toolkit.cli.console import print_notes, print_table
from lite_toolkit.devices.profiles import Profile
from lite_toolkit.reports import figures

Findings = Mapping[str, Sequence[Finding]]


def profile(device: Profile) -> dict[str, Any]:
    """One device in the report of `lite-toolkit devices`."""
    content = asdict(device) | {"ssh_config": str(device.ssh_config) if device.ssh_config else None}
    return {"device": content.pop("name")} | content


def show_profiles(devices: Sequence[Profile]) -> None:
    """The table of `lite-toolkit devices`."""
    rows = [
        (
            *(device.name, device.title, device.host or "", device.runtime, figures.optional(device.threads)),
            device.delegate,
            ", ".join(f"{figure.variant} {figure.latency_ms:g} ms" for figure in device.reference),
        )
        for device in devices
    ]
    columns = ("device", "what it is", "ssh host", "runtime", ">threads", "delegate", "published")
    print_table("", columns, rows)
    print_notes("An ssh host is a name in your ~/.ssh/config; without one the device is this machine.")


def doctor(found: Findings) -> dict[str, Any]:
    """The report of `lite-toolkit doctor`."""
    return {
        "devices": [
            {"device": name, "findings": [asdict(finding) for finding in findings]} for name, findings in found.items()
        ]
    }


def show_doctor(found: Findings) -> None:
    """One table for each device."""
    for name, findings in found.items():
        rows = [(finding.level, finding.check, finding.found, finding.advice) for finding in findings]
        print_table(name, ("", "check", "found", "what to do"), rows)
