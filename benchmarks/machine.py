"""Where a benchmark ran: the header of every file in `benchmarks/results`."""

import importlib.metadata
import json
import os
import platform
import re
from datetime import date
from pathlib import Path
from typing import Any

SCHEMA_VERSION = 2
_CPUINFO = Path("/proc/cpuinfo")


def environment(*packages: str) -> dict[str, Any]:
    """Machine, Python, and the versions of packages; None for one that is not installed."""
    return {
        "system": platform.system(),
        "machine": platform.machine(),
        "processor": _processor(),
        "processors": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "python": platform.python_version(),
        "packages": {package: _version(package) for package in packages},
    }


def save(path: Path, environment: dict[str, Any], content: dict[str, Any]) -> None:
    """Write a result file, dated today."""
    header = {"schema_version": SCHEMA_VERSION, "date": date.today().isoformat(), "environment": environment}
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(header | content, indent=2) + "\n")


def kept(path: Path, environment: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of a result file that were measured in the same environment: others do not compare with new ones."""
    document = json.loads(path.read_text()) if path.exists() else {}
    same = (document.get("schema_version"), document.get("environment")) == (SCHEMA_VERSION, environment)
    return document["rows"] if same else []


def _processor() -> str:
    """Its name: Linux knows it better than Python."""
    found = re.search(r"^model name\s*: (.*)", _CPUINFO.read_text() if _CPUINFO.exists() else "", re.MULTILINE)
    return found[1].strip() if found else platform.processor()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
