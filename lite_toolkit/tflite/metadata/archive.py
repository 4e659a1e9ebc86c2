"""The files that a model brings along: a zip archive behind the flatbuffer, in which nothing is compressed.

Source: https://ai.google.dev/edge/litert/models/metadata.
"""

import io
import stat
import struct
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from lite_toolkit.errors import ModelError
from lite_toolkit.text import shown

MOST_BYTES = 64 * 2**20  # of all files, which are labels and vocabularies
MOST_FILES = 1000
_LOCAL_HEADER = 30  # bytes before a member's name
_ENCRYPTED, _UTF8 = 1, 0x800  # bits of a member's flags; without the second its name is of code page 437
_UNIX = 3  # the system that a file was added on
_LISTED = b"PK\x01\x02"  # how each member begins in the archive's list


def names(content: bytes) -> tuple[str, ...]:
    """The files' names, to be shown.

    Raises:
        ModelError: the archive is damaged, or lists too many files.
    """
    return tuple(shown(member.filename) for member in _members(content)[0])


def model_bytes(content: bytes) -> int:
    """The size of what stands before the archive."""
    return _members(content)[1]


def files(content: bytes) -> dict[str, bytes]:
    """Name -> content of each file; empty for a model without archive. Names are as stored: no paths to write to.

    Raises:
        ModelError: the archive is damaged, too large, compressed, encrypted, or has files that overlap or share a name.
    """
    members, start = _members(content)
    _require_plain(members, start, len(content))
    if not members:
        return {}
    with _readable(content) as archive:
        return {member.filename: archive.read(member) for member in members}


def joined(model: bytes, files: Mapping[str, bytes]) -> bytes:
    """A model without archive, and the files behind it: dated 1980, in the order of their names."""
    if not files:
        return model
    stream = io.BytesIO(model)
    with zipfile.ZipFile(stream, "a") as archive:
        for name, content in sorted(files.items()):
            member = zipfile.ZipInfo(name)
            member.create_system = _UNIX  # whatever system this one is, so that equal arguments give equal bytes
            archive.writestr(member, content)
    return stream.getvalue()


def _members(content: bytes) -> tuple[list[zipfile.ZipInfo], int]:
    """What the archive lists, and where it begins; the end of the file where there is none.

    Raises:
        ModelError: the archive is damaged, or lists too many files.
    """
    if not zipfile.is_zipfile(io.BytesIO(content)):
        return [], len(content)
    # No more can be listed, and zipfile makes an object of each, of ten times its bytes.
    if (count := content.count(_LISTED)) > MOST_FILES:
        raise ModelError(f"{count} associated files: at most {MOST_FILES} are allowed")
    with _readable(content) as archive:
        members = archive.infolist()
        start = min([member.header_offset for member in members], default=archive.start_dir)
    if not 0 <= start <= len(content):
        raise ModelError(f"the archive of associated files begins at byte {start} of {len(content)}")
    return members, start


@contextmanager
def _readable(content: bytes) -> Iterator[zipfile.ZipFile]:
    """The archive; whatever is wrong in it is one error."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            yield archive
    except (zipfile.BadZipFile, NotImplementedError, ValueError, RuntimeError, EOFError, struct.error) as error:
        raise ModelError(f"the archive of associated files is broken: {error}") from error


def _require_plain(members: list[zipfile.ZipInfo], start: int, end: int) -> None:
    """Refuse what no writer of metadata makes, so that the contents take no more memory than the file itself."""
    if sum(member.file_size for member in members) > MOST_BYTES:
        raise ModelError(f"the associated files are larger than {MOST_BYTES} bytes")
    for name, count in Counter(member.filename for member in members).items():
        if count > 1:
            raise ModelError(f"associated file {name[:60]!r} is there {count} times")
    for member in sorted(members, key=lambda member: member.header_offset):
        where = f"associated file {member.filename[:60]!r}"
        if problem := _problem(member):
            raise ModelError(f"{where} is {problem}: must be a file, stored as it is")
        if member.header_offset < start:
            raise ModelError(f"{where} overlaps with the file before it")
        stored = member.orig_filename.encode("utf-8" if member.flag_bits & _UTF8 else "cp437")
        start = member.header_offset + _LOCAL_HEADER + len(stored) + member.file_size
    if start > end:
        raise ModelError(f"the associated files end at byte {start} of {end}")


def _problem(member: zipfile.ZipInfo) -> str:
    """What is special about a member; empty where nothing is."""
    if member.flag_bits & _ENCRYPTED:
        return "encrypted"
    if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
        return "compressed"
    return "a link" if stat.S_ISLNK(member.external_attr >> 16) else ""
