"""What runs on a board first: takes a job and its files from standard input, and leaves nothing but a cache behind.

`ssh.py` sends this module's text and talks to it. Standard input has one line of JSON, the plan:

    {"parts": [{"path": "model/lite0.tflite", "size": 7000000, "sha256": "...", "kept": false}, ...],
     "program": "runner.pyz", "job": {"job": "benchmark", "files": {"model": "model/lite0.tflite"}, ...}}

The answer is {"event": "need", "parts": [0, 2]}, the parts that are not in the cache; standard input then has their
bytes one after another, and stays open. Standard output has the events of the program, see `runner.py`. When standard
input ends, because the job was cancelled or the connection cut, the program is killed. This module runs on Python 3.7.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, NoReturn

    Part = Mapping[str, Any]

CHUNK = 1 << 16


def main() -> int:
    """Do what the plan on standard input says; the exit code of the program."""
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, _end)
    try:
        with tempfile.TemporaryDirectory(prefix="lite-toolkit-") as folder:
            plan = json.loads(sys.stdin.buffer.readline())
            _fetch(plan["parts"], Path(folder))
            return _run(Path(folder), plan["program"], plan["job"])
    except OSError as error:
        _send({"event": "error", "message": str(error), "exit_code": 1})
        return 1


def _fetch(parts: list[Part], folder: Path) -> None:
    """Bring all parts to their paths in `folder`; those that are kept are links to the cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "lite-toolkit"
    needed = [number for number, part in enumerate(parts) if not (part["kept"] and _holds(cache, part))]
    _send({"event": "need", "parts": needed})
    for number, part in enumerate(parts):
        path = folder / part["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        if part["kept"]:
            path.symlink_to(cache / part["sha256"])
        if number in needed:
            try:
                _receive(part, cache / part["sha256"] if part["kept"] else path)
            except OSError as error:
                raise OSError(f"cannot store {part['path']}: {error.strerror or error}") from error


def _holds(cache: Path, part: Part) -> bool:
    """Whether the cache has the very bytes: a power cut may leave a file of the right name and length."""
    path = cache / part["sha256"]
    if not path.is_file() or path.stat().st_size != part["size"]:
        return False
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for chunk in iter(lambda: stream.read(CHUNK), b""):
            digest.update(chunk)
    return bool(digest.hexdigest() == part["sha256"])


def _receive(part: Part, path: Path) -> None:
    """Write the next part of standard input to `path`, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    digest, left = hashlib.sha256(), part["size"]
    handle, temporary = tempfile.mkstemp(dir=str(path.parent))
    try:
        with os.fdopen(handle, "wb") as stream:
            while left:
                chunk = sys.stdin.buffer.read(min(CHUNK, left))
                if not chunk:
                    raise OSError("it arrived only in part")
                stream.write(chunk)
                digest.update(chunk)
                left -= len(chunk)
        if digest.hexdigest() != part["sha256"]:
            raise OSError("it arrived damaged")
        Path(temporary).replace(path)
    finally:
        if Path(temporary).exists():
            Path(temporary).unlink()


def _run(folder: Path, program: str, job: dict[str, Any]) -> int:
    """Run the program on the job, as long as standard input stays open."""
    job["files"] = {name: str(folder / path) for name, path in job["files"].items()}
    environment = {**os.environ, "TMPDIR": str(folder)}
    described = folder / "job.json"
    described.write_text(json.dumps(job) + "\n")
    with described.open() as stream:
        child = subprocess.Popen([sys.executable, str(folder / program)], stdin=stream, env=environment)  # noqa: S603
    try:
        threading.Thread(target=_watch, args=[child], daemon=True).start()
        code = child.wait()
    finally:
        child.kill()
        child.wait()
    if code < 0:
        message = f"the job's process was killed by {signal.Signals(-code).name}"
        _send({"event": "error", "message": message, "exit_code": 1})
    return code


def _watch(child: subprocess.Popen[bytes]) -> None:
    # Past sys.stdin, whose lock a thread must not hold while Python ends.
    while os.read(0, CHUNK):
        pass
    child.kill()


def _send(event: Mapping[str, object]) -> None:
    with suppress(BrokenPipeError):  # where the connection was cut, nobody listens
        os.write(1, json.dumps(event).encode() + b"\n")


def _end(*_: object) -> NoReturn:
    sys.exit(1)


if __name__ == "__main__":
    sys.exit(main())
