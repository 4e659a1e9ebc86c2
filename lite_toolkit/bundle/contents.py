"""A bundle as values: what its `bundle.json` says, read without trust, and whether its files are what they were."""

import json
import re
import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from lite_toolkit import outputs
from lite_toolkit.bundle import vectors
from lite_toolkit.bundle.vectors import Golden
from lite_toolkit.decoding import Limit, Sha256, between, decode, encode
from lite_toolkit.documents import SCHEMA_VERSION, document, sha256
from lite_toolkit.errors import ReportError, TamperedError
from lite_toolkit.images.preprocessing import PreprocessingSpec
from lite_toolkit.text import shown

DESCRIPTION = "bundle.json"
MODEL = "model.tflite"
SCHEMA = "lite-toolkit/bundle"
LARGEST_DESCRIPTION = 1 << 20  # bytes; one of ours has some 6,000
LARGEST_FILE = 1 << 31  # bytes; no FlatBuffer is larger

_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")


@dataclass(frozen=True)
class File:
    """A file of a bundle: its path there, with "/", its bytes and their sha256 in hex.

    The path has no leading dot, and so no "..", nor is it an absolute path or one on a drive.
    """

    path: Annotated[str, Limit(lambda text: len(text) < 256 and _PATH.fullmatch(text), "of a path within the folder")]
    size_bytes: Annotated[int, between(0, LARGEST_FILE)]
    sha256: Sha256


@dataclass(frozen=True)
class Bundle:
    """A bundle.

    Attributes:
        folder: where it is.
        preprocessing: of the model.
        golden: what the model computes.
        files: all but `bundle.json`.

    Raises:
        ValueError: a file is named twice, or the model or one of the golden files is not.
    """

    folder: Path
    preprocessing: PreprocessingSpec
    golden: Golden
    files: tuple[File, ...]

    def __post_init__(self) -> None:
        paths = [file.path for file in self.files]
        if len(set(paths)) < len(paths):
            raise ValueError("files: a path is named twice")
        for path in (MODEL, *vectors.job_files(Path(), self.golden.vectors).values()):
            if str(path) not in paths:
                raise ValueError(f"files: {str(path)!r} is not listed")


def describe(content: Mapping[str, Any], files: Mapping[str, bytes]) -> dict[str, Any]:
    """The content of `bundle.json`: of `content` and every file; its own hash is the last key."""
    listed = [encode(File(path, len(data), sha256(data))) for path, data in sorted(files.items())]
    described = document("bundle", {**content, "files": listed})
    return described | {"sha256": _own_hash(described)}


def read(folder: Path) -> Bundle:
    """The bundle in a folder.

    Raises:
        ReportError: there is none, or its `bundle.json` is of another schema, or names what it may not.
        TamperedError: `bundle.json` is not what it was.
    """
    path = folder / DESCRIPTION
    if not path.is_file():
        raise ReportError(f"{folder} is no bundle: it has no {DESCRIPTION}")
    if path.stat().st_size > LARGEST_DESCRIPTION:
        raise ReportError(f"{path} has {path.stat().st_size:,} bytes: at most {LARGEST_DESCRIPTION:,} are allowed")
    found = _intact(path)
    for key, allowed in (("schema", SCHEMA), ("schema_version", SCHEMA_VERSION)):
        if found.get(key) != allowed:
            raise ReportError(f"{path}: {key} {reprlib.repr(found.get(key))}: must be {allowed}")
    told = {key: found[key] for key in ("preprocessing", "golden", "files") if key in found}
    return decode(Bundle, told, str(path), ReportError, folder=folder)


def damaged(bundle: Bundle) -> dict[str, str]:
    """What is wrong with each file or folder that is not as `bundle.json` says, by path."""
    wrong = {file.path: _wrong(bundle.folder, file) for file in bundle.files}
    return {path: what for path, what in wrong.items() if what} | dict.fromkeys(unlisted(bundle), "is not listed")


def require_intact(bundle: Bundle) -> None:
    """Refuse a bundle that is damaged.

    Raises:
        TamperedError: it is.
    """
    problems = damaged(bundle)
    if problems:
        raise TamperedError(f"{bundle.folder}: {', '.join(f'{path} {problem}' for path, problem in problems.items())}")


def unlisted(bundle: Bundle) -> Iterator[str]:
    """What lies in the bundle's folders beside the files and folders that it names."""
    folders = {parent for file in bundle.files for parent in PurePosixPath(file.path).parents}
    known = folders | {PurePosixPath(path) for path in (DESCRIPTION, *(file.path for file in bundle.files))}
    for folder in sorted(folders):
        for path in sorted((bundle.folder / folder).glob("*")):
            if folder / path.name not in known:
                yield shown(str(folder / path.name))


def _intact(path: Path) -> dict[str, Any]:
    """The content of `bundle.json`, without its own hash; every byte of it counts."""
    text = path.read_bytes()
    try:
        found = json.loads(text)
        stated = found.pop("sha256")
        if text == outputs.to_json(found | {"sha256": stated}).encode() and stated == _own_hash(found):
            return dict(found)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        pass
    raise TamperedError(f"{path} was changed after it was written")


def _own_hash(described: Mapping[str, Any]) -> str:
    return sha256(outputs.to_json(described).encode())


def _wrong(folder: Path, file: File) -> str | None:
    path = folder / file.path
    if any(part.is_symlink() for part in (path, *(folder / above for above in Path(file.path).parents[:-1]))):
        return "is a link"
    if not path.is_file():
        return "is missing"
    if path.stat().st_size != file.size_bytes:
        return f"has {path.stat().st_size:,} bytes instead of {file.size_bytes:,}"
    return None if sha256(path) == file.sha256 else "has another sha256"
