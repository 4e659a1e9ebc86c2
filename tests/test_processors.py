"""How many processors a process may keep busy: its affinity, and the quota of the container that it is in."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from lite_toolkit.board import machine
from lite_toolkit.runtime import interpreter, processors

V2 = "0::/user.slice/job.scope"


def tree(folder: Path, cgroup: str, files: dict[str, str]) -> Path:
    """A root with a process's control groups and what /sys/fs/cgroup says of them."""
    for name, text in {"proc/self/cgroup": cgroup, **{f"sys/fs/cgroup/{name}": files[name] for name in files}}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{text}\n")
    return folder


@pytest.fixture(autouse=True)
def eight(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of 16 processors, of which this process may use 8."""
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


def test_those_of_the_affinity(tmp_path: Path) -> None:
    assert processors.usable(tmp_path) == 8


def test_all_where_the_system_has_no_affinity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    assert processors.usable(tmp_path) == 16


@pytest.mark.parametrize(
    ("cgroup", "files", "count"),
    [
        # Version 2: the own group, one above it, and a container that sees its group as the root.
        (V2, {"user.slice/job.scope/cpu.max": "200000 100000"}, 2),
        (V2, {"user.slice/job.scope/cpu.max": "max 100000", "user.slice/cpu.max": "300000 100000"}, 3),
        ("0::/", {"cpu.max": "400000 100000"}, 4),
        ("0::/a:b name", {"a:b name/cpu.max": "100000 100000"}, 1),
        # A part of a processor is one; a quota above the affinity changes nothing.
        ("0::/", {"cpu.max": "150000 100000"}, 2),
        ("0::/", {"cpu.max": "10000 100000"}, 1),
        ("0::/", {"cpu.max": "1200000 100000"}, 8),
        ("0::/", {"cpu.max": "max 100000"}, 8),
        # Version 1, by its own name and inside a container that does not see the path of its group.
        ("4:cpuacct,cpu:/docker/3f", {"cpu/docker/3f/cpu.cfs_quota_us": "250000"}, 8),  # no period
        (
            "4:cpuacct,cpu:/docker/3f",
            {"cpu/docker/3f/cpu.cfs_quota_us": "250000", "cpu/docker/3f/cpu.cfs_period_us": "50000"},
            5,
        ),
        ("1:cpu:/docker/3f\n0::/", {"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, 3),
        ("1:cpu:/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8),
        # What is of other controllers, or of another form.
        ("2:cpuset:/a", {"cpu/a/cpu.cfs_quota_us": "100000", "cpu/a/cpu.cfs_period_us": "100000"}, 8),
        ("nonsense", {"cpu.max": "100000 100000"}, 8),
        ("0::/", {"cpu.max": "many"}, 8),
    ],
)
def test_the_quota_of_a_container(cgroup: str, files: dict[str, str], count: int, tmp_path: Path) -> None:
    assert processors.usable(tree(tmp_path, cgroup, files)) == count


def test_it_is_the_one_count_of_the_toolkit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a report tells of the machine, and the threads of an interpreter without a number of them."""
    assert machine.environment(tree(tmp_path, "0::/", {"cpu.max": "300000 100000"}))["processors"] == 3
    monkeypatch.setattr(processors, "usable", lambda: 5)
    given: dict[str, object] = {}
    monkeypatch.setattr(interpreter, "_runtime", lambda: ("a runtime", SimpleNamespace(Interpreter=given.update)))
    interpreter.unallocated(b"")
    assert given["num_threads"] == 5
