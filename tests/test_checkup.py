"""The job "doctor": what is found on machines made of a few files, and with runtimes that misbehave."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lite_toolkit.board import checkup
from lite_toolkit.board import machine as host
from lite_toolkit.board.checkup import CheckupJob, Finding
from lite_toolkit.errors import ModelError
from lite_toolkit.runtime import interpreter as runtime

JOB = CheckupJob("ai-edge-litert", "xnnpack", {})


def findings(job: CheckupJob = JOB) -> dict[str, Finding]:
    (result,) = checkup.doctor(job, {})
    return {finding.check: finding for finding in result.findings}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A machine that has nothing but the files given: `machine({"proc/meminfo": "..."})`."""

    def make(files: dict[str, str]) -> dict[str, Finding]:
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        monkeypatch.setattr(host, "ROOT", tmp_path)
        return findings()

    return make


@pytest.mark.parametrize(("content", "dtype"), [(checkup.FLOAT, 0), (checkup.INT8, 9)])
def test_the_networks_are_one_addition(content: bytes, dtype: int) -> None:
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content))
    (graph,) = model.subgraphs
    assert [code.builtinCode for code in model.operatorCodes] == [schema.BuiltinOperator.ADD]
    assert [(list(one.shape), one.type) for one in graph.tensors] == [([1, 4], dtype)] * 2
    assert [(list(one.inputs), list(one.outputs)) for one in graph.operators] == [([0, 0], [1])]


def test_this_machine_can_run_models() -> None:
    found = findings()
    assert {"machine", "runtime", "XNNPACK", "Edge TPU", "governor"} <= set(found)
    assert found["runtime"].found.startswith(runtime.runtime_version())
    assert all(finding.level in ("ok", "warn") for finding in found.values())


def test_without_a_runtime_the_profile_says_which_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "_RUNTIMES", {"none": "no_such_runtime"})
    finding = findings()["runtime"]
    assert finding.level == "fail"
    assert finding.advice.startswith("pip install")


def test_a_runtime_for_numpy_1_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def interpreter(**_: object) -> None:
        raise SystemError("CreateWrapperFromBuffer returned a result with an exception set")

    monkeypatch.setattr(runtime._runtime()[1], "Interpreter", interpreter)
    finding = findings()["runtime"]
    assert finding.level == "fail"
    assert "does not work with numpy" in finding.found
    assert finding.advice == "pip install 'numpy<2'"
    with pytest.raises(ModelError, match=r"does not work with numpy .*: pip install 'numpy<2'$"):
        runtime.Model(checkup.FLOAT)


@pytest.mark.parametrize(
    ("version", "level"),
    [("tflite-runtime 2.9.1", "warn"), ("tflite-runtime 2.10.0", "ok"), ("ai-edge-litert 2.3.0", "ok")],
)
def test_old_runtimes_that_compute_wrong_scores_are_named(
    monkeypatch: pytest.MonkeyPatch, version: str, level: str
) -> None:
    monkeypatch.setattr(runtime, "runtime_version", lambda: version)
    assert findings()["runtime"].level == level


@pytest.mark.parametrize(
    ("taken", "finding"),
    [
        ({checkup.FLOAT, checkup.INT8}, ("ok", "takes float and int8 operators")),
        ({checkup.FLOAT}, ("warn", "takes float operators only")),
        (set(), ("warn", "takes no operators")),
    ],
)
def test_xnnpack_is_what_really_takes_operators(
    monkeypatch: pytest.MonkeyPatch, taken: set[bytes], finding: tuple[str, str]
) -> None:
    monkeypatch.setattr(checkup, "_is_taken", lambda model: model in taken)
    found = findings()["XNNPACK"]
    assert (found.level, found.found) == finding


def test_a_delegate_that_is_not_there_fails() -> None:
    finding = findings(replace(JOB, delegate="/nowhere/libdelegate.so"))["delegate"]
    assert (finding.level, finding.found) == ("fail", "/nowhere/libdelegate.so cannot be used")
    assert finding.advice == "no such file"


@pytest.mark.parametrize(
    ("size", "found", "advice"),
    [
        (0, None, None),
        (250, "2 kept in {cache}, 500.0 MB", ""),
        (600, "2 kept in {cache}, 1200.0 MB", "beyond 1000 MB the next evaluation of others deletes the oldest"),
    ],
)
def test_the_images_that_are_kept(
    size: int, found: str | None, advice: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cache = tmp_path / "lite-toolkit"
    for digit in "ab" if size else "":
        cache.mkdir(exist_ok=True)
        with (cache / (digit * 64)).open("wb") as file:
            file.truncate(size * 10**6)  # takes no room on the disk
    finding = findings().get("images")
    assert (finding and (finding.found, finding.advice)) == (found and (found.format(cache=cache), advice))


USB = {"sys/bus/usb/devices/2-1/idVendor": "1a6e\n", "sys/bus/usb/devices/2-1/idProduct": "089a\n"}
STARTED = {"sys/bus/usb/devices/2-1/idVendor": "18d1\n", "sys/bus/usb/devices/2-1/idProduct": "9302\n"}
PCI = {"sys/bus/pci/devices/0/vendor": "0x1ac1\n", "sys/bus/pci/devices/0/device": "0x089a\n"}
SPEED = "sys/bus/usb/devices/2-1/speed"
RULE = {"etc/udev/rules.d/60-edgetpu.rules": 'SUBSYSTEM=="usb", ATTRS{idVendor}=="1a6e", GROUP="plugdev"\n'}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, {"Edge TPU": ("ok", "none on USB or PCI")}),
        (USB | RULE | {SPEED: "5000\n"}, {"Edge TPU": ("ok", "on USB, 5000 Mbit/s")}),
        (STARTED | RULE | {SPEED: "480\n"}, {"Edge TPU": ("warn", "on USB, 480 Mbit/s")}),
        (STARTED | {SPEED: "5000\n"}, {"udev": ("warn", "no rule for 1a6e:089a")}),
        (PCI, {"Edge TPU": ("warn", "on PCI, without driver")}),
        (PCI | {"sys/bus/pci/devices/0/driver/module": ""}, {"Edge TPU": ("ok", "on PCI")}),
        ({"sys/bus/usb/devices/1-1/idVendor": "1d6b", "sys/bus/usb/devices/1-1/idProduct": "0002"}, {}),
        ({"proc/meminfo": "MemTotal: 500000 kB\nMemAvailable:  100000 kB\n"}, {"memory": ("warn", "102 MB free")}),
        ({"proc/meminfo": "MemAvailable:  1000000 kB\n"}, {"memory": ("ok", "1024 MB free")}),
        ({"sys/class/thermal/thermal_zone0/temp": "81000"}, {"temperature": ("warn", "81 °C")}),
        ({"sys/class/thermal/thermal_zone0/temp": "48312"}, {"temperature": ("ok", "48 °C")}),
        ({"sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand"}, {"governor": ("warn", "ondemand")}),
        (
            {"sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "performance"},
            {"governor": ("ok", "performance")},
        ),
    ],
)
def test_what_the_files_of_linux_tell(
    machine: Any, files: dict[str, str], expected: dict[str, tuple[str, str]]
) -> None:
    found = machine(files)
    assert {check: (found[check].level, found[check].found) for check in expected} == expected
    assert all(bool(found[check].advice) == (level == "warn") for check, (level, _) in expected.items())
    assert ("udev" in found) == ("udev" in expected)


def test_a_raspberry_pi_tells_of_low_voltage(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "_throttled", lambda: 0x50000)
    assert machine({})["throttled"].found == "now or since the start: the supply voltage is too low, throttled"
