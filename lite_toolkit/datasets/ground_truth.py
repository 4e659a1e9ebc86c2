"""The true class of each image: told by a table, by the folders' names or by the files'."""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lite_toolkit.datasets import table as tables
from lite_toolkit.errors import ImageError

TABLE = "labels.csv"
MAXIMUM_INDEX = 1_000_000  # of a class: also keeps Python from reading numbers of a million digits
_WNID = re.compile(r"n\d{8}(?!\d)")
_SHOWN = 3  # names in a message


@dataclass(frozen=True)
class ClassIndex:
    """The classes of a data set.

    Attributes:
        file: the name of the file that told.
        wnids: WordNet identifier, such as "n01440764" -> class index.
        names: class index -> name, where the file has names.
    """

    file: str
    wnids: Mapping[str, int]
    names: Mapping[int, str]


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """The true class of each image.

    Attributes:
        source: what told, such as "the folders' names".
        classes: int32 (images,), in the model's numbering.
        offset: 1 where a background class stands before the 1000 classes of the ground truth, otherwise 0.
        absent: files that the table names and that are not there.
    """

    source: str
    classes: NDArray[np.int32]
    offset: int
    absent: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Labels:
    """The true labels of each image, of which there may be any number.

    Attributes:
        source, absent: as of `GroundTruth`.
        present: bool (images, labels), in the model's numbering.
    """

    source: str
    present: NDArray[np.bool_]
    absent: tuple[str, ...]

    @property
    def offset(self) -> int:
        """Nothing is added to labels."""
        return 0

    @property
    def vary(self) -> bool:
        """Whether some images have a label that others have not."""
        return bool((self.present.any(axis=0) & ~self.present.all(axis=0)).any())

    @property
    def single(self) -> GroundTruth | None:
        """The one class of each image; None where an image has none or several."""
        if (self.present.sum(axis=1) != 1).any():
            return None
        return GroundTruth(self.source, self.present.argmax(axis=1).astype(np.int32), 0, self.absent)


@dataclass(frozen=True)
class Numbering:
    """How a class may be named: by its index, its wnid or its label.

    Attributes:
        classes: number of outputs of the model.
        index: of the data set; None where nobody told.
        labels: of the model's outputs; None where nobody told.
        numbers: whether a number is an index.
    """

    classes: int
    index: ClassIndex | None = None
    labels: Sequence[str] | None = None
    numbers: bool = True

    def find(self, value: str) -> tuple[int, str] | None:
        """The class that `value` names, and by what: "index", "wnid" or "label"; None where it names none.

        Raises:
            ImageError: it names two.
        """
        places = [place for place, label in enumerate(self.labels or ()) if label == value]
        decimal = self.numbers and value.isdecimal() and len(value) <= len(str(MAXIMUM_INDEX))
        number = int(value) if decimal else None
        if number is not None and places not in ([], [number]):
            raise ImageError(f"{value!r} is a class index, and the label of class {places[0]}: pass other --labels")
        if number is not None:
            return number, "index"
        if self.index and value in self.index.wnids:
            return self.index.wnids[value], "wnid"
        if len(places) > 1:
            raise ImageError(f"{value!r} is the label of classes {places[0]} and {places[1]}: name classes by index")
        return (places[0], "label") if places else None

    def number(self, value: str) -> int | None:
        """The class of the ground truth that `value` names, if it is one of the model's, and one only."""
        try:
            found = self.find(value)
        except ImageError:
            return None
        return found[0] if found and found[0] < self.classes else None

    def offset(self, found: Iterable[tuple[int, str]]) -> int:
        """1 where a model of 1001 outputs, background first, meets the 1000 classes of a ground truth, otherwise 0."""
        numbers, ways = zip(*found, strict=True)
        highest = max(*numbers, *(self.index.wnids.values() if self.index and "wnid" in ways else ()), 0)
        return int(self.classes == 1001 and "label" not in ways and highest <= 999)

    def names(self, offset: int) -> dict[int, str]:
        """Class index of the model -> its name, from the labels or else from the class index."""
        if self.labels is not None:
            return dict(enumerate(self.labels))
        return {number + offset: name for number, name in self.index.names.items()} if self.index else {}

    @property
    def allowed(self) -> str:
        """What a class may be named, for messages."""
        wnids = f"a wnid of {self.index.file}" if self.index else "a wnid (with --class-index FILE)"
        labels = "one of the model's labels" if self.labels else "a label (with --labels FILE)"
        return f"a class index, {wnids} or {labels}"


