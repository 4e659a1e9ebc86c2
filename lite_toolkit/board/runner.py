"""One job in a process of its own: `python -m lite_toolkit.board.runner`, here or on a board.

Standard input has one line: the job as a JSON object. "job" names one of `JOBS`, "files" maps names to paths of this
machine, and the rest are the fields of the job's class. Standard output has one JSON object a line, its events:

    {"event": "progress", "done": 3, "total": 50}      any number of them
    {"event": "opening", ...}                          the first one of the job "inference",
    {"event": "records", "records": [...]}             and any number of them, as of "survey"
    {"event": "result", ...}                           the last one, or
    {"event": "error", "message": "...", "exit_code": 1}

Whatever native code prints goes to standard error. This module and all that it imports run on Python 3.7.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING

from lite_toolkit.board.checkup import CheckupJob, doctor
from lite_toolkit.board.golden import GoldenJob, golden
from lite_toolkit.board.inference import InferenceJob, inference
from lite_toolkit.board.latency import LatencyJob, benchmark
from lite_toolkit.board.operator_times import OperatorsJob, profile
from lite_toolkit.board.survey import SurveyJob, survey
from lite_toolkit.errors import LiteToolkitError, ModelError
from lite_toolkit.runtime.interpreter import runtime_version
from lite_toolkit.streams import claim_stdout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any, TextIO

    from lite_toolkit.board.job import Event, Job


def main() -> int:
    """Run the job on standard input; the exit code."""
    with claim_stdout() as stream:
        with suppress(ModelError):  # the job says it, if it needs a runtime
            runtime_version()  # loads it, while others still find out what the job is
        document = json.loads(sys.stdin.readline())
        kind, function = JOBS[document.pop("job")]
        files = document.pop("files")
        try:
            for event in function(kind(**document), files):
                _send(stream, event)
        except LiteToolkitError as error:
            message = " ".join(str(error).split())
            _send(stream, {"event": "error", "message": message, "exit_code": error.exit_code})
            return error.exit_code
    return 0


def _send(stream: TextIO, event: Event) -> None:
    told = event if isinstance(event, dict) else {"event": "result", **asdict(event)}
    stream.write(json.dumps(told) + "\n")
    stream.flush()


_FUNCTIONS: dict[type[Job], Callable[[Any, Mapping[str, str]], Iterator[Event]]] = {
    LatencyJob: benchmark,
    OperatorsJob: profile,
    InferenceJob: inference,
    CheckupJob: doctor,
    GoldenJob: golden,
    SurveyJob: survey,
}
JOBS = {kind.NAME: (kind, function) for kind, function in _FUNCTIONS.items()}

if __name__ == "__main__":
    sys.exit(main())
