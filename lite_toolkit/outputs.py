"""Files and folders that appear whole or not at all, and replace nothing that nobody allowed them to."""

import errno
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from lite_toolkit.errors import OutputError


def require_free(paths: list[Path], force: bool) -> None:
    """Refuse at the start of a long job what its end could not write.

    Raises:
        OutputError: one of `paths` exists, unless `force`, or is no place for a file.
    """
    for path in paths:
        if path.exists() and not force:
            raise _taken(path)
        _check_place(path)


@contextmanager
def replacing(path: Path, force: bool) -> Iterator[Path]:
    """A temporary sibling of `path` to write to; gets the name `path` at the end, and is removed on any failure.

    Missing parent folders are made. Raises OutputError where the folder cannot be written or the disk is full, and
    unless `force` where `path` exists at the end, whoever made it meanwhile.
    """
    with _temporary(path) as temporary:
        yield temporary
        _place(temporary, path, force)


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    _check_place(path)
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        try:
            yield Path(name)
        finally:
            Path(name).unlink(missing_ok=True)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


def _place(finished: Path, path: Path, force: bool) -> None:
    """Give a finished file its name."""
    finished.chmod(0o666 & ~_umask())
    if force:
        finished.replace(path)
        return
    try:
        path.hardlink_to(finished)  # which fails where the name is taken, as no renaming does
    except FileExistsError:
        raise _taken(path) from None
    except OSError:  # FAT has no links; there, a look just before is the best
        if path.exists():
            raise _taken(path) from None
        finished.rename(path)


def require_free_folder(path: Path, force: bool, mark: str) -> None:
    """Refuse at the start of a long job the folder that its end could not write.

    Raises:
        OutputError: `path` exists, unless it is an empty folder, or `force` and a folder that holds the file `mark`; or
            it is no place for a folder.
    """
    folder = path.is_dir() and not path.is_symlink()
    taken = any(path.iterdir()) if folder else path.exists()
    if taken and not force:
        raise _taken(path)
    if taken and not (folder and (path / mark).is_file()):
        raise OutputError(f"{path} is not replaced: it is no folder with {mark}; choose another output")
    _check_writable(path)


@contextmanager
def replacing_folder(path: Path, force: bool, mark: str) -> Iterator[Path]:
    """A temporary folder beside `path` to fill; renamed onto `path` at the end, removed on any failure.

    A folder that stood there before is removed as soon as the new one is in its place. Missing parent folders are made.
    Raises OutputError where the parent cannot be written or the disk is full, and what `require_free_folder` refuses,
    at the start and at the end.
    """
    path = path.absolute()
    require_free_folder(path, force, mark)
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        try:
            yield temporary
            temporary.chmod(0o777 & ~_umask())
            require_free_folder(path, force, mark)
            if force:
                _exchange(temporary, path)
            else:
                _rename(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _rename(new: Path, path: Path) -> None:
    """Rename `new` to `path`, unless anything but an empty folder has come there in between."""
    try:
        new.rename(path)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise _taken(path) from None
        raise


def _exchange(new: Path, path: Path) -> None:
    """Rename `new` to `path`; what was there comes back on any failure."""
    aside = new.with_name(f"{new.name}.before")
    try:
        if path.exists():
            path.rename(aside)
        new.rename(path)
    finally:
        if aside.exists() and not path.exists():
            aside.rename(path)
        shutil.rmtree(aside, ignore_errors=True)


def write_bytes(path: Path, content: bytes, force: bool) -> None:
    """Write `content` to `path`, whole or not at all."""
    with replacing(path, force) as temporary:
        temporary.write_bytes(content)


def write_all(contents: Mapping[Path, bytes | None], force: bool) -> None:
    """Write several files, and remove those whose content is None: all, or unless `force` nothing.

    All are complete under temporary names before the first gets its own, in the order given.
    """
    written = {path: content for path, content in contents.items() if content is not None}
    removed = [path for path in contents if path not in written]
    require_free(list(contents), force)
    with ExitStack() as stack:
        finished: dict[Path, Path] = {}
        for path, content in written.items():
            finished[path] = stack.enter_context(_temporary(path))
            finished[path].write_bytes(content)
        placed: list[Path] = []
        try:
            for path, file in finished.items():
                with _writing(path):
                    _place(file, path, force)
                placed.append(path)
        except BaseException:
            for path in () if force else placed:
                path.unlink()
            raise
    for path in removed:
        path.unlink(missing_ok=True)


def to_json(document: Mapping[str, object]) -> str:
    """`document` as the indented JSON that every command prints and saves; NaN is refused.

    Names of files that are no UTF-8 have surrogates, which no file takes: U+FFFD stands for each.
    """
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return re.sub("[\ud800-\udfff]", "\ufffd", text)


def write_json(path: Path, document: Mapping[str, object], force: bool) -> None:
    """Write `document` as indented JSON, whole or not at all."""
    write_bytes(path, to_json(document).encode(), force)


def _taken(path: Path) -> OutputError:
    return OutputError(f"{path} exists: pass --force to replace it, or choose another output")


def _check_writable(path: Path) -> None:
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise OutputError(f"cannot write {path}: {folder} is no folder that can be written")


def _check_place(path: Path) -> None:
    _check_writable(path)
    # A rename would replace /dev/null itself.
    if path.exists() and not path.is_file():
        raise OutputError(f"cannot write {path}: it is no regular file")


def _umask() -> int:
    # There is no call that reads the mask without setting it; mkstemp's 0600 would hide the result from other users.
    mask = os.umask(0)
    os.umask(mask)
    return mask
