"""How many processors this process may keep busy."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MAXIMUM = 256  # threads or workers that may be asked for


def usable(root: Path = Path("/")) -> int:
    """Those that it may run on, or fewer where a container has a quota of their time; a part counts as one.

    Args:
        root: where Linux's proc and sys are.
    """
    own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([own, *map(math.ceil, _quotas(root))]))


def _quotas(root: Path) -> Iterator[float]:
    """Of the control groups that the process is in, and of those above them, each in processors.

    Version 2 mounts one tree, version 1 one for each controller; a container may see its own group as the tree's root
    (cgroups(7); "CPU" in the kernel's admin-guide/cgroup-v2, and scheduler/sched-bwc).
    """
    for controllers, path in re.findall(r"^\d+:(.*?):/(.*)$", _text(root / "proc/self/cgroup"), re.MULTILINE):
        if not controllers or "cpu" in controllers.split(","):
            group = root / "sys/fs/cgroup" / ("cpu" if controllers else "") / path
            yield from filter(None, map(_quota, (group, *group.parents)))


def _quota(group: Path) -> float | None:
    told = _text(group / "cpu.max") or f"{_text(group / 'cpu.cfs_quota_us')} {_text(group / 'cpu.cfs_period_us')}"
    found = re.fullmatch(r"(\d+)\s+(\d+)", told)  # a group without a quota says "max", or -1
    return int(found.group(1)) / int(found.group(2)) if found else None


def _text(path: Path) -> str:
    """Empty where the file cannot be read."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
