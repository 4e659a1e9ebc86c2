"""Device profiles: small TOML files that say what a board is and how to reach it; `devices/README.md` decodes them."""

import functools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from lite_toolkit import shipped
from lite_toolkit.devices import jobs, ssh
from lite_toolkit.errors import DelegateError, DeviceError
from lite_toolkit.runtime import delegates

T = TypeVar("T")

RUNTIMES = ("ai-edge-litert", "tflite-runtime")
MAXIMUM_THREADS = 256


@dataclass(frozen=True)
class Reference:
    """A figure that somebody published for this device.

    Attributes:
        variant: of the network, as `lite-toolkit variants` names it.
        latency_ms: of one inference, int8.
        source: where it is published.
    """

    variant: str
    latency_ms: float
    source: str


@dataclass(frozen=True)
class Profile:
    """A device.

    Attributes:
        name: of the file, without suffix, or the target of ssh.
        title: what people call it.
        host: target of ssh: a name in the user's ssh configuration, or [user@]host[:port]; None for this machine.
        ssh_config: a file to use instead of the user's ssh configuration, relative to the profile.
        python: the command there, or its path from the home folder.
        runtime: what to install there.
        threads: for the kernels, unless the user says otherwise; None for one for each processor.
        delegate, delegate_options: as `--delegate` and `--delegate-option`, unless the user says otherwise.
        provisioning: the script in `devices/` that prepares one.
        notes: what else to know.
        reference: what others measured.
    """

    name: str
    title: str
    host: str | None = None
    ssh_config: Path | None = None
    python: str = "python3"
    runtime: str = RUNTIMES[0]
    threads: int | None = None
    delegate: str = "xnnpack"
    delegate_options: Mapping[str, str] = field(default_factory=dict)
    provisioning: str | None = None
    notes: str = ""
    reference: tuple[Reference, ...] = ()

    @property
    def run(self) -> jobs.Run:
        """What runs jobs there."""
        if self.host is None:
            return jobs.run
        return functools.partial(ssh.run, ssh.target(self.host, python=self.python, config=self.ssh_config))


HERE, ANY = "local", "linux"  # the profiles of this machine, and of a target of ssh that nothing else is known of


def load(text: str) -> Profile:
    """The profile of that name in `devices/`, the one in that `.toml` file, or that of `ssh://[user@]host[:port]`.

    Raises:
        DeviceError: none of these, or an unknown key or value in the profile.
    """
    if "://" in text:
        return replace(load(ANY), name=str(ssh.target(text)), host=text)
    path = Path(text)
    if path.suffix != ".toml":
        if text not in names():
            known = ", ".join(names())
            raise DeviceError(
                f"unknown device {text!r}: choose one of {known}, a .toml file, or ssh://[user@]host[:port]"
            )
        path = shipped.folder("devices") / f"{text}.toml"
    return _parse(path, shipped.read_toml(path, DeviceError))


def load_all(texts: Sequence[str]) -> list[Profile]:
    """The profiles of all; of this machine where there are none.

    Raises:
        DeviceError: as `load`, or two have one name.
    """
    found = [load(text) for text in dict.fromkeys(texts or [HERE])]
    for name, count in Counter(device.name for device in found).items():
        if count > 1:
            raise DeviceError(f"{count} devices are called {name!r}: rename their files, or choose one")
    return found


def names() -> list[str]:
    """The names of the profiles that come with the toolkit."""
    return sorted(path.stem for path in shipped.folder("devices").glob("*.toml"))


def _parse(path: Path, table: Mapping[str, Any]) -> Profile:
    _check(str(path), table, _KEYS, ("title",))
    found = dict(table)
    if "host" in found:
        ssh.target(found["host"])
    if "ssh_config" in found:
        found["ssh_config"] = path.parent / Path(found["ssh_config"]).expanduser()
    try:
        delegates.choose(found.get("delegate", Profile.delegate), found.get("delegate_options", {}))
    except DelegateError as error:
        raise DeviceError(f"{path}: {error}") from error
    figures = found.pop("reference", ())
    for figure in figures:
        _check(f"{path}: reference", figure, _REFERENCE_KEYS, tuple(_REFERENCE_KEYS))
    return Profile(path.stem, **found, reference=tuple(Reference(**figure) for figure in figures))


def _check(title: str, table: object, keys: Mapping[str, "_Kind"], required: tuple[str, ...]) -> None:
    if not isinstance(table, dict):
        raise DeviceError(f"{title} {table!r}: must be a table of {', '.join(keys)}")
    for key in required:
        if key not in table:
            raise DeviceError(f"{title}: {key!r} is missing")
    for key, value in table.items():
        if key not in keys:
            raise DeviceError(f"{title}: unknown key {key!r}: choose from {', '.join(keys)}")
        allowed, meaning = keys[key]
        if not allowed(value):
            raise DeviceError(f"{title}: {key} {value!r}: must be {meaning}")


def _is_line(value: object) -> bool:
    return isinstance(value, str) and value.isprintable() and bool(value.strip())


_Kind = tuple[Callable[[Any], bool], str]
_LINE: _Kind = (_is_line, "a line of text")
_KEYS: dict[str, _Kind] = {
    "title": _LINE,
    "host": _LINE,
    "ssh_config": _LINE,
    "python": _LINE,
    "runtime": (lambda value: value in RUNTIMES, f"one of {', '.join(RUNTIMES)}"),
    "threads": (
        lambda value: type(value) is int and 1 <= value <= MAXIMUM_THREADS,
        f"a whole number from 1 to {MAXIMUM_THREADS}",
    ),
    "delegate": _LINE,
    "delegate_options": (
        lambda value: isinstance(value, dict) and all(map(_is_line, value.values())),
        "a table of texts",
    ),
    "provisioning": _LINE,
    "notes": _LINE,
    "reference": (lambda value: isinstance(value, list), "tables [[reference]]"),
}
_REFERENCE_KEYS: dict[str, _Kind] = {
    "variant": _LINE,
    "latency_ms": (lambda value: type(value) in (int, float) and value > 0, "a number of milliseconds"),
    "source": _LINE,
}
