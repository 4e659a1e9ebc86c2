"""What a machine tells, read from a Raspberry Pi's /proc and /sys written by hand."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from lite_toolkit.board import machine

FILES = {
    "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
    "proc/cpuinfo": "processor\t: 0\nBogoMIPS\t: 108.00\nCPU part\t: 0xd08\n\nHardware\t: BCM2835\n",
    "proc/stat": "cpu  100 20 30 4000 50 6 7 8 0 0\ncpu0 1 2 3\n",
    "etc/os-release": 'NAME="Debian GNU/Linux"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand\n",
    "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor": "ondemand\n",
    "sys/devices/system/cpu/cpu10/cpufreq/scaling_cur_freq": "600000\n",
    "sys/devices/system/cpu/cpu2/cpufreq/scaling_cur_freq": "1800000\n",
    "sys/devices/system/cpu/cpufreq/boost": "1\n",
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": "48312\n",
}


@pytest.fixture
def pi(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_the_environment_of_a_board(pi: Path) -> None:
    found = machine.environment(pi)
    assert found["board"] == "Raspberry Pi 4 Model B Rev 1.4"
    assert found["cpu"] == "BCM2835"
    assert found["governors"] == ["ondemand"]
    assert found["os"] == "Debian GNU/Linux 12 (bookworm)"
    assert found["processors"] >= 1


def test_the_state_of_a_board(pi: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vcgencmd = tmp_path / "bin/vcgencmd"
    vcgencmd.parent.mkdir()
    vcgencmd.write_text("#!/bin/sh\necho throttled=0x50005\n")
    vcgencmd.chmod(0o755)
    monkeypatch.setenv("PATH", str(vcgencmd.parent), prepend=":")
    assert machine.state(pi) == {
        "frequencies_khz": [1_800_000, 600_000],
        "temperatures_celsius": {"thermal_zone0 cpu-thermal": 48.312},
        "throttled": 0x50005,
    }


def test_a_machine_that_tells_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    found = machine.environment(tmp_path)
    assert (found["board"], found["governors"], found["os"]) == (None, [], None)
    assert machine.state(tmp_path) == {"frequencies_khz": [], "temperatures_celsius": {}, "throttled": None}
    assert machine.busy_seconds(tmp_path) is None


def test_processor_time_of_all_programs(pi: Path) -> None:
    """Idle time (4000) and waiting for disks (50) are not busy; a tick is a hundredth of a second on Linux."""
    assert machine.busy_seconds(pi) == pytest.approx((100 + 20 + 30 + 6 + 7 + 8) / 100)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems tell only the peak")
def test_memory_is_that_of_this_process() -> None:
    """In a new process, as the figure of a parent would stick to a child's getrusage."""
    program = """
from lite_toolkit.board import machine
before, _ = machine.resident_bytes()
block = b"x" * 50_000_000
now, peak = machine.resident_bytes()
del block
after, still = machine.resident_bytes()
print(now - before, peak - now, before - after, still - peak)
"""
    ballast = bytearray(100_000_000)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    grown, above, left, risen = map(int, re.findall(r"-?\d+", done.stdout))
    assert len(ballast) == 100_000_000
    assert grown == pytest.approx(50_000_000, abs=2_000_000)
    assert max(abs(above), abs(left), abs(risen)) < 2_000_000