def read(
    folder: Path,
    images: Sequence[str],
    numbering: Numbering,
    table: Path | None = None,
    listed: Sequence[str] | None = None,
) -> GroundTruth:
    """The true class of each image of a folder.

    Told by `table`, or else by a `labels.csv` in the folder; or else by the names of the folder's subfolders, if one of
    them names a class; or else by wnids at the beginning of the files' names.

    Args:
        folder: of the images.
        images: their paths within it, with slashes.
        numbering: how classes may be named.
        table: a file that names images and their classes, as `table.read` takes it.
        listed: all images of the folder, where `images` are some of them: a table may name them in short.

    Raises:
        ImageError: there is no ground truth, or none of an image, or a class is unknown or out of range.
    """
    if table := _table(folder, table):
        rows = tables.read(table, folder, listed or images, numbering.number)
        absent = tuple(sorted(set(rows).difference(listed or images)))
        return _resolve(images, rows.get, numbering, str(table.name), absent)
    for source, tell in _NAMES.items():
        values = dict.fromkeys(map(tell, listed or images))
        by_label = _only_labels(values, numbering)
        if any(value and by_label.find(value) for value in values):
            return _resolve(images, tell, by_label, source)
    raise ImageError(
        f"{folder}: no ground truth: must hold {TABLE}, or folders named by class, or files whose names begin with a "
        f"wnid, such as n01440764_1.JPEG; a class is named by {numbering.allowed}; found {_some(images)}"
    )


def read_labels(folder: Path, images: Sequence[str], numbering: Numbering, table: Path | None = None) -> Labels:
    """The true labels of each image of a folder: any number by a table, or one by names; else as `read`.

    Raises:
        ImageError: there is no ground truth, or none of an image, or a label is unknown or out of range.
    """
    table = _table(folder, table)
    if table is None:
        found = read(folder, images, numbering)
        return Labels(found.source, np.eye(numbering.classes, dtype=bool)[found.classes], ())
    rows = tables.read_several(table, folder, images, numbering.number, numbering.classes)
    if without := [image for image in images if image not in rows]:
        raise ImageError(f"{len(without)} of {len(images)} images are not in {table.name}: {_some(without)}")
    present = np.zeros((len(images), numbering.classes), bool)
    for row, image in zip(present, images, strict=True):
        row[[number for name in rows[image] if (number := numbering.number(name)) is not None]] = True
    return Labels(table.name, present, tuple(sorted(set(rows).difference(images))))


def _table(folder: Path, given: Path | None) -> Path | None:
    beside = folder / TABLE
    return beside if given is None and beside.is_file() else given


def read_class_index(path: Path) -> ClassIndex:
    """The classes in a file: TSV or CSV with columns index, wnid and perhaps name; Keras' imagenet_class_index.json,
    {"0": ["n01440764", "tench"], ...}; or a list of wnids, one a line, in order of index.

    Raises:
        ImageError: the file cannot be read, is none of these, or names a wnid or an index twice.
    """
    lines = tables.lines(path)
    rows = _json_rows(path, lines) if lines and lines[0].lstrip().startswith("{") else _line_rows(path, lines)
    wnids: dict[str, int] = {}
    names: dict[int, str] = {}  # empty where the file has none
    for index, wnid, name in rows:
        if not (index.isdecimal() and len(index) < len(str(MAXIMUM_INDEX)) and _WNID.fullmatch(wnid)):
            raise ImageError(f"{path}: {index!r}, {wnid!r}: must be a class index and a wnid such as n01440764")
        if wnid in wnids or int(index) in names:
            raise ImageError(f"{path}: {index}, {wnid}: every index and every wnid must stand there once")
        wnids[wnid], names[int(index)] = int(index), name
    if not wnids:
        raise ImageError(f"{path} holds no classes: one line for each is needed")
    return ClassIndex(path.name, wnids, {index: name for index, name in names.items() if name})


