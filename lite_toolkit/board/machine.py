"""The machine that measures: what it is, and how it fares from moment to moment.

Everything is read from Linux's /proc and /sys, and left out where they, or another system, do not tell.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lite_toolkit.runtime import processors

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

ROOT = Path("/")


@dataclass(frozen=True)
class Environment:
    """What a machine is, and its software; None where it does not tell."""

    board: str | None
    cpu: str | None
    machine: str | None
    processors: int
    governors: tuple[str, ...]
    system: str | None
    os: str | None
    kernel: str | None
    python: str | None
    runtime: str | None
    numpy: str | None


def environment(root: Path = ROOT) -> dict[str, Any]:
    """What the machine is: an `Environment` as JSON, without runtime and numpy.

    Args:
        root: where proc, sys and etc are.
    """
    return {
        "board": text(root / "proc/device-tree/model") or None,
        "cpu": _cpu(root),
        "machine": platform.machine(),
        "processors": processors.usable(root),
        "governors": sorted(set(_texts(root, "cpufreq/scaling_governor"))),
        "system": platform.system(),
        "os": _os(root),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


@dataclass(frozen=True)
class State:
    """How a machine fares.

    Attributes:
        frequencies_khz: of each processor.
        temperatures_celsius: by thermal zone and type.
        throttled: the flags of a Raspberry Pi's firmware as a number (see `THROTTLED`), or None.
    """

    frequencies_khz: tuple[int, ...]
    temperatures_celsius: Mapping[str, float]
    throttled: int | None


def state(root: Path = ROOT) -> dict[str, Any]:
    """How it fares now, a `State` as JSON."""
    return {
        "frequencies_khz": [int(told) for told in _texts(root, "cpufreq/scaling_cur_freq")],
        "temperatures_celsius": _temperatures(root),
        "throttled": _throttled(),
    }


# Bits of `vcgencmd get_throttled` (Raspberry Pi documentation, "vcgencmd").
THROTTLED = {0: "the supply voltage is too low", 1: "the frequency is capped", 2: "throttled", 3: "too hot"}
SINCE_START = 16  # so many bits higher: whether it has occurred since the start


def load_average() -> float | None:
    """Programs that ran or waited to run, on average over the last minute."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def busy_seconds(root: Path = ROOT) -> float | None:
    """Processor time since the start that went to any program or, in a virtual machine, to other guests.

    The columns of /proc/stat are in proc(5).
    """
    line = text(root / "proc/stat")
    if not line:
        return None
    user, nice, system, _idle, _waiting, irq, softirq, steal = map(int, line.split()[1:9])
    return float(user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def threads() -> int | None:
    """How many threads this process has."""
    tasks = Path("/proc/self/task")
    return len(list(tasks.iterdir())) if tasks.is_dir() else None


def resident_bytes() -> tuple[int | None, int | None]:
    """This process's resident memory now and at its peak, in bytes.

    The peak is Linux's VmHWM, which begins at zero in a new program. Where there is none it is getrusage's figure.
    """
    status = text(Path("/proc/self/status"))
    if status:
        lines = dict(line.split(":", 1) for line in status.splitlines())
        now, peak = (int(lines[name].split()[0]) for name in ("VmRSS", "VmHWM"))
        return now * 1024, peak * 1024
    if sys.platform == "win32":
        return None, None
    import resource

    maximum = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return None, maximum if sys.platform == "darwin" else maximum * 1024


def text(path: Path) -> str:
    """A file's text without the blanks and zero bytes around it; empty where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\0 \n")
    except OSError:
        return ""


def _cpu(root: Path) -> str | None:
    lines = text(root / "proc/cpuinfo").splitlines()
    named = dict(line.split(":", 1) for line in lines if ":" in line)
    names = {name.strip(): value.strip() for name, value in named.items()}
    # x86 has a "model name", 32-bit ARM too; 64-bit ARM only "CPU part", which the board's name explains better.
    return names.get("model name") or names.get("Hardware") or platform.processor() or None


def _os(root: Path) -> str | None:
    for line in text(root / "etc/os-release").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip("\"' ")
    return None


def _temperatures(root: Path) -> dict[str, float]:
    found = {}
    for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*")):
        kind, millidegrees = text(zone / "type"), text(zone / "temp")
        if millidegrees:
            found[f"{zone.name} {kind}".strip()] = int(millidegrees) / 1000
    return found


def _throttled() -> int | None:
    command = shutil.which("vcgencmd")
    if command is None:
        return None
    try:
        done = subprocess.run([command, "get_throttled"], stdout=subprocess.PIPE, timeout=2, check=True)  # noqa: S603
        return int(done.stdout.decode().partition("=")[2], 16)  # "throttled=0x50005"
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def _texts(root: Path, name: str) -> list[str]:
    """The file `name` of each processor that has one, in order of number."""
    folders = sorted((root / "sys/devices/system/cpu").glob("cpu[0-9]*"), key=lambda path: int(path.name[3:]))
    return [told for told in (text(folder / name) for folder in folders) if told]
