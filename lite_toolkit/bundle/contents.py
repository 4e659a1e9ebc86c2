"""A bundle as values: what its `bundle.json` says, read without trust, and whether its files are what they were."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from lite_toolkit import outputs
from lite_toolkit.board.golden import STAGES
from lite_toolkit.bundle.vectors import Golden, Vector
from lite_toolkit.documents import SCHEMA_VERSION, document
from lite_toolkit.errors import ReportError, TamperedError
from lite_toolkit.images.preprocessing import PreprocessingSpec
from lite_toolkit.text import shown

DESCRIPTION = "bundle.json"
MODEL = "model.tflite"
SCHEMA = "lite-toolkit/bundle"
LARGEST_DESCRIPTION = 1 << 20  # bytes; one of ours has some 6,000
LARGEST_FILE = 1 << 31  # bytes; no FlatBuffer is larger
MOST_VECTORS = 100
LEAST_STEP, LARGEST_NUMBER = 1e-30, 1e30
TOLERATED_STEPS = 1.0  # by resizing and quantizing, which are arithmetic on 8 bits

_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")
_HASH = re.compile(r"[0-9a-f]{64}")
_CHUNK = 1 << 20
_TOLERATED = STAGES[:-1]  # the whole adds up the others


@dataclass(frozen=True)
class File:
    """A file of a bundle: its path there, with "/", its bytes and their sha256 in hex."""

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Recorded:
    """What `bundle.json` says of the golden vectors; attributes as of `vectors.Golden`.

    Attributes:
        tolerance_steps: stage -> how many steps its values may be off.
    """

    vectors: tuple[Vector, ...]
    input_step: float
    output_step: float
    tolerance_steps: Mapping[str, float]


@dataclass(frozen=True)
class Bundle:
    """A bundle.

    Attributes:
        folder: where it is.
        files: all but `bundle.json`.
    """

    folder: Path
    files: tuple[File, ...]
    preprocessing: PreprocessingSpec
    recorded: Recorded


def describe(content: Mapping[str, Any], files: Mapping[str, bytes]) -> dict[str, Any]:
    """The content of `bundle.json`: of `content` and every file; its own hash is the last key."""
    listed = [asdict(File(path, len(data), hashlib.sha256(data).hexdigest())) for path, data in sorted(files.items())]
    described = document("bundle", {**content, "files": listed})
    return described | {"sha256": _own_hash(described)}


def golden_json(golden: Golden, runtime: str) -> dict[str, Any]:
    """What `bundle.json` says of golden vectors that `runtime` computed."""
    tolerances = {"resize": TOLERATED_STEPS, "quantize": TOLERATED_STEPS, "kernel": golden.kernel_tolerance_steps}
    return {
        "runtime": runtime,
        "input_step": golden.input_step,
        "output_step": golden.output_step,
        "tolerance_steps": {"decode": 0.0, **tolerances},
        "vectors": [asdict(vector) for vector in golden.vectors],
    }


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
    try:
        _require(found.get("schema") == SCHEMA, f"its schema is not {SCHEMA}")
        version = found.get("schema_version")
        _require(version == SCHEMA_VERSION, f"its schema version is {version!r}, not {SCHEMA_VERSION}")
        return Bundle(folder, _files(found), PreprocessingSpec.from_json(found["preprocessing"]), _recorded(found))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ReportError(f"{path} cannot be used: {' '.join(str(error).split())}") from error


def damaged(bundle: Bundle) -> dict[str, str]:
    """What is wrong with each file or folder that is not as `bundle.json` says, by path."""
    wrong = {file.path: _wrong(bundle.folder, file) for file in bundle.files}
    return {path: what for path, what in wrong.items() if what} | dict.fromkeys(unlisted(bundle), "is not listed")


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
    return hashlib.sha256(outputs.to_json(described).encode()).hexdigest()


def _wrong(folder: Path, file: File) -> str | None:
    path = folder / file.path
    if any(part.is_symlink() for part in (path, *(folder / above for above in Path(file.path).parents[:-1]))):
        return "is a link"
    if not path.is_file():
        return "is missing"
    if path.stat().st_size != file.size_bytes:
        return f"has {path.stat().st_size:,} bytes instead of {file.size_bytes:,}"
    with path.open("rb") as stream:
        digest = hashlib.sha256()
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return None if digest.hexdigest() == file.sha256 else "has another sha256"


def _files(found: Mapping[str, Any]) -> tuple[File, ...]:
    files = tuple(File(**entry) for entry in found["files"])
    for file in files:
        _require(_is_path(file.path), f"the path {file.path!r} is not one within the folder")
        _require(type(file.size_bytes) is int and 0 <= file.size_bytes <= LARGEST_FILE, f"the size of {file.path}")
        _require(isinstance(file.sha256, str) and _HASH.fullmatch(file.sha256), f"the sha256 of {file.path}")
    paths = {file.path for file in files}
    _require(len(paths) == len(files), "a path is named twice")
    _require(MODEL in paths, f"{MODEL} is not listed")
    return files


def _recorded(found: Mapping[str, Any]) -> Recorded:
    golden, listed = found["golden"], {entry["path"] for entry in found["files"]}
    vectors = tuple(Vector(**entry) for entry in golden["vectors"])
    _require(0 < len(vectors) <= MOST_VECTORS, f"{len(vectors)} golden images: must be 1 to {MOST_VECTORS}")
    for vector in vectors:
        for path in (vector.image, vector.resized, vector.input, vector.output):
            _require(path in listed, f"golden file {path!r} is not listed")
        _require(isinstance(vector.pixels_sha256, str) and _HASH.fullmatch(vector.pixels_sha256), "a pixels_sha256")
    _require(set(golden["tolerance_steps"]) == set(_TOLERATED), f"tolerance_steps must hold {', '.join(_TOLERATED)}")
    tolerances = {str(stage): _number(allowed, 0) for stage, allowed in golden["tolerance_steps"].items()}
    input_step, output_step = (_number(golden[name], LEAST_STEP) for name in ("input_step", "output_step"))
    return Recorded(vectors, input_step, output_step, tolerances)


def _is_path(value: object) -> bool:
    """A leading dot is not allowed, and so no "..", nor is an absolute path or a drive."""
    return isinstance(value, str) and len(value) < 256 and _PATH.fullmatch(value) is not None


def _number(value: Any, least: float) -> float:
    _require(type(value) in (int, float) and least <= value <= LARGEST_NUMBER, f"{value!r} is no number from {least:g}")
    return float(value)


def _require(condition: object, what: str) -> None:
    if not condition:
        raise ValueError(what)
