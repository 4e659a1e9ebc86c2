"""Jobs of `board/runner.py` in a process of their own: a child here; `ssh.py` has those on boards.

What a process answers is not trusted.
"""

import io
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import asdict
from pathlib import Path
from threading import Lock
from typing import Any, NoReturn, Self, TypeVar

from lite_toolkit.board.job import Job
from lite_toolkit.decoding import decode
from lite_toolkit.errors import JobError
from lite_toolkit.progress import Steps
from lite_toolkit.runtime import children
from lite_toolkit.text import cleaned, shown

LONGEST_LINE = 1 << 24  # bytes of one event: a result holds at most 10,000 times of each kind of run

_CHUNK = 1 << 16
_FAILURES = range(1, 126)  # exit codes that a job may name

Event = dict[str, Any]
Events = Generator[Event, None, None]
Files = Mapping[str, Path]
T = TypeVar("T")


class Stop:
    """Ends all sessions that were begun under it, and those that are begun later; from any thread."""

    def __init__(self) -> None:
        self._lock, self._stopped = Lock(), False
        self._sessions: list[Session] = []

    def __call__(self) -> None:
        """End them."""
        with self._lock:
            self._stopped = True
            for session in self._sessions:
                session.kill()

    def add(self, session: "Session") -> None:
        """Let one be ended too."""
        with self._lock:
            self._sessions.append(session)
            if self._stopped:
                session.kill()


STOP: ContextVar[Stop | None] = ContextVar("STOP", default=None)  # of the work of this thread


class Session(ABC):
    """A process that takes one job, and what is said through it.

    It starts at once, and loads what it needs while others still find out what the job is. It never outlives its
    `with` block.

    Attributes:
        name: what messages call it.
    """

    _NO_EVENT = ""  # what to look for where an answer is no event

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        """Start the process, in this one's environment unless another is given."""
        self.name = name
        self._noise = tempfile.TemporaryFile()  # noqa: SIM115  # a pipe that nobody reads would stop the process
        # In a session of its own no Ctrl-C of a terminal reaches it, nor what it starts: who waits for it ends it.
        self._process = subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._noise,
            start_new_session=True,
            env=environment,
        )
        self._input: Any = self._process.stdin
        self._output: Any = self._process.stdout
        stop = STOP.get()
        if stop:
            stop.add(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()
        self._process.wait()
        self._noise.close()

    def kill(self) -> None:
        """End the process and what it started, from any thread."""
        if self._process.poll() is None:
            if sys.platform == "win32":
                self._process.kill()
            else:
                os.killpg(self._process.pid, signal.SIGKILL)

    def events(self, job: Job, files: Files) -> Events:
        """Run the job, once.

        Args:
            job: what to do. Paths that are not here but where the process is, such as a delegate's library, are
                ordinary values.
            files: name -> local path, of a file or a folder; the job finds them by name as paths of its machine.

        Yields:
            The job's events, its result at the end.

        Raises:
            JobError: the job said what went wrong, or its process ended without a result.
        """
        self._describe({"job": job.NAME, **asdict(job)}, files)
        for event in self._answers():
            if event["event"] == "error":
                raise JobError(self._complaint(event["message"]), event["exit_code"])
            yield event
            if event["event"] == "result":
                return
        raise JobError(self._ending(self._process.wait()))

    def result(self, job: Job, files: Files, kind: type[T], steps: Steps) -> T:
        """The result of a job, whose progress is shown by `steps`.

        Raises:
            JobError: as `events`, or the result is none of that kind.
        """
        return self.decoded(self.answer(job, files, steps), "result", kind)

    def answer(self, job: Job, files: Files, steps: Steps) -> Event:
        """The result of a job as JSON."""
        for event in self.events(job, files):
            if event["event"] == "progress":
                steps.progress(event["done"], event["total"])
        return event

    def decoded(self, event: Event, name: str, kind: type[T]) -> T:
        """The event of that name as a value.

        Raises:
            JobError: it is none.
        """
        if event["event"] != name:
            self.refuse(f"answered an event {event['event']!r}: must be {name!r}")
        content = {key: value for key, value in event.items() if key != "event"}
        return decode(kind, content, f"{self.name} answered what cannot be", JobError)

    def refuse(self, what: str) -> NoReturn:
        """Say what the process did that it must not."""
        raise JobError(f"{self.name} {what}")

    @abstractmethod
    def _describe(self, job: Mapping[str, Any], files: Files) -> None:
        """Tell the process its job."""

    @abstractmethod
    def _complaint(self, message: str) -> str:
        """What a job says went wrong, as people are told."""

    @abstractmethod
    def _ending(self, code: int) -> str:
        """How a process ended that gave no result."""

    @abstractmethod
    def _close(self) -> None:
        """End the process, if it still runs, and what it started."""

    def _send(self, chunks: Iterable[bytes]) -> None:
        """Write to the process; where nobody reads it any more, `_ending` knows why."""
        with suppress(BrokenPipeError):
            for chunk in chunks:
                self._input.write(chunk)
            self._input.flush()

    def _answers(self) -> Iterator[Event]:
        while line := self._output.readline(LONGEST_LINE):
            if not line.endswith(b"\n") and len(line) < LONGEST_LINE:
                return  # the process ended within it
            event = _event(line)
            if event is None:
                told = shown(line[:60].decode(errors="replace"))
                self.refuse(f"answered {told!r}, which is no event{self._NO_EVENT}")
            yield event

    def _last_words(self) -> list[str]:
        """The last line that it printed, if there is one."""
        self._noise.seek(max(0, self._noise.seek(0, io.SEEK_END) - _CHUNK))
        said = self._noise.read().decode(errors="replace").splitlines()
        return [shown(line) for line in said if line.strip()][-1:]


class _Child(Session):
    """A child process here."""

    def _describe(self, job: Mapping[str, Any], files: Files) -> None:
        paths = {name: str(path.absolute()) for name, path in files.items()}
        self._send([json.dumps({**job, "files": paths}).encode(), b"\n"])

    def _complaint(self, message: str) -> str:
        return message

    def _ending(self, code: int) -> str:
        how = f"the process of the job ended {children.ending(code)} without a result"
        return ": ".join((how, *self._last_words()))

    def _close(self) -> None:
        self.kill()
        self._process.communicate()  # to the end of its output, which what it started holds too


_AHEAD: list[Session] = []


def start() -> Session:
    """Start a process for a job here, or take the one that `ahead` has started."""
    if _AHEAD:
        return _AHEAD.pop()
    # No job multiplies matrices by numpy, whose threads would take a tenth of a second from the workers at the start.
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    return _Child("this machine", children.command("lite_toolkit.board.runner"), environment)


@contextmanager
def ahead() -> Iterator[None]:
    """Start the process of the next job here at once, so that it loads what it needs while the caller does the same.

    It ends with the block if there was no job.
    """
    _AHEAD.append(start())
    try:
        yield
    finally:
        while _AHEAD:
            with _AHEAD.pop():
                pass


def _event(line: bytes) -> Event | None:
    """The event in a line; None where it is none."""
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
    "opening": {},
    "records": {"records": list},
    "result": {},
    "error": {"message": str, "exit_code": int},
}
