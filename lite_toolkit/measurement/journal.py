"""What is done of a long job, line by line, so that it can be resumed."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from lite_toolkit import outputs
from lite_toolkit.board.inference import Record
from lite_toolkit.documents import document
from lite_toolkit.errors import OutputError

LONGEST_LINE = 1 << 20  # bytes; a thousand classes of two models have 20 thousand
SYNCED_EVERY = 100  # records: a second's work, which is all that a power failure costs


class Journal:
    """A file of one header and one line for each image.

    It survives its process at any moment: a line is written at once, and what is left of a torn last line is dropped.
    """

    def __init__(
        self, path: Path, identity: Mapping[str, Any], read: Callable[[Any], Record], take: Callable[[Record], None]
    ) -> None:
        """Open a journal, or begin one.

        Args:
            path: the file.
            identity: what the records depend on and is known here, as JSON; a journal of another is refused.
            read: makes a record of a line's JSON, or raises a ValueError.
            take: gets every record that is there.

        Raises:
            OutputError: the file is no journal, or that of another job, or damaged, or cannot be written.
        """
        self.path = path
        self._header = document("journal", identity)
        self._unsynced = 0
        outputs.require_free([path], force=True)
        with self._writing():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: IO[bytes] = path.open("a+b")
        try:
            with self._writing():
                self._found = self._read(read, take)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._writing(), self._file:
            os.fsync(self._file.fileno())

    def begin(self, circumstances: Mapping[str, Any]) -> None:
        """Tell what else the records depend on, before the first is appended; a journal of another is refused.

        Raises:
            OutputError: it is another's, or cannot be written.
        """
        if self._found:
            self._require(self._found, circumstances)
        else:
            with self._writing():
                self._file.truncate(0)
                self._file.write(_line({**self._header, **circumstances}))
                self._file.flush()

    def append(self, record: Record) -> None:
        """Write one record.

        Raises:
            OutputError: the disk is full.
        """
        with self._writing():
            self._file.write(_line(record.to_json()))
            self._file.flush()
            self._unsynced += 1
            if self._unsynced >= SYNCED_EVERY:
                os.fsync(self._file.fileno())
                self._unsynced = 0

    def _read(self, read: Callable[[Any], Record], take: Callable[[Record], None]) -> Mapping[str, Any] | None:
        """Check the header, take the records, and cut off a torn line; None of a file without a whole header."""
        self._file.seek(0)
        first = self._file.readline(LONGEST_LINE)
        opening = _line(self._header).rstrip(b"}\n")
        if not first.endswith(b"\n") and (opening.startswith(first) or first.startswith(opening)):
            return None
        found = _parsed(first)
        if found is None or found.get("schema") != self._header["schema"]:
            raise self._refusal("is no journal of an evaluation")
        self._require(found, self._header)
        whole = self._file.tell()
        for number, line in enumerate(iter(lambda: self._file.readline(LONGEST_LINE), b""), start=2):
            if not line.endswith(b"\n") and len(line) < LONGEST_LINE:
                break
            try:
                record = read(json.loads(line))
            except (ValueError, RecursionError) as error:
                raise OutputError(f"{self.path}, line {number}, is damaged: delete the file to start again") from error
            take(record)
            whole = self._file.tell()
        self._file.truncate(whole)
        return found

    def _require(self, found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
        differing = [key.replace("_", " ") for key in expected if key not in found or found[key] != expected[key]]
        if differing:
            raise self._refusal(f"is the journal of another evaluation, with another {' and '.join(differing)}")

    def _refusal(self, what: str) -> OutputError:
        return OutputError(f"{self.path} {what}: name another file to --resume, or delete it")

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {error.strerror or error}") from error


def _line(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode() + b"\n"


def _parsed(line: bytes) -> dict[str, Any] | None:
    """The JSON object of a line, if it is one."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
