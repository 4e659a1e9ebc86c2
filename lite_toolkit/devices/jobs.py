"""Jobs of `runner.py`, run in a child process."""

import json
import subprocess
import tempfile
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import IO, Any

from lite_toolkit.errors import JobError
from lite_toolkit.progress import Steps
from lite_toolkit.runtime import children

Event = dict[str, Any]
Events = Generator[Event, None, None]
Run = Callable[[Mapping[str, Any], Mapping[str, Path]], Events]


def run(job: Mapping[str, Any], files: Mapping[str, Path]) -> Events:
    """Run a job here, in a child process; what runs jobs elsewhere has the same signature, `Run`.

    Args:
        job: what `runner.py` reads: "job" names the function, the rest are its arguments, JSON values.
        files: name -> local path, of a file or a folder. The job's function finds them by name in `job["files"]`, as
            paths of the machine where it runs: whoever runs it elsewhere brings them there first. Paths that are not
            here but on that machine, such as a delegate's library, are ordinary arguments.

    Yields:
        The job's progress events, and its result event at the end.

    Raises:
        JobError: the job said what went wrong, or its process ended without a result. The process never outlives the
            iterator.
    """
    document = json.dumps({**job, "files": {name: str(path.absolute()) for name, path in files.items()}})
    # Files, since a pipe that nobody reads would stop a process that prints much.
    with tempfile.TemporaryFile() as described, tempfile.TemporaryFile() as noise:
        described.write(document.encode() + b"\n")
        described.seek(0)
        command = children.command("lite_toolkit.board.runner")
        child = subprocess.Popen(  # noqa: S603
            command, stdin=described, stdout=subprocess.PIPE, stderr=noise, encoding="utf-8"
        )
        try:
            yield from finished(map(json.loads, child.stdout or ()), lambda: _ending(child.wait(), noise))
        finally:
            child.kill()
            child.communicate()


def finished(events: Iterable[Event], ending: Callable[[], str]) -> Events:
    """The events up to the result; without one, a JobError that says what the job or `ending` says."""
    for event in events:
        if event["event"] == "error":
            raise JobError(event["message"], event["exit_code"])
        yield event
        if event["event"] == "result":
            return
    raise JobError(ending())


def result(events: Events, steps: Steps) -> Event:
    """The result event of a job, whose progress is shown by `steps`."""
    with closing(events):
        for event in events:
            if event["event"] == "result":
                return event
            steps.progress(event["done"], event["total"])
    raise JobError("the job ended without a result")


def _ending(code: int, noise: IO[bytes]) -> str:
    """How a process ended that gave no result."""
    noise.seek(0)
    last = noise.read().decode(errors="replace").strip().splitlines()[-1:]
    return ": ".join((f"the process of the job ended {children.ending(code)} without a result", *last))
