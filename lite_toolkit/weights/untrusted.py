"""What the readers of untrusted files share: damage as one line, and archive entries of bounded size."""

import textwrap
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lite_toolkit.errors import WeightsError

DAMAGE = (
    *(EOFError, LookupError, OSError, OverflowError, TypeError, ValueError),
    *(zipfile.BadZipFile, RuntimeError),  # an encrypted entry is a RuntimeError
)


@contextmanager
def reading(path: Path, kind: str, *errors: type[Exception]) -> Iterator[None]:
    """Whatever reading a damaged file brings about, `DAMAGE` and `errors`, becomes a WeightsError of one line."""
    damage: tuple[type[Exception], ...] = (*DAMAGE, *errors)
    try:
        yield
    except damage as error:
        reason = textwrap.shorten(str(error), 400)  # it may quote names as long as the file
        raise WeightsError(f"{path} is no {kind} that can be read: {reason}") from error


def stored_entry(archive: zipfile.ZipFile, name: str) -> bytes:
    """The bytes of the archive's entry of exactly this name, at most as many as the archive has.

    Raises:
        KeyError, ValueError, zipfile.BadZipFile: no such entry, a compressed one (no writer of weights compresses), or
            a damaged one.
    """
    entry = archive.getinfo(name)
    if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
        raise ValueError(f"its entry {name!r} is compressed")
    return archive.read(entry)
