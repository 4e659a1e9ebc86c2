"""Jobs of `runner.py` on a board, over the user's own OpenSSH; the board needs Python, numpy, Pillow and a runtime.

All that differs from job to job goes through standard input, see `landing.py`. What comes back is not trusted.
"""

import hashlib
import io
import json
import math
import re
import shlex
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, Self

from lite_toolkit.devices import shipment
from lite_toolkit.devices.jobs import Event, Events, finished
from lite_toolkit.errors import DeviceError, JobError
from lite_toolkit.images.files import find_images
from lite_toolkit.text import cleaned, shown

LONGEST_LINE = 1 << 24  # bytes of one event: enough for the raw latencies of hours

_CHUNK = 1 << 16
_CLOSING_SECONDS = 10  # for the board to clean up
_PROGRAM = "runner.pyz"
_SSH_FAILED = 255
_NOT_FOUND = (126, 127)  # as shells say
_FAILURES = range(1, 126)  # exit codes that a job may name
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


def run(board: Target, job: Mapping[str, Any], files: Mapping[str, Path]) -> Events:
    """Run a job on a board, as `jobs.run` does here; folders are of images, of which the board keeps a cache.

    Raises:
        JobError: the job failed, the board cannot be reached, or the connection was lost.
    """
    places, parts = _parts(files)
    landing = shipment.landing()
    remote = f"exec {shlex.quote(board.python)} -I -c {shlex.quote(_BOOT.format(size=len(landing)))}"
    plan = {"parts": [part.entry for part in parts], "program": _PROGRAM, "job": {**job, "files": places}}
    with _Session(board, remote) as session:
        session.send([landing, json.dumps(plan).encode(), b"\n"])
        yield from finished(session.events(parts), session.ending)


class _Session:
    """One ssh process, and what is said through it."""

    def __init__(self, board: Target, remote: str) -> None:
        self._board, self._answered = board, False
        self._noise = tempfile.TemporaryFile()  # noqa: SIM115  # a pipe that nobody reads would stop ssh
        command, pipe = board.command(remote), subprocess.PIPE
        try:
            self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=self._noise)  # noqa: S603
        except FileNotFoundError as error:
            raise JobError("there is no command ssh here: install OpenSSH's client") from error
        self._input: Any = self._process.stdin
        self._output: Any = self._process.stdout

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End the job, if it still runs, by the end of its standard input; the board then cleans up."""
        for stream in (self._input, self._output):
            with suppress(BrokenPipeError):
                stream.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_CLOSING_SECONDS)
        self._process.kill()
        self._process.wait()
        self._noise.close()

    def send(self, chunks: Iterable[bytes]) -> None:
        """Write to the board's standard input; where nobody reads it any more, `ending` knows why."""
        with suppress(BrokenPipeError):
            for chunk in chunks:
                self._input.write(chunk)
            self._input.flush()

    def events(self, parts: list["_Part"]) -> Iterator[Event]:
        """The events of the job; the board is sent those of `parts` that it needs."""
        for event in self._answers():
            self._answered = True
            if event["event"] == "need":
                self.send(chunk for part in self._needed(event, parts) for chunk in part.chunks())
            elif event["event"] == "error":
                yield {**event, "message": f"{self._board}: {event['message']}"}
            else:
                yield event

    def ending(self) -> str:
        """How the session ended, when there was no result."""
        code = self._process.wait()
        self._noise.seek(max(0, self._noise.seek(0, io.SEEK_END) - _CHUNK))
        said = [line for line in self._noise.read().decode(errors="replace").splitlines() if line.strip()]
        reason = shown(said[-1]) if said else f"exit code {code}"
        if code in _NOT_FOUND:
            return f"{self._board} cannot run {self._board.python}: {reason}"
        if code != _SSH_FAILED:
            return f"{self._board} ended the job without a result: {reason}"
        return f"{'lost the connection to' if self._answered else 'cannot reach'} {self._board}: {reason}"

    def _answers(self) -> Iterator[Event]:
        while line := self._output.readline(LONGEST_LINE):
            if not line.endswith(b"\n") and len(line) < LONGEST_LINE:
                return  # the connection was cut within it
            event = _event(line)
            if event is None:
                told = shown(line[:60].decode(errors="replace"))
                self._refuse(f"answered {told!r}, which is no event: does its shell print at login?")
            yield event

    def _needed(self, event: Event, parts: list["_Part"]) -> list["_Part"]:
        numbers = event["parts"]
        if not all(type(number) is int and 0 <= number < len(parts) for number in numbers):
            self._refuse("asked for parts that there are not")
        return [parts[number] for number in numbers]

    def _refuse(self, what: str) -> NoReturn:
        raise JobError(f"{self._board} {what}")


@dataclass(frozen=True)
class _Part:
    """A file on its way to the board, and what the plan says of it."""

    content: Path | bytes
    entry: Mapping[str, object]

    def chunks(self) -> Iterator[bytes]:
        with _open(self.content) as stream:
            yield from iter(lambda: stream.read(_CHUNK), b"")


def _parts(files: Mapping[str, Path]) -> tuple[dict[str, str], list[_Part]]:
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


def _event(line: bytes) -> Event | None:
    """The event in a line that a board wrote; None where it is none."""
    try:
        event = cleaned(json.loads(line, parse_float=_finite, parse_constant=_finite))
    except (ValueError, RecursionError):
        return None
    types = _EVENTS.get(str(event.get("event"))) if isinstance(event, dict) else None
    if types is None or not all(type(event.get(key)) is kind for key, kind in types.items()):
        return None
    return event if event.get("exit_code", 1) in _FAILURES else None


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} cannot stand in a report")
    return number


_EVENTS: dict[str, dict[str, type]] = {
    "need": {"parts": list},
    "progress": {"done": int, "total": int},
    "record": {"image": int, "answers": list},
    "result": {},
    "error": {"message": str, "exit_code": int},
}