def _json_rows(path: Path, lines: Sequence[str]) -> list[tuple[str, str, str]]:
    try:
        found = json.loads("\n".join(lines))
    except (ValueError, RecursionError) as error:
        raise ImageError(f"{path} is no JSON file: {error}") from error
    for value in found.values():
        if not (isinstance(value, list) and len(value) == 2 and all(isinstance(part, str) for part in value)):
            raise ImageError(f"{path}: {value!r}: must be a list of a wnid and a name")
    return [(index, wnid, name) for index, (wnid, name) in found.items()]


def _line_rows(path: Path, lines: Sequence[str]) -> list[tuple[str, str, str]]:
    table = tables.cells(path, lines, "\t" if lines and "\t" in lines[0] else ",")
    heading = [cell.lower() for cell in table[0]] if table else []
    if {"index", "wnid"} <= set(heading):
        rows = [dict(zip(heading, row, strict=False)) for row in table[1:] if row]
        return [(row.get("index", ""), row.get("wnid", ""), row.get("name", "")) for row in rows]
    wnids = [line.strip() for line in lines if line.strip()]
    if wnids and not _WNID.fullmatch(wnids[0]):
        raise ImageError(
            f"{path} begins with {wnids[0][:60]!r}: must be a table with the columns index and wnid, a list of wnids, "
            "or Keras' imagenet_class_index.json"
        )
    return [(str(index), wnid, "") for index, wnid in enumerate(wnids)]


def _only_labels(names: Iterable[str | None], numbering: Numbering) -> Numbering:
    """Where all names are labels, though they may be numbers too, they are labels: Keras numbers the folders 0, 1, 10,
    11, 2 in this order."""
    labels = set(numbering.labels or ())
    return replace(numbering, numbers=False) if labels.issuperset(names) else numbering


def _resolve(
    images: Sequence[str],
    tell: Callable[[str], str | None],
    numbering: Numbering,
    source: str,
    absent: tuple[str, ...] = (),
) -> GroundTruth:
    values = [tell(image) for image in images]
    if None in values:
        without = [image for image, value in zip(images, values, strict=True) if value is None]
        raise ImageError(f"{len(without)} of {len(images)} images have no class by {source}: {_some(without)}")
    found = {value: numbering.find(value) for value in dict.fromkeys(values) if value is not None}
    known = {value: place for value, place in found.items() if place is not None}
    for value in [value for value in found if value not in known]:
        hint = "a wnid: pass --class-index FILE" if _WNID.fullmatch(value) and not numbering.index else ""
        raise ImageError(f"{value!r} of {source} is {hint or f'no class: must be {numbering.allowed}'}")
    offset = numbering.offset(known.values())
    for value, (number, _) in known.items():
        if number + offset >= numbering.classes:
            raise ImageError(f"class {value} of {source}: the model has classes 0 to {numbering.classes - 1}")
    classes = np.array([known[value][0] + offset for value in values if value is not None], np.int32)
    return GroundTruth(source, classes, offset, absent)


def _folder_name(image: str) -> str | None:
    folder, slash, _ = image.partition("/")
    return folder if slash else None


def _leading_wnid(image: str) -> str | None:
    found = _WNID.match(image.rpartition("/")[2])
    return found[0] if found else None


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


_NAMES: dict[str, Callable[[str], str | None]] = {
    "the folders' names": _folder_name,
    "the files' names": _leading_wnid,
}
