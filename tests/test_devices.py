"""Device profiles, work on several devices, and the scripts that prepare boards."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lite_toolkit import shipped
from lite_toolkit.board.checkup import CheckupJob
from lite_toolkit.devices import jobs, profiles, ssh
from lite_toolkit.devices.jobs import Stop
from lite_toolkit.devices.side_by_side import side_by_side
from lite_toolkit.errors import DeviceError, JobError
from lite_toolkit.networks import architectures
from lite_toolkit.progress import Steps
from lite_toolkit.runtime import children, delegates

FOLDER = shipped.folder("devices")
SCRIPTS = sorted(FOLDER.glob("*.sh"))


def test_every_profile_in_the_folder_loads() -> None:
    boards = {"raspberry-pi-3", "raspberry-pi-4", "raspberry-pi-5", "raspberry-pi-zero-2-w", "coral-dev-board"}
    assert boards | {"local", "linux", "coral-dev-board-mini", "coral-usb"} <= set(profiles.names())


@pytest.mark.parametrize("name", profiles.names())
def test_a_profile_names_only_what_there_is(name: str) -> None:
    device = profiles.load(name)
    assert device.name == name
    delegates.choose(device.delegate, device.delegate_options)
    assert device.provisioning is None or FOLDER / device.provisioning in SCRIPTS
    for figure in device.reference:
        assert figure.variant in architectures.VARIANTS
        assert figure.source.startswith("https://")


def write(tmp_path: Path, text: str) -> str:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return str(path)


def started(device: profiles.Profile, monkeypatch: pytest.MonkeyPatch) -> ssh.Target | None:
    """The target of ssh that a device's jobs are started on; None where they are started here."""
    monkeypatch.setattr(ssh, "start", lambda target: target)
    monkeypatch.setattr(jobs, "start", lambda: None)
    found: Any = device.start()
    return found


def test_a_file_of_ones_own_works_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = 'title = "Mine"\nhost = "pi@10.0.0.7:2222"\nssh_config = "config"\npython = "env/bin/python3"\nthreads = 2'
    device = profiles.load(write(tmp_path, text))
    assert (device.name, device.title, device.threads) == ("mine", "Mine", 2)
    target = ssh.Target("10.0.0.7", "pi", 2222, "env/bin/python3", tmp_path / "config")
    assert started(device, monkeypatch) == target


def test_a_home_that_nobody_has_is_a_name_like_any_other(tmp_path: Path) -> None:
    device = profiles.load(write(tmp_path, 'title = "x"\nssh_config = "~nobody-of-this-name/config"'))
    assert device.ssh_config == tmp_path / "~nobody-of-this-name/config"


def test_a_target_of_ssh_is_a_device() -> None:
    device = profiles.load("ssh://pi@10.0.0.7:2222")
    assert (device.name, device.title) == ("pi@10.0.0.7:2222", "Any Linux board")


def test_without_a_host_it_is_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert started(profiles.load("local"), monkeypatch) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'title' is missing"),
        ('title = "x"\nboard = 1', "unknown key 'board': choose from title, host, ssh_config, python, runtime"),
        ("title = 1", "title 1: must be a text of one line"),
        ('title = " "', "title ' ': must be a text of one line, not blank"),
        ('title = "x"\nhost = "-oProxyCommand=id"', "'-oProxyCommand=id' is no ssh target"),
        ('title = "x"\nruntime = "torch"', "runtime 'torch': must be one of ai-edge-litert, tflite-runtime"),
        ('title = "x"\nthreads = 0', "threads 0: must be a whole number from 1 to 256"),
        ('title = "x"\nthreads = true', "threads True: must be a whole number"),
        ('title = "x"\ndelegate_options = {device = 1}', "delegate_options.device 1: must be a text of one line"),
        ('title = "x"\ndelegate = "gpu"', "delegate 'gpu'"),
        ('title = "x"\ndelegate_options = {Performance = "Max"}', "xnnpack"),
        ('title = "x"\nreference = 1', "reference 1: must be a list, each an object of variant, latency_ms, source"),
        ('title = "x"\nreference = [1]', r"reference\[0\] 1: must be an object of variant, latency_ms, source"),
        ('title = "x"\n[[reference]]\nvariant = "es"', r"reference\[0\]: 'latency_ms' is missing"),
        ("title x", "is not a TOML file"),
    ],
)
def test_what_a_profile_may_not_say(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DeviceError, match=message):
        profiles.load(write(tmp_path, text))


