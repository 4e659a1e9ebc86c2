"""The runner's job "doctor": whether this machine can run models, and what to do where it cannot."""

from __future__ import annotations

import base64
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lite_toolkit.board import landing, machine
from lite_toolkit.board.job import Job
from lite_toolkit.errors import DelegateError, ModelError
from lite_toolkit.runtime import delegates
from lite_toolkit.runtime import interpreter as runtime
from lite_toolkit.runtime.nodes import delegate_nodes, partition
from lite_toolkit.runtime.rehearsal import rehearse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Findings = Iterator["Finding"]

RUNTIME = "ai-edge-litert"  # the one that is kept up
LEAST_FREE_MEGABYTES = 150  # a process that runs lite0 takes 66 in int8 and 98 in float32
HOT_CELSIUS = 75.0  # a Raspberry Pi slows down from 80 on ("vcgencmd" in its documentation)
SLOW_GOVERNORS = {"powersave", "ondemand", "conservative", "schedutil"}
USB_IDS = {("1a6e", "089a"), ("18d1", "9302")}  # an Edge TPU before and after its firmware is loaded
PCI_ID = ("0x1ac1", "0x089a")
SUPER_SPEED = 5000  # megabits a second, of USB 3
UDEV_RULES = ("etc/udev/rules.d", "usr/lib/udev/rules.d", "lib/udev/rules.d")

# Networks of one operator: y = x + x, of shape (1, 4). tests/test_checkup.py reads them with the schema of TFLite.
FLOAT = base64.b64decode(
    "GAAAAFRGTDMAAA4AFAAQAAwACAAAAAQADgAAABAAAAAYAAAA6AAAAAMAAAABAAAABAAAACD///8BAAAAEAAAAAwAFAAQAAwACAAEAAwAAAAQAAAA"
    "UAAAAFQAAABYAAAAAQAAABQAAAAAAA4AFAAAABAADAALAAQADgAAABAAAAAAAAALDAAAABAAAAB4////AQAAAAEAAAACAAAAAAAAAAAAAAABAAAA"
    "AQAAAAEAAAAAAAAAAgAAADQAAAAEAAAA4P///wgAAAAMAAAAAQAAAHkAAAACAAAAAQAAAAQAAAAMAAwACAAAAAAABAAMAAAACAAAAAwAAAABAAAA"
    "eAAAAAIAAAABAAAABAAAAAEAAAAIAAAABAAEAAQAAAA="
)
INT8 = base64.b64decode(
    "GAAAAFRGTDMAAA4AFAAQAAwACAAAAAQADgAAABAAAAAYAAAAUAEAAAMAAAABAAAABAAAAKj///8BAAAAEAAAAAwAFAAQAAwACAAEAAwAAAAQAAAA"
    "VAAAAFgAAABcAAAAAQAAABQAAAAAAA4AFAAAABAADAALAAQADgAAABQAAAAAAAALEAAAABQAAAAEAAQABAAAAAEAAAABAAAAAgAAAAAAAAAAAAAA"
    "AQAAAAEAAAABAAAAAAAAAAIAAABkAAAABAAAALL///8QAAAAMAAAAAAAAAkwAAAApP///wgAAAAUAAAAAQAAAAAAAAAAAAAAAAAAAAEAAAAAAAA/"
    "AQAAAHkAAAACAAAAAQAAAAQAAAAAAA4AFAAQAA8AAAAIAAQADgAAABwAAAA4AAAAAAAACTgAAAAMAAwAAAAAAAgABAAMAAAACAAAABAAAAABAAAA"
    "AAAAAAAAAAABAAAAAAAAPwEAAAB4AAAAAgAAAAEAAAAEAAAAAQAAABAAAAAAAAoACAAAAAAABAAKAAAAAgAAAA=="
)


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        level: "ok", "warn", or "fail" where nothing can be run.
        check: what was looked at.
        found: what it is.
        advice: what to do, if anything.
    """

    level: str
    check: str
    found: str
    advice: str = ""


@dataclass(frozen=True)
class CheckupJob(Job):
    """A machine to look at.

    Attributes:
        runtime: what to install where there is none.
        delegate, delegate_options: for `delegates.choose`, on that machine.
    """

    NAME = "doctor"

    runtime: str
    delegate: str
    delegate_options: Mapping[str, str]


@dataclass(frozen=True)
class Checkup:
    """What was found, in the order in which people read it."""

    findings: tuple[Finding, ...]


def doctor(job: CheckupJob, _files: Mapping[str, str]) -> Iterator[Checkup]:
    """The runner's job "doctor": look at this machine."""
    delegate = delegates.choose(job.delegate, job.delegate_options)
    findings = [*_machine(), *_runtime(job.runtime), *_edgetpu(machine.ROOT)]
    if delegate.library and not any(finding.level == "fail" for finding in findings):
        findings.append(_delegate(delegate))
    yield Checkup((*findings, *_clocks(machine.ROOT), *_memory(machine.ROOT), *_cache()))


def _machine() -> Findings:
    found = machine.environment()
    names = (found["board"] or found["cpu"], found["machine"], found["os"], f"Python {found['python']}")
    yield Finding("ok", "machine", ", ".join(name for name in names if name))


