"""What a journal survives, and what it refuses."""

import errno
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from lite_toolkit.board.inference import Answer, Record, Shape
from lite_toolkit.errors import OutputError
from lite_toolkit.measurement.journal import Journal

IDENTITY = {"models": ["00ff"], "top": 2}
CIRCUMSTANCES = {"runtime": "a runtime 1.0", "library": None}
RECORDS = (
    Record(4, (Answer((388, 7), (2,)),)),
    Record(0, (Answer((1, 999)),)),
    Record(2, error="not an image that Pillow reads"),
)


def read(line: Any) -> Record:
    return Record.from_json(line, Shape(images=5, models=1, top=2, classes=1000))


def write(
    path: Path, records: Sequence[Record], circumstances: Mapping[str, str | None] = CIRCUMSTANCES
) -> dict[int, Record]:
    """Add records to a journal; what it held before, by image."""
    held: dict[int, Record] = {}
    with Journal(path, IDENTITY, read, lambda record: held.update({record.image: record})) as journal:
        journal.begin(circumstances)
        for record in records:
            journal.append(record)
    return held


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "missing folder" / "journal"
    assert write(path, RECORDS) == {}
    assert write(path, []) == {record.image: record for record in RECORDS}


@pytest.mark.parametrize("removed", range(1, 30))
def test_a_torn_end_is_dropped_and_written_again(tmp_path: Path, removed: int) -> None:
    path = tmp_path / "journal"
    write(path, RECORDS)
    whole = path.read_bytes()
    path.write_bytes(whole[:-removed])
    assert write(path, RECORDS[2:]) == {record.image: record for record in RECORDS[:2]}
    assert path.read_bytes() == whole


@pytest.mark.parametrize("length", [0, 1, 20, 150])
def test_a_torn_header_is_a_new_journal(tmp_path: Path, length: int) -> None:
    path = tmp_path / "journal"
    write(path, RECORDS)
    whole = path.read_bytes()
    path.write_bytes(whole[:length])
    assert write(path, RECORDS) == {}
    assert path.read_bytes() == whole


def test_an_image_that_stands_there_twice_counts_once(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    write(path, [*RECORDS, *RECORDS])
    assert len(write(path, [])) == 3


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"file,class\na.jpg,1\n", "is no journal of an evaluation"),
        (b"\x00\n", "is no journal of an evaluation"),
        (b"[" * 5000 + b"\n", "is no journal of an evaluation"),
        (b"no line at all", "is no journal of an evaluation"),
    ],
)
def test_another_file_is_refused_and_kept(tmp_path: Path, content: bytes, part: str) -> None:
    path = tmp_path / "journal"
    path.write_bytes(content)
    with pytest.raises(OutputError, match=part):
        write(path, RECORDS)
    assert path.read_bytes() == content


def test_a_journal_of_another_job_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "journal", RECORDS)
    with pytest.raises(OutputError, match="another evaluation, with another models and top: name another file"):
        Journal(tmp_path / "journal", {"models": ["ff00"], "top": 5}, read, print)


@pytest.mark.parametrize("circumstances", [{"runtime": "a runtime 1.1"}, {"library": "built in 2019"}])
def test_a_journal_of_other_circumstances_is_refused_and_kept(
    tmp_path: Path, circumstances: dict[str, str | None]
) -> None:
    path = tmp_path / "journal"
    write(path, RECORDS)
    before = path.read_bytes()
    with pytest.raises(OutputError, match=f"another evaluation, with another {next(iter(circumstances))}: name"):
        write(path, RECORDS, {**CIRCUMSTANCES, **circumstances})
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "line",
    [
        "{}",
        "[]",
        '{"image":5,"answers":[[[1,2],[]]]}',
        '{"image":-1,"answers":[[[1,2],[]]]}',
        '{"image":true,"answers":[[[1,2],[]]]}',
        '{"image":1,"answers":[]}',
        '{"image":1,"answers":[[[1],[]]]}',
        '{"image":1,"answers":[[[1,2.5],[]]]}',
        '{"image":1,"answers":[[[1,4294967296],[]]]}',
        '{"image":1,"answers":[[[1,2],[3]]]}',
        '{"image":1,"answers":[[[1,2],[0]]]}',
        '{"image":1,"error":7}',
        "{" * 5000,
    ],
)
def test_damage_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "journal"
    write(path, RECORDS[:1])
    path.write_text(f"{path.read_text()}{line}\n")
    with pytest.raises(OutputError, match="journal, line 3, is damaged"):
        write(path, [])


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_file: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"cannot write .*journal: No space left on device"):
        write(tmp_path / "journal", RECORDS)


def test_a_device_is_no_place() -> None:
    with pytest.raises(OutputError, match="cannot write /dev/null: it is no regular file"):
        write(Path("/dev/null"), RECORDS)
