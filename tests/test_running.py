"""What the commands show of devices: one, several, and those that fail; the board is the stand-in of conftest.py."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from lite_toolkit.cli import main
from lite_toolkit.conversion import pipeline
from lite_toolkit.devices import profiles

QUICK = ("--runs", "2", "--seconds", "0", "--max-seconds", "1")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main.main, [str(argument) for argument in arguments])


def report(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.fixture
def profile(board: Path) -> Callable[..., Path]:
    """Write a profile of the board: `profile("name", "threads = 2")`."""

    def write(name: str, *lines: str) -> Path:
        path = board / f"{name}.toml"
        path.write_text("\n".join(['title = "A board"', 'host = "board"', f"python = {sys.executable!r}", *lines]))
        return path

    return write


@pytest.fixture(scope="module")
def model(convert: Callable[..., pipeline.Conversion]) -> Path:
    return convert("lite0", "int8").files[0].path


def fail_on(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    said = f"ssh: connect to host {host}: Connection refused"
    monkeypatch.setenv("PLAY", f"if sys.argv[-2] == {host!r}:\n    sys.stderr.write({said!r})\n    sys.exit(255)")


def test_devices_lists_every_profile() -> None:
    listed = report(run("devices", "--json"))["devices"]
    assert [one["device"] for one in listed] == profiles.names()
    (coral,) = (one for one in listed if one["device"] == "coral-usb")
    assert [(figure["variant"], figure["latency_ms"]) for figure in coral["reference"]] == [("es", 5.1), ("em", 8.7)]
    assert re.search(r"raspberry-pi-4 +Raspberry Pi 4 +raspberry-pi-4", run("devices").stdout)


def test_doctor_looks_at_this_machine_and_its_extras() -> None:
    (here,) = report(run("doctor", "--json"))["devices"]
    assert here["device"] == "local"
    assert {"runtime", "XNNPACK", "extra convert"} <= {finding["check"] for finding in here["findings"]}


def test_doctor_looks_at_boards(profile: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    fail_on(monkeypatch, "gone")
    good, gone = profile("good"), profile("gone")
    gone.write_text(gone.read_text().replace('"board"', '"gone"'))
    result = run("doctor", "--device", good, "--device", gone, "--json")
    assert result.exit_code == 1
    assert result.stderr == "Error: gone: cannot be used as they are, see what failed\n"
    there, away = json.loads(result.stdout)["devices"]
    assert (there["device"], away["device"]) == ("good", "gone")
    assert "extra convert" not in {finding["check"] for finding in there["findings"]}
    (finding,) = away["findings"]
    assert finding["level"] == "fail"
    assert finding["found"] == "cannot reach gone: ssh: connect to host gone: Connection refused"


def test_benchmark_on_a_board(profile: Callable[..., Path], model: Path) -> None:
    found = report(run("benchmark", model, *QUICK, "--device", profile("mine", "threads = 2"), "--json"))
    assert (found["schema"], found["device"]) == ("lite-toolkit/benchmark", "mine")
    assert [one["threads"] for one in found["measurements"]] == [2]


def test_benchmark_on_several_ends_in_one_table(
    profile: Callable[..., Path], model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_on(monkeypatch, "gone")
    good, gone = profile("good"), profile("gone")
    gone.write_text(gone.read_text().replace('"board"', '"gone"'))
    chosen = ("--device", good, "--device", "local", "--device", gone)
    result = run("benchmark", model, *QUICK, *chosen)
    assert result.exit_code == 1
    assert len(re.findall(r"^ *(?:good|local) +\S+\.tflite +1 +xnnpack", result.stdout, re.MULTILINE)) == 2
    assert "warning: gone: cannot reach gone" in result.stderr
    assert result.stderr.endswith("Error: 1 of 3 devices failed\n")
    document = json.loads(run("benchmark", model, *QUICK, *chosen, "--json").stdout)
    assert document["schema"] == "lite-toolkit/benchmark-devices"
    assert [one["device"] for one in document["devices"]] == ["good", "local"]
    assert [one["device"] for one in document["failed"]] == ["gone"]


def test_one_device_that_fails_is_one_line(
    profile: Callable[..., Path], model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_on(monkeypatch, "board")
    result = run("benchmark", model, "--device", profile("mine"))
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: cannot reach board: ssh: connect to host board: Connection refused\n"


def test_a_profile_chooses_the_delegate_unless_the_user_does(profile: Callable[..., Path], model: Path) -> None:
    mine = profile("mine", 'delegate = "/nowhere/lib.so"')
    result = run("benchmark", model, *QUICK, "--device", mine)
    assert result.stderr == "Error: board: delegate /nowhere/lib.so: no such file\n"
    found = report(run("benchmark", model, *QUICK, "--device", mine, "--delegate", "none", "--json"))
    assert found["measurements"][0]["delegate"] == "none"


def test_evaluate_gives_the_same_figures_on_a_board(
    profile: Callable[..., Path], model: Path, labelled: Path, tmp_path: Path
) -> None:
    here = report(run("evaluate", model, "--data", labelled, "--json"))
    there = report(run("evaluate", model, "--data", labelled, "--device", profile("mine"), "--json"))
    for key in ("images", "top", "classes", "confusions", "preprocessing"):
        assert there[key] == here[key]
    assert there["device"] == "mine"
    table = run("evaluate", model, "--data", labelled, "--device", profile("mine"), "--device", "local").stdout
    assert len(re.findall(r"^ *(?:mine|local) +12 +", table, re.MULTILINE)) == 2


def test_an_evaluation_is_resumed_where_it_was_begun(
    profile: Callable[..., Path], model: Path, labelled: Path, tmp_path: Path
) -> None:
    begun = ("evaluate", model, "--data", labelled, "--resume", tmp_path / "done", "--json")
    assert report(run(*begun, "--device", profile("mine")))["resumed_images"] == 0
    assert report(run(*begun, "--device", profile("mine")))["resumed_images"] == 12
    assert run(*begun).exit_code == 1
    assert run(*begun, "--device", profile("mine"), "--device", "local").exit_code == 2


def test_a_gate_names_the_device(profile: Callable[..., Path], model: Path, labelled: Path) -> None:
    chosen = ("--device", profile("mine"), "--device", "local")
    result = run("evaluate", model, "--data", labelled, *chosen, "--min-top1", "100")
    assert result.exit_code == 3
    assert re.search(r"^Error: mine: top-1 is [\d.]+%, less than 100%$", result.stderr, re.MULTILINE)
