"""Delegates: what runs a model's nodes in place of the runtime's own kernels."""

from __future__ import annotations

import os
import platform
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lite_toolkit.errors import DelegateError

if TYPE_CHECKING:
    from collections.abc import Mapping

EDGETPU_LIBRARIES = {"Linux": "libedgetpu.so.1", "Darwin": "libedgetpu.1.dylib", "Windows": "edgetpu.dll"}

# What an Edge TPU takes, from tflite/edgetpu_delegate_for_custom_op_tflite_plugin.cc of google-coral/libedgetpu.
_EDGETPU_OPTIONS = {
    "Performance": ("Low", "Medium", "High", "Max"),
    "Usb.AlwaysDfu": ("True", "False"),
    "Usb.MaxBulkInQueueLength": tuple(map(str, range(256))),
}
_EDGETPU = re.compile(r"edgetpu(?::(usb|pci|\d+|usb:\d+|pci:\d+))?")
_LIBRARY = re.compile(r".*\.(so(\.\d+)*|dylib|dll)")
_ELF_MACHINES = {3: "x86", 40: "arm", 62: "x86-64", 183: "aarch64", 243: "riscv"}  # e_machine of the ELF header


@dataclass(frozen=True)
class Delegate:
    """A choice of delegate.

    Attributes:
        name: as people name it: "xnnpack", "none", "edgetpu:usb" or the path of a library.
        library: what the system's loader finds the delegate by; None for "xnnpack", which the runtime applies itself,
            and for "none", its own kernels alone.
        options: for the library.
    """

    name: str
    library: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Its name in reports."""
        return {"xnnpack": "XNNPACK", "none": "kernels"}.get(self.name, Path(self.name).name)


XNNPACK = Delegate("xnnpack")
NONE = Delegate("none")


def choose(name: str, options: Mapping[str, str]) -> Delegate:
    """The delegate that `--delegate` names on this machine.

    "edgetpu" is Coral's library under the name that this platform has for it; ":usb", ":pci" or a number chooses among
    several devices, which is its option "device" (libedgetpu's tflite/public/edgetpu.h). What the runtime cannot run on
    a library's delegate is left to XNNPACK, as in an app.

    Raises:
        DelegateError: the name is none of xnnpack, none, edgetpu and a library's; or options are given to a delegate
            that takes none, or would not look at them.
    """
    if name in (XNNPACK.name, NONE.name):
        if options:
            raise DelegateError(f"delegate {name!r} takes no option: only edgetpu and libraries do")
        return Delegate(name)
    edgetpu = _EDGETPU.fullmatch(name)
    if edgetpu:
        device = edgetpu.group(1)
        _check_edgetpu_options(device, options)
        # libedgetpu names the n-th device of any kind ":n".
        chosen = {} if device is None else {"device": f":{device}" if device.isdigit() else device}
        return Delegate(name, EDGETPU_LIBRARIES.get(platform.system(), "libedgetpu.so.1"), {**chosen, **options})
    if _LIBRARY.fullmatch(name) or os.sep in name:
        # The system's loader looks for a bare name in its own folders, and not in the current one.
        return Delegate(name, str(Path(name).absolute()) if Path(name).is_file() else name, dict(options))
    raise DelegateError(
        f"unknown delegate {name!r}: choose xnnpack, none, edgetpu, edgetpu:usb, edgetpu:pci, edgetpu:N or the path of "
        "a library (.so, .dylib, .dll)"
    )


def is_edgetpu(name: str) -> bool:
    """Whether `choose` takes a name for an Edge TPU: "edgetpu", with a device or without, or a library so called."""
    return "edgetpu" in Path(name).name


def has_library(name: str) -> bool:
    """Whether the delegate that `choose` makes of a name is a library's, which may stand for one device."""
    return name not in (XNNPACK.name, NONE.name)


def _check_edgetpu_options(device: str | None, options: Mapping[str, str]) -> None:
    for key, value in options.items():
        if value not in _EDGETPU_OPTIONS.get(key, ()):
            raise DelegateError(
                f"delegate edgetpu has no option {key}={value}: choose Performance=Low, Medium, High or Max, "
                "Usb.AlwaysDfu=True or False, or Usb.MaxBulkInQueueLength=0 to 255"
            )
    # libedgetpu drops them silently for a device that is chosen by its kind alone.
    if options and not (device or "").split(":")[-1].isdigit():
        raise DelegateError(
            f"option {next(iter(options))} reaches only an Edge TPU that is chosen by number: edgetpu:0, edgetpu:usb:0"
        )


def advice(said: str) -> str:
    """What to do about a failure that a runtime or a delegate's library reports, with a colon before; or nothing."""
    return next((f": {what}" for pattern, what in _ADVICE if re.search(pattern, said)), "")


def why_not_loaded(delegate: Delegate, reason: BaseException) -> str:
    """What to do about a library that the runtime's `load_delegate` failed to load with `reason`."""
    library = str(delegate.library)
    text = " ".join(str(reason).split())
    if isinstance(reason, AttributeError):
        return "it is no delegate for TFLite: it has no function tflite_plugin_create_delegate"
    if isinstance(reason, OSError):
        return _why_not_opened(library, text)
    if is_edgetpu(library):
        return (
            "no Edge TPU answered: look for it with lsusb (1a6e:089a or 18d1:9302) or ls /dev/apex_0, install the "
            "udev rules of libedgetpu, join the group plugdev (apex for PCI), replug it, and close programs that use it"
        )
    said = text.partition(library)[2].strip() or "nothing"
    return f"it made no delegate of its options {dict(delegate.options)} and says: {said}"


def _why_not_opened(library: str, text: str) -> str:
    if "/" in library or os.sep in library:
        if not Path(library).exists():
            return "no such file"
    elif library in text:
        if library in EDGETPU_LIBRARIES.values():
            return "it is not installed: install Coral's libedgetpu1-std, or a build of it for your runtime's version"
        return f"the system's loader does not find it: {text}; give its path"
    foreign = _foreign_machine(Path(library))
    return foreign or f"the system cannot open it: {text}{advice(text)}"


def _foreign_machine(path: Path) -> str | None:
    """What an ELF library is made for, where that is not this process's machine."""
    try:
        with path.open("rb") as library, Path(sys.executable).open("rb") as own:
            made_for, here = library.read(20), own.read(20)
    except OSError:
        return None
    if here[:4] != b"\x7fELF":
        return None
    if made_for[:4] != b"\x7fELF" or len(made_for) < 20:
        return "it is no library of this system: its ELF header is missing"
    theirs, ours = _machine(made_for), _machine(here)
    return None if theirs == ours else f"it is made for {theirs}, and this is {ours}"


def _machine(header: bytes) -> str:
    """Machine and word length of an ELF header's first 20 bytes (System V ABI, chapter 4)."""
    number = int.from_bytes(header[18:20], "big" if header[5] == 2 else "little")
    return f"{_ELF_MACHINES.get(number, f'machine {number}')} ({'64' if header[4] == 2 else '32'} bits)"


# As libedgetpu and the runtimes word it, in issues 44, 159, 259 and 435 of google-coral/edgetpu.
_ADVICE = (
    ("custom op.*edgetpu-custom-op", "it is compiled for the Edge TPU, which --delegate edgetpu runs"),
    (r"libusb-1\.0", "install libusb: apt install libusb-1.0-0, or brew install libusb"),
    ("requires runtime version", "install a newer libedgetpu, or compile with --min-runtime"),
    (
        "Unsupported data type in custom op handler",
        "libedgetpu and the runtime are built from different versions of TensorFlow, or several are installed",
    ),
)
