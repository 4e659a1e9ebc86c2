"""What is done of a long job, line by line, so that it can be resumed."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from lite_toolkit import outputs
from lite_toolkit.board.inference import Answer, Record, fits
from lite_toolkit.documents import document
from lite_toolkit.errors import OutputError

LONGEST_LINE = 1 << 20  # bytes; a thousand classes of two models have 20 thousand
MAXIMUM_CLASSES = 1 << 31  # what int32 holds
SYNCED_EVERY = 100  # records: a second's work, which is all that a power failure costs


class Journal:
    """A file of one header and one line for each image.

    It survives its process at any moment: a line is written at once, and what is left of a torn last line is dropped.
    """

    def __init__(
        self, path: Path, identity: Mapping[str, Any], shape: tuple[int, int, int], take: Callable[[Record], None]
    ) -> None:
        """Open a journal, or begin one.

        Args:
            path: the file.
            identity: everything that the records depend on, as JSON; a journal of another is refused.
            shape: number of images, of answers of each and of classes of each answer.
            take: gets every record that is there.

        Raises:
            OutputError: the file is no journal, or that of another job, or damaged, or cannot be written.
        """
        self.path = path
        self._unsynced = 0
        outputs.require_free([path], force=True)
        with self._writing():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: IO[bytes] = path.open("a+b")
        try:
            with self._writing():
                self._read(_line(document("journal", identity)), shape, take)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._writing(), self._file:
            os.fsync(self._file.fileno())

    def append(self, record: Record) -> None:
        """Write one record.

        Raises:
            OutputError: the disk is full.
        """
        with self._writing():
            self._file.write(_line(_to_json(record)))
            self._file.flush()
            self._unsynced += 1
            if self._unsynced >= SYNCED_EVERY:
                os.fsync(self._file.fileno())
                self._unsynced = 0

    def _read(self, header: bytes, shape: tuple[int, int, int], take: Callable[[Record], None]) -> None:
        """Check the header, take the records, and cut off a torn line, or write the header of a new file."""
        self._file.seek(0)
        first = self._file.readline(LONGEST_LINE)
        if not first.endswith(b"\n") and header.startswith(first):
            self._file.truncate(0)
            self._file.write(header)
            self._file.flush()
            return
        if first != header:
            raise OutputError(f"{self.path} {_difference(first, header)}: name another file to --resume, or delete it")
        whole = self._file.tell()
        for number, line in enumerate(iter(lambda: self._file.readline(LONGEST_LINE), b""), start=2):
            if not line.endswith(b"\n") and len(line) < LONGEST_LINE:
                break
            try:
                record = _from_json(json.loads(line), shape)
            except (ValueError, TypeError, KeyError, RecursionError) as error:
                raise OutputError(f"{self.path}, line {number}, is damaged: delete the file to start again") from error
            take(record)
            whole = self._file.tell()
        self._file.truncate(whole)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {error.strerror or error}") from error


def _line(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode() + b"\n"


def _difference(first: bytes, header: bytes) -> str:
    """What the first line of a file is instead of the header."""
    expected = json.loads(header)
    try:
        found = json.loads(first)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or found.get("schema") != expected["schema"]:
        return "is no journal of an evaluation"
    differing = [key for key in expected if found.get(key) != expected[key]]
    return f"is the journal of another evaluation, with another {' and '.join(differing).replace('_', ' ')}"


def _to_json(record: Record) -> dict[str, Any]:
    if record.error is not None:
        return {"image": record.image, "error": record.error}
    return {"image": record.image, "answers": [[answer.best, answer.tied] for answer in record.answers]}


def _from_json(found: dict[str, Any], shape: tuple[int, int, int]) -> Record:
    image, answers = found["image"], (Answer(tuple(best), tuple(tied)) for best, tied in found.get("answers", ()))
    record = Record(image, tuple(answers), found.get("error"))
    if not fits(record, shape, MAXIMUM_CLASSES):
        raise ValueError
    return record
