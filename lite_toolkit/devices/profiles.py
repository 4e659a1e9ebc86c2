"""Device profiles: small TOML files that say what a board is and how to reach it; `devices/README.md` decodes them."""

import os.path
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from lite_toolkit import shipped
from lite_toolkit.decoding import Line, Positive, between, decode
from lite_toolkit.devices import jobs, ssh
from lite_toolkit.errors import DeviceError
from lite_toolkit.runtime import delegates, processors

T = TypeVar("T")


@dataclass(frozen=True)
class Reference:
    """A figure that somebody published for this device.

    Attributes:
        variant: of the network, as `lite-toolkit variants` names it.
        latency_ms: of one inference, int8.
        source: where it is published.
    """

    variant: Line
    latency_ms: Positive
    source: Line


@dataclass(frozen=True)
class Delegation:
    """A delegate, by its name and options as `delegates.choose` takes them on the machine that runs the model."""

    name: str
    options: Mapping[str, str]


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

    Raises:
        DeviceError: the host is no target of ssh.
        DelegateError: the delegate is unknown, or takes other options.
    """

    name: str
    title: Line
    host: Line | None = None
    ssh_config: Annotated[Path, os.path.expanduser, Path] | None = None
    python: Line = "python3"
    runtime: Literal["ai-edge-litert", "tflite-runtime"] = "ai-edge-litert"
    threads: Annotated[int, between(1, processors.MAXIMUM)] | None = None
    delegate: Line = "xnnpack"
    delegate_options: Mapping[Line, Line] = field(default_factory=dict)
    provisioning: Line | None = None
    notes: Line = ""
    reference: tuple[Reference, ...] = ()

    def __post_init__(self) -> None:
        if self.host is not None:
            ssh.target(self.host)
        delegates.choose(self.delegate, self.delegate_options)

    def delegation(self, name: str | None, options: Mapping[str, str]) -> Delegation:
        """The delegate of a name, or the device's own where that is None."""
        if name is None:
            return Delegation(self.delegate, {**self.delegate_options, **options})
        return Delegation(name, dict(options))

    def start(self) -> jobs.Session:
        """Start a process for a job there.

        Raises:
            JobError: there is no ssh here.
        """
        if self.host is None:
            return jobs.start()
        return ssh.start(ssh.target(self.host, python=self.python, config=self.ssh_config))


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
    profile = decode(Profile, shipped.read_toml(path, DeviceError), str(path), DeviceError, name=path.stem)
    return replace(profile, ssh_config=path.parent / profile.ssh_config) if profile.ssh_config else profile


def here() -> Profile:
    """The profile of this machine."""
    return load(HERE)


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
