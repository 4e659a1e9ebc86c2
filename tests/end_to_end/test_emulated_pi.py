"""Boards over real ssh: an emulated Raspberry Pi of 64 and of 32 bits, with nothing but what a board needs.

It is made by `../shared/pi/emulated-pi.sh`, which only fetches packages into a folder of the test; qemu must be there.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

COMMAND = shutil.which("lite-toolkit", path=Path(sys.executable).parent)
EMULATORS = {"aarch64": "qemu-aarch64.conf", "armhf": "qemu-arm.conf"}


def run(*arguments: str | Path) -> dict[str, Any]:
    assert COMMAND, "the command must be installed beside the interpreter"
    done = subprocess.run([COMMAND, *map(str, arguments), "--json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def model(imagenet_lite0: str, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """lite0 in int8, quickly made. It ends in logits: a softmax adds floats in an order of the processor's own."""
    path = tmp_path_factory.mktemp("model") / "lite0-int8.tflite"
    calibration = ("--calibration-data", shared / "imagenet/calibration", "--calibration-samples", "20")
    made = ("--variant", "lite0", "--int8", "--recipe", "int8-minmax", "--activation", "none")
    run("convert", *made, *calibration, "--output", path)
    return path


@pytest.fixture(scope="module", params=EMULATORS)
def emulated(
    request: pytest.FixtureRequest, shared: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path]]:
    """Architecture and profile of an emulated Pi that listens."""
    architecture = request.param
    if not Path("/usr/lib/binfmt.d", EMULATORS[architecture]).exists() or not shutil.which("ssh"):
        pytest.skip("needs an ssh client and qemu: apt-get install openssh-client qemu-user-static")
    script, folder = shared / "pi/emulated-pi.sh", tmp_path_factory.mktemp("pi")
    environment = os.environ | {
        "PI": str(folder), "PIP": f"{sys.executable} -m pip", "PORT": str(_free_port())
    }  # fmt: skip
    built = subprocess.run(["bash", script, "build", architecture], env=environment, capture_output=True, text=True)
    if built.returncode:
        pytest.skip(f"the packages of an emulated Pi cannot be fetched: {built.stderr.strip().splitlines()[-1:]}")
    with (folder / "sshd.log").open("w") as log:
        sshd = subprocess.Popen(
            ["bash", script, "sshd", architecture], env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        _wait_for(folder / "sshd.log", "Server listening", sshd)
        profile = folder / "pi.toml"
        profile.write_text(f'title = "Emulated"\nhost = "pi"\nssh_config = "ssh-{architecture}/ssh_config"\n')
        yield architecture, profile
    finally:
        os.killpg(sshd.pid, signal.SIGTERM)
        sshd.wait()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _wait_for(log: Path, text: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        if text in log.read_text():
            return
        if process.poll() is not None:
            break
        time.sleep(0.1)
    pytest.skip(f"sshd of an emulated Pi does not start: {log.read_text()[-200:]!r}")


@pytest.fixture(scope="module")
def photographs(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 of them, each of another class."""
    folder = tmp_path_factory.mktemp("photographs")
    for path in sorted((shared / "imagenet/validation").iterdir())[:200:10]:
        shutil.copy(path, folder)
    return folder


def test_doctor_finds_it_ready(emulated: tuple[str, Path]) -> None:
    architecture, profile = emulated
    (device,) = run("doctor", "--device", profile)["devices"]
    found = {finding["check"]: finding for finding in device["findings"]}
    assert found["runtime"]["level"] == "ok"
    # tflite-runtime for 32 bits has no XNNPACK.
    assert found["XNNPACK"]["level"] == ("ok" if architecture == "aarch64" else "warn")


def test_benchmark_measures_there(emulated: tuple[str, Path], model: Path) -> None:
    architecture, profile = emulated
    once = ("--runs", "1", "--seconds", "0", "--max-seconds", "1")
    found = run("benchmark", model, *once, "--device", profile)
    assert found["environment"]["machine"] == {"aarch64": "aarch64", "armhf": "armv7l"}[architecture]
    assert found["measurements"][0]["latency"]["p50_ms"] > 0


def test_evaluate_sees_there_what_it_sees_here(
    emulated: tuple[str, Path], model: Path, photographs: Path, shared: Path
) -> None:
    architecture, profile = emulated
    task = ("evaluate", model, "--data", photographs, "--class-index", shared / "imagenet/classes.tsv")
    here, there = run(*task), run(*task, "--device", profile)
    assert there["images"] == 20
    if architecture == "aarch64":  # with XNNPACK on both sides, results are equal to the bit
        assert (there["top"], there["classes"], there["confusions"]) == (
            here["top"],
            here["classes"],
            here["confusions"],
        )
    assert abs(there["top"][0]["correct_images"] - here["top"][0]["correct_images"]) <= 1


def test_a_bundle_holds_there(emulated: tuple[str, Path], model: Path, tmp_path: Path) -> None:
    architecture, profile = emulated
    run("package", model, "--target", "python", "--output", tmp_path / "bundle")
    stages = {stage["name"]: stage for stage in run("verify", tmp_path / "bundle", "--device", profile)["stages"]}
    assert stages["resize"]["differing"] == stages["quantize"]["differing"] == 0
    if architecture == "aarch64":  # XNNPACK has no part in armhf's tflite-runtime
        assert stages["kernel"]["differing"] == 0