@pytest.mark.parametrize("name", ["raspberry-pi-9", "../local", "missing.toml", "ssh://-x"])
def test_an_unknown_device_is_refused(name: str) -> None:
    with pytest.raises(DeviceError, match=name):
        profiles.load(name)


def test_devices_of_one_name_are_refused(tmp_path: Path) -> None:
    mine = write(tmp_path, 'title = "x"')
    assert [device.name for device in profiles.load_all([mine, "local", "local"])] == ["mine", "local"]
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(DeviceError, match="2 devices are called 'mine'"):
        profiles.load_all([mine, write(other, 'title = "y"')])


def test_several_devices_work_side_by_side() -> None:
    meeting = threading.Barrier(3, timeout=10)  # none gets through alone

    def work(device: profiles.Profile) -> str:
        meeting.wait()
        if device.name == "b":
            raise JobError("out of order")
        return device.title

    boards = [profiles.Profile(name, name.upper()) for name in "abc"]
    first, error, last = side_by_side(boards, work)
    assert (first, str(error), last) == ("A", "out of order", "C")


@pytest.mark.parametrize("host", ["pi", None])
@pytest.mark.parametrize("number", [1, 2])
def test_a_fault_of_the_toolkit_is_not_put_down_to_the_device(number: int, host: str | None) -> None:
    devices = [profiles.Profile(f"device{index}", "x", host=host) for index in range(number)]
    with pytest.raises(ValueError, match="could not convert"):
        side_by_side(devices, lambda _: float("x"))


@dataclass(frozen=True)
class Sized:
    sizes: tuple[int, ...]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({}, ": 'sizes' is missing: must be a list, each a whole number"),
        ({"sizes": [1, "2"]}, "sizes[1] '2': must be a whole number"),
        ({"sizes": [10**400]}, "must be a whole number"),
    ],
)
def test_an_answer_that_nobody_understands_is_an_error_of_that_device(
    answer: dict[str, Any], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = json.dumps({"event": "result", **answer})
    monkeypatch.setattr(children, "command", lambda module: [sys.executable, "-c", f"print({line!r})"])
    with jobs.start() as session, pytest.raises(JobError, match=r"^this machine answered what cannot be:") as caught:
        session.result(CheckupJob("", "", {}), {}, Sized, Steps())
    assert told in str(caught.value)


def test_an_interrupt_ends_the_work_of_all_devices_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C comes to the main thread alone, and the others wait for processes that would run for a minute."""
    program = f"import os; open('{tmp_path}/' + str(os.getpid()), 'w').close(); os.execlp('sleep', 'sleep', '60')"
    monkeypatch.setattr(children, "command", lambda module: [sys.executable, "-c", program])
    meeting = threading.Barrier(3, timeout=30)

    def work(name: str) -> None:
        with jobs.start() as session:
            while len(list(tmp_path.iterdir())) < 3:
                time.sleep(0.01)
            if meeting.wait() == 0:
                os.kill(os.getpid(), signal.SIGINT)
            list(session.events(CheckupJob("", "", {}), {}))
        raise AssertionError(f"{name} came to an end")

    with pytest.raises(KeyboardInterrupt):
        side_by_side("abc", work)
    for path in tmp_path.iterdir():
        with pytest.raises(ProcessLookupError):
            os.kill(int(path.name), 0)


def test_no_process_is_started_after_an_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "command", lambda module: ["sleep", "60"])
    interrupted = threading.Event()

    def work(name: str) -> None:
        if name == "a":
            raise KeyboardInterrupt
        interrupted.wait(30)
        with jobs.start() as session:
            list(session.events(CheckupJob("", "", {}), {}))

    monkeypatch.setattr(Stop, "__call__", lambda self, stop=Stop.__call__: (stop(self), interrupted.set()))
    with pytest.raises(KeyboardInterrupt):
        side_by_side("ab", work)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_the_scripts_are_sound(script: Path) -> None:
    subprocess.run(["bash", "-n", script], check=True)
    text = script.read_text()
    assert "set -euo pipefail" in text
    assert not any(word in text for word in ("curl", "wget", "eval"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_finds_nothing(script: Path) -> None:
    shellcheck = shutil.which("shellcheck")
    if shellcheck is None:
        pytest.skip('needs shellcheck: pip install ".[dev]"')
    done = subprocess.run([shellcheck, script], capture_output=True, text=True)
    assert done.stdout == ""
