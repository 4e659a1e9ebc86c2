"""What runs on a board first: takes a job and its files from standard input, and leaves nothing but a cache behind.

`ssh.py` sends this module's text and talks to it. Standard input has one line of JSON, the plan:

    {"parts": [{"path": "model/lite0.tflite", "size": 7000000, "sha256": "...", "kept": false}, ...],
     "program": "runner.pyz", "job": {"job": "benchmark", "files": {"model": "model/lite0.tflite"}, ...}}

The answer is {"event": "need", "parts": [0, 2]}, the parts that are not in the cache; standard input then has their
bytes one after another, and stays open. Standard output has the events of the program, see `runner.py`. When standard
input ends, because the job was cancelled or the connection cut, the program is killed. Of the cache, what was not used
for longest is deleted. This module runs on Python 3.7.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any, NoReturn

    Part = Mapping[str, Any]

CHUNK = 1 << 16
CACHE_BYTES = 10**9  # 8,000 photographs of ImageNet; the smallest Coral board has 8 GB for all that is on it
_SIGNALS = {number.value: number.name for number in signal.Signals}  # most of the real-time ones have no name
_CACHED = re.compile(r"[0-9a-f]{64}|incoming-.*")  # what this module writes: whole files, and those that were cut off


def main() -> int:
    """Do what the plan on standard input says; the exit code of the program."""
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, _end)
    try:
        with tempfile.TemporaryDirectory(prefix="lite-toolkit-") as folder:
            plan = json.loads(sys.stdin.buffer.readline())
            with _holding({part["sha256"]: part["size"] for part in plan["parts"] if part["kept"]}):
                _fetch(plan["parts"], Path(folder))
                return _run(Path(folder), plan["program"], plan["job"])
    except OSError as error:
        _send({"event": "error", "message": str(error), "exit_code": 1})
        return 1


def cache() -> Path:
    """The folder of what is kept: files named by their sha256."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "lite-toolkit"


def cached() -> list[tuple[float, int, Path]]:
    """When each file of the cache was used last, its size in bytes, and its path; the oldest first."""
    files = [path for path in cache().glob("*") if _CACHED.fullmatch(path.name)]
    return sorted((path.stat().st_mtime, path.stat().st_size, path) for path in files)


@contextmanager
def _holding(needed: Mapping[str, int]) -> Iterator[None]:
    """Make room in the cache for files of these names and sizes; while the block runs, no other job deletes any.

    So nothing is deleted either while another job runs; the next one does it.
    """
    if not needed:
        yield
        return
    import fcntl  # which only boards need to have

    cache().mkdir(parents=True, exist_ok=True)
    handle = os.open(str(cache()), os.O_RDONLY)
    try:
        with suppress(OSError):  # another job runs, or a network's file system has no locks
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _prune(needed)
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_SH)
        yield
    finally:
        os.close(handle)


def _prune(needed: Mapping[str, int]) -> None:
    others = [(size, path) for _, size, path in cached() if path.name not in needed]
    room = max(0, CACHE_BYTES - sum(needed.values()))
    left = sum(size for size, _ in others)
    for size, path in others:
        if left <= room:
            return
        path.unlink()
        left -= size


def _fetch(parts: list[Part], folder: Path) -> None:
    """Bring all parts to their paths in `folder`; those that are kept are links to the cache."""
    needed = [number for number, part in enumerate(parts) if not (part["kept"] and _holds(part))]
    _send({"event": "need", "parts": needed})
    for number, part in enumerate(parts):
        path = folder / part["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        if part["kept"]:
            path.symlink_to(cache() / part["sha256"])
        if number in needed:
            try:
                _receive(part, cache() / part["sha256"] if part["kept"] else path)
            except OSError as error:
                raise OSError(f"cannot store {part['path']}: {error.strerror or error}") from error


def _holds(part: Part) -> bool:
    """Whether the cache has the very bytes: a power cut may leave a file of the right name and length."""
    path = cache() / part["sha256"]
    if not path.is_file() or path.stat().st_size != part["size"]:
        return False
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for chunk in iter(lambda: stream.read(CHUNK), b""):
            digest.update(chunk)
    os.utime(str(path))  # used now; times of access are often not kept
    return bool(digest.hexdigest() == part["sha256"])


def _receive(part: Part, path: Path) -> None:
    """Write the next part of standard input to `path`, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    digest, left = hashlib.sha256(), part["size"]
    handle, temporary = tempfile.mkstemp(prefix="incoming-", dir=str(path.parent))
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
        message = f"the job's process was killed by {_SIGNALS.get(-code, f'signal {-code}')}"
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