def _runtime(advised: str) -> Findings:
    """Whether there is a runtime, numpy fits it, and XNNPACK really takes an operator."""
    try:
        name = runtime.runtime_version()
        taken = [kind for kind, model in (("float", FLOAT), ("int8", INT8)) if _is_taken(model)]
    except ModelError as error:
        found, _, advice = str(error).partition(": ")
        yield Finding("fail", "runtime", found, advice or f"pip install {advised}")
        return
    yield _old(name) or Finding("ok", "runtime", f"{name}, numpy {np.__version__}")
    if len(taken) == 2:
        yield Finding("ok", "XNNPACK", "takes float and int8 operators")
    else:
        found = f"takes {taken[0]} operators only" if taken else "takes no operators"
        advice = f"all else runs slower: install {RUNTIME}, which needs 64 bits, /sys and /proc/cpuinfo for it"
        yield Finding("warn", "XNNPACK", found, advice)


def _is_taken(model: bytes) -> bool:
    interpreter = runtime.unallocated(model, 1, delegates.XNNPACK)
    early = delegate_nodes(interpreter)
    runtime.allocate(interpreter, model)
    return partition(interpreter, delegates.XNNPACK, early).taken(delegates.XNNPACK) > 0


def _old(name: str) -> Finding | None:
    version = re.match(r"tflite-runtime (\d+)\.(\d+)", name)
    if version is None or tuple(map(int, version.groups())) >= (2, 10):
        return None
    found = f"{name} computes one scale for all classes: every score of an int8 model is the same"
    return Finding("warn", "runtime", found, "install 2.10 or newer, or convert with --recipe int8-per-tensor")


def _edgetpu(root: Path) -> Findings:
    """The Edge TPUs on the buses, and whether a user may open one on USB."""
    usb = [folder for folder in (root / "sys/bus/usb/devices").glob("*") if _ids(folder, "id") in USB_IDS]
    pci = [folder for folder in (root / "sys/bus/pci/devices").glob("*") if _ids(folder, "") == PCI_ID]
    if not usb and not pci:
        yield Finding("ok", "Edge TPU", "none on USB or PCI")
    for folder in pci:
        driven = (folder / "driver").exists()
        advice = "" if driven else "install the kernel modules gasket and apex, and restart"
        yield Finding("ok" if driven else "warn", "Edge TPU", "on PCI" if driven else "on PCI, without driver", advice)
    for folder in usb:
        speed = int(machine.text(folder / "speed").partition(".")[0] or 0)
        slow = 0 < speed < SUPER_SPEED
        advice = "use a USB 3 port and cable: models that do not fit on the chip stream their weights" if slow else ""
        yield Finding("warn" if slow else "ok", "Edge TPU", f"on USB, {speed} Mbit/s", advice)
    if usb and not _ruled(root):
        yield Finding("warn", "udev", "no rule for 1a6e:089a", "install libedgetpu1-std, or run as root")


def _ids(folder: Path, prefix: str) -> tuple[str, str]:
    names = ("idVendor", "idProduct") if prefix else ("vendor", "device")
    return machine.text(folder / names[0]), machine.text(folder / names[1])


def _ruled(root: Path) -> bool:
    rules = (rule for folder in UDEV_RULES for rule in (root / folder).glob("*.rules"))
    return any("1a6e" in machine.text(rule) for rule in rules)


def _delegate(delegate: delegates.Delegate) -> Finding:
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "tiny.tflite"
        model.write_bytes(FLOAT)
        try:
            version = rehearse(model, 1, delegate)
        except (DelegateError, ModelError) as error:
            return Finding("fail", "delegate", f"{delegate.name} cannot be used", str(error).partition(": ")[2])
    return Finding("ok", "delegate", f"{delegate.name} loads{f', {version}' if version else ''}")


def _clocks(root: Path) -> Findings:
    """What makes times differ from run to run."""
    governors = machine.environment(root)["governors"]
    slow = sorted(SLOW_GOVERNORS.intersection(governors))
    advice = "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor, while you measure"
    yield Finding("warn" if slow else "ok", "governor", ", ".join(governors) or "none", advice if slow else "")
    now = machine.state(root)
    hottest = max(now["temperatures_celsius"].values(), default=None)
    if hottest is not None:
        hot = hottest >= HOT_CELSIUS
        cool = "cool it: clocks are lowered soon" if hot else ""
        yield Finding("warn" if hot else "ok", "temperature", f"{hottest:.0f} °C", cool)
    flags = now["throttled"] or 0
    said = [what for bit, what in machine.THROTTLED.items() if (flags | flags >> machine.SINCE_START) >> bit & 1]
    if said:
        yield Finding(
            "warn", "throttled", "now or since the start: " + ", ".join(said), "check power supply and cooling"
        )


def _memory(root: Path) -> Findings:
    found = re.search(r"^MemAvailable: *(\d+) kB", machine.text(root / "proc/meminfo"), re.MULTILINE)
    if found:
        free = int(found.group(1)) * 1024 // 10**6
        low = free < LEAST_FREE_MEGABYTES
        yield Finding("warn" if low else "ok", "memory", f"{free} MB free", "end other programs" if low else "")


def _cache() -> Findings:
    """How much an evaluation's images take that are kept for the next."""
    sizes = [size for _, size, _ in landing.cached()]
    if sizes:
        found = f"{len(sizes):,} kept in {landing.cache()}, {sum(sizes) / 1e6:.1f} MB"
        kept = f"beyond {landing.CACHE_BYTES / 1e6:.0f} MB the next evaluation of others deletes the oldest"
        yield Finding("ok", "images", found, kept if sum(sizes) > landing.CACHE_BYTES else "")
