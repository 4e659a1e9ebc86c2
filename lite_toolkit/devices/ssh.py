"""Jobs of `runner.py` on a board, over the user's own OpenSSH; the board needs Python, numpy, Pillow and a runtime.

All that differs from job to job goes through standard input, see `landing.py`. What comes back is not trusted.
"""

import hashlib
import io
import json
import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from lite_toolkit.devices import shipment
from lite_toolkit.devices.jobs import Event, Files, Session
from lite_toolkit.errors import DeviceError, JobError
from lite_toolkit.images.files import find_images

_CHUNK = 1 << 16
_CLOSING_SECONDS = 10  # for the board to clean up
_PROGRAM = "runner.pyz"
_SSH_FAILED = 255
_NOT_FOUND = (126, 127)  # as shells say
# No prompt can be answered here, and a cable that is pulled is noticed. All else is as the user's configuration says.
_OPTIONS = ("BatchMode=yes", "ConnectTimeout=20", "ServerAliveInterval=15")
_BOOT = (
    'import sys; sys.version_info < (3, 7) and sys.exit("Python %d.%d: 3.7 is needed" % sys.version_info[:2]); '
    "exec(sys.stdin.buffer.read({size}))"
)
_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
_TARGET = re.compile(rf"(?:ssh://)?(?:({_NAME})@)?({_NAME}|\[[0-9A-Fa-f:.]+\])(?::([0-9]{{1,5}}))?/?")


@dataclass(frozen=True)
class Target:
    """A board that OpenSSH reaches.

    Attributes:
        host: an address, or a name of DNS or of the user's ssh configuration.
        user, port: None for what the configuration says.
        python: the command there, or its path from the home folder.
        config: a file instead of the user's ssh configuration.
    """

    host: str
    user: str | None = None
    port: int | None = None
    python: str = "python3"
    config: Path | None = None

    def __str__(self) -> str:
        user, port = f"{self.user}@" if self.user else "", f":{self.port}" if self.port else ""
        return f"{user}{self.host}{port}"

    def command(self, remote: str) -> list[str]:
        """The arguments that run `remote`, a line for the shell of the board."""
        options = [argument for option in _OPTIONS for argument in ("-o", option)]
        config = ["-F", str(self.config)] if self.config else []
        port = ["-p", str(self.port)] if self.port else []
        user = ["-l", self.user] if self.user else []
        return ["ssh", "-T", *options, *config, *port, *user, self.host.strip("[]"), remote]


def target(text: str, *, python: str = "python3", config: Path | None = None) -> Target:
    """What `[ssh://][user@]host[:port]` names.

    Raises:
        DeviceError: it is something else.
    """
    found = _TARGET.fullmatch(text)
    if not found:
        allowed = "must be ssh://[user@]host[:port], of letters, digits, '.', '-' and '_'"
        raise DeviceError(f"{text!r} is no ssh target: {allowed}")
    user, host, port = found.groups()
    return Target(host, user, int(port) if port else None, python, config)


def start(board: Target) -> Session:
    """Connect to a board; folders of a job's files are of images there, of which the board keeps a cache.

    Raises:
        JobError: there is no ssh here.
    """
    try:
        return _Board(board)
    except FileNotFoundError as error:
        raise JobError("there is no command ssh here: install OpenSSH's client") from error


class _Board(Session):
    """A board's end of one ssh process."""

    _NO_EVENT = ": does its shell print at login?"

    def __init__(self, board: Target) -> None:
        landing = shipment.landing()
        remote = f"exec {shlex.quote(board.python)} -I -c {shlex.quote(_BOOT.format(size=len(landing)))}"
        super().__init__(str(board), board.command(remote))
        self._python, self._parts, self._answered = board.python, list[_Part](), False
        self._send([landing])

    def _describe(self, job: Mapping[str, Any], files: Files) -> None:
        places, self._parts = _parts(files)
        plan = {"parts": [part.entry for part in self._parts], "program": _PROGRAM, "job": {**job, "files": places}}
        self._send([json.dumps(plan).encode(), b"\n"])

    def _answers(self) -> Iterator[Event]:
        """The events of the job; the board is sent those of the parts that it needs."""
        for event in super()._answers():
            self._answered = True
            if event["event"] == "need":
                self._send(chunk for part in self._needed(event) for chunk in part.chunks())
            else:
                yield event

    def _needed(self, event: Event) -> list["_Part"]:
        numbers = event["parts"]
        if not all(type(number) is int and 0 <= number < len(self._parts) for number in numbers):
            self.refuse("asked for parts that there are not")
        return [self._parts[number] for number in numbers]

    def _complaint(self, message: str) -> str:
        return f"{self.name}: {message}"

    def _ending(self, code: int) -> str:
        reason = ", ".join(self._last_words()) or f"exit code {code}"
        if code in _NOT_FOUND:
            return f"{self.name} cannot run {self._python}: {reason}"
        if code != _SSH_FAILED:
            return f"{self.name} ended the job without a result: {reason}"
        return f"{'lost the connection to' if self._answered else 'cannot reach'} {self.name}: {reason}"

    def _close(self) -> None:
        """Close its standard input, at which the board ends the job and cleans up."""
        for stream in (self._input, self._output):
            with suppress(BrokenPipeError):
                stream.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_CLOSING_SECONDS)
        self.kill()


@dataclass(frozen=True)
class _Part:
    """A file on its way to the board, and what the plan says of it."""

    content: Path | bytes
    entry: Mapping[str, object]

    def chunks(self) -> Iterator[bytes]:
        with _open(self.content) as stream:
            yield from iter(lambda: stream.read(_CHUNK), b"")


def _parts(files: Files) -> tuple[dict[str, str], list[_Part]]:
    """Where the files will be, seen from the job's folder on the board, and all that is to be sent."""
    places, parts = {}, [_part(shipment.archive(), _PROGRAM)]
    for name, path in files.items():
        if path.is_dir():
            places[name] = name
            images = find_images(path)
            parts += [_part(image, f"{name}/{image.relative_to(path).as_posix()}", kept=True) for image in images]
        else:
            places[name] = f"{name}/{path.resolve().name}"
            parts.append(_part(path, places[name]))
    return places, parts


def _part(content: Path | bytes, path: str, *, kept: bool = False) -> _Part:
    with _open(content) as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]  # it has readinto
        return _Part(content, {"path": path, "size": stream.seek(0, io.SEEK_END), "sha256": sha256, "kept": kept})


def _open(content: Path | bytes) -> BinaryIO:
    return io.BytesIO(content) if isinstance(content, bytes) else content.open("rb")
