"""One job in a process of its own: `python -m lite_toolkit.board.runner`, here or on a board.

Standard input has one line: the job as a JSON object. "job" names a function of `JOBS`, "files" maps names to paths of
this machine, and the rest is for that function. Standard output has one JSON object a line, its events:

    {"event": "progress", "done": 3, "total": 50}      any number of them
    {"event": "record", "image": 7, ...}               the same; only of the job "inference"
    {"event": "result", ...}                           the last one, or
    {"event": "error", "message": "...", "exit_code": 1}

Whatever native code prints goes to standard error. This module and all that it imports run on Python 3.7.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from lite_toolkit.board.checkup import doctor
from lite_toolkit.board.golden import golden
from lite_toolkit.board.inference import inference
from lite_toolkit.board.latency import benchmark
from lite_toolkit.board.operator_times import profile
from lite_toolkit.errors import LiteToolkitError
from lite_toolkit.streams import claim_stdout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any, TextIO

    Job = Mapping[str, Any]
    Event = dict[str, Any]


def main() -> int:
    """Run the job on standard input; the exit code."""
    with claim_stdout() as stream:
        job = json.loads(sys.stdin.readline())
        try:
            for event in JOBS[job["job"]](job):
                _send(stream, event)
        except LiteToolkitError as error:
            message = " ".join(str(error).split())
            _send(stream, {"event": "error", "message": message, "exit_code": error.exit_code})
            return error.exit_code
    return 0


def _send(stream: TextIO, event: Event) -> None:
    stream.write(json.dumps(event) + "\n")
    stream.flush()


JOBS: dict[str, Callable[[Job], Iterator[Event]]] = {
    "benchmark": benchmark,
    "profile": profile,
    "inference": inference,
    "doctor": doctor,
    "golden": golden,
}

if __name__ == "__main__":
    sys.exit(main())
