"""Tables that name images and their classes, as people have them: which column is which, told by what stands there."""

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lite_toolkit.errors import ImageError

Rows = list[list[str]]

# Letters and digits of a heading. They decide only between columns that by their content may be it.
_IMAGE_HEADS = {
    *("file", "filename", "filepath", "files", "image", "imageid", "imagename", "imagepath", "images", "img", "path"),
    *("imagefilename", "imgname", "imgpath", "photo", "picture", "name", "id"),
}
_CLASS_HEADS = {
    *("class", "classid", "classidx", "classindex", "classlabel", "classname", "label", "labelid", "labelname"),
    *("labels", "target", "targets", "category", "categoryid", "categoryname", "breed", "species", "groundtruth"),
    *("truth", "y", "ytrue", "variety", "diagnosis"),
}
_COUNTER_HEADS = {"", "index", "unnamed0", "id", "no", "nr", "row", "number"}
_BITS = {"0": False, "0.0": False, "-1": False, "false": False, "1": True, "1.0": True, "true": True}


@dataclass(frozen=True)
class _Table:
    """Rows of one width; `image` is the column of the images, and `heading` what stands above, if anything."""

    path: Path
    heading: Sequence[str]
    rows: Rows
    image: int

    @property
    def numbered(self) -> Iterator[tuple[int, list[str]]]:
        """The rows with their numbers in the file."""
        return enumerate(self.rows, start=2 if self.heading else 1)

    def head(self, column: int) -> str:
        """The letters and digits of a heading, or nothing."""
        return _head(self.heading[column]) if self.heading else ""

    def title(self, column: int) -> str:
        """How messages call a column."""
        return repr(self.heading[column]) if self.heading and self.heading[column] else f"column {column + 1}"


class _Places:
    """The images that a cell may mean: by path, by path without suffix, by name, or by name without suffix."""

    def __init__(self, folder: Path, images: Sequence[str]) -> None:
        self._roots = tuple(f"{one.as_posix()}/" for one in (folder.absolute(), folder.resolve()))
        self._name = folder.resolve().name
        self._known: list[dict[str, list[str]]] = [{}, {}, {}, {}]
        for image in images:
            name = image.rpartition("/")[2]
            for known, key in zip(self._known, (image, _stem(image), name, _stem(name)), strict=True):
                known.setdefault(key, []).append(image)

    def find(self, cell: str) -> list[str]:
        """None, one, or several where it cannot be told."""
        paths = [cell, *self._within(plain(cell))]
        return next((known[path] for known in self._known for path in paths if path in known), [])

    def _within(self, path: str) -> list[str]:
        """A path as it is, and as it is below the folder, where it leads through that."""
        below = [path[len(root) :] for root in self._roots if path.startswith(root)]
        parts = path.split("/")
        return [path, *below, *("/".join(parts[at + 1 :]) for at, part in enumerate(parts) if part == self._name)]


def read(path: Path, folder: Path, images: Sequence[str], find: Callable[[str], int | None]) -> dict[str, str]:
    """Image -> class, as they stand; what names no image of the folder stands there by its own name.

    Args:
        path: a table with or without heading, separated by tabs, commas, semicolons or spaces: a column names images
            (a path, from the folder or from anywhere above it, perhaps without suffix), one names their classes, or
            columns of 0 and 1 are each a class.
        folder: of the images.
        images: all of them, with slashes.
        find: the class that a value names; None where it names none.

    Raises:
        ImageError: the file cannot be read, or not in one way only, or an image has two classes.
    """
    places = _Places(folder, images)
    table = _parsed(path, places, find)
    value = _classes(table, find)
    found: dict[str, str] = {}
    for number, row in table.numbered:
        if not value(row):
            raise _incomplete(path, number, row)
        image, name = _image(table, number, row, places), _whole(value(row), find)
        if found.setdefault(image, name) != name:
            raise ImageError(f"{path}, line {number}: {image} has class {found[image]} already")
    return found


def read_several(
    path: Path, folder: Path, images: Sequence[str], find: Callable[[str], int | None], labels: int
) -> dict[str, set[str]]:
    """Image -> its labels, of which there may be any number: as `read`, but a row may have several columns of 1 or
    none, a cell several labels with one of "|;, " between them or none, and an image several rows.

    Args:
        path, folder, images, find: as of `read`.
        labels: how many there are; each must have a column, where columns of 0 and 1 tell them.

    Raises:
        ImageError: the file cannot be read, or not in one way only.
    """
    places = _Places(folder, images)
    table = _parsed(path, places, find)
    value = _labels(table, find, labels)
    found: dict[str, set[str]] = {}
    for number, row in table.numbered:
        found.setdefault(_image(table, number, row, places), set()).update(value(row))
    return found


def _image(table: _Table, number: int, row: list[str], places: _Places) -> str:
    cell = row[table.image]
    if not cell:
        raise _incomplete(table.path, number, row)
    meant = places.find(cell)
    if len(meant) > 1:
        raise ImageError(f"{table.path}, line {number}: {cell!r} is {meant[0]} or {meant[1]}: name one with its path")
    return meant[0] if meant else plain(cell)


def _incomplete(path: Path, number: int, row: list[str]) -> ImageError:
    return ImageError(f"{path}, line {number}: {','.join(row)!r}: must hold an image's path and its class")


def _whole(name: str, find: Callable[[str], int | None]) -> str:
    """As pandas writes whole numbers of a column with gaps, without the fraction."""
    return re.sub(r"^([0-9]+)\.0+$", r"\1", name) if find(name) is None else name


def lines(path: Path) -> list[str]:
    """The lines of a text file of classes.

    Raises:
        ImageError: it cannot be read, or is none.
    """
    try:
        # Only what ends a line for every reader: str.splitlines would also cut at U+2028, within a name.
        return path.read_text(encoding="utf-8-sig", errors="strict").split("\n")
    except OSError as error:
        raise ImageError(f"cannot read classes from {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ImageError(f"{path} is not a UTF-8 text file of classes") from error


def cells(path: Path, text: Sequence[str], separator: str) -> Rows:
    """The cells of a table, without what is blank around them.

    Raises:
        ImageError: it is no table.
    """
    try:
        return [[cell.strip() for cell in row] for row in csv.reader(text, delimiter=separator)]
    except csv.Error as error:
        raise ImageError(f"{path} is no table: {error}") from error


def plain(cell: str) -> str:
    """A path with slashes, without "./" before it."""
    return cell.replace("\\", "/").removeprefix("./")


def _parsed(path: Path, places: _Places, find: Callable[[str], int | None]) -> _Table:
    """The table by the separator that gives most images; an earlier one of equals."""
    text = lines(path)
    splits = [*(cells(path, text, separator) for separator in "\t,;|"), [line.rsplit(None, 1) for line in text]]
    tables = [[row for row in rows if any(row)] for rows in splits]
    whole = [rows for rows in tables if rows and len(rows[0]) > 1 and len({len(row) for row in rows}) == 1]
    if not any(tables):
        return _Table(path, (), [], 0)
    if not whole:
        raise _ragged(path, max(tables, key=lambda rows: len(rows[0])))
    rows = max(whole, key=lambda rows: max(map(len, _meant(rows, places))))
    image = _image_column(path, rows, places)
    first = rows[0]
    titled = not places.find(first[image]) and (
        any(_head(cell) in _IMAGE_HEADS | _CLASS_HEADS | {""} for cell in first)
        or all(find(one) is None for one in first)
    )
    return _Table(path, first if titled else (), rows[titled:], image)


def _ragged(path: Path, rows: Rows) -> ImageError:
    number, row = next(((number, row) for number, row in enumerate(rows, 1) if len(row) != len(rows[0])), (1, rows[0]))
    columns = f"has {len(row)} columns, and line 1 {len(rows[0])}" if number > 1 else "has one column"
    return ImageError(
        f"{path}, line {number}: {','.join(row)!r} {columns}: must be an image's path and its class, with a comma, a "
        "semicolon or a tab between them"
    )


def _meant(rows: Rows, places: _Places) -> list[set[str]]:
    """The images that each column names."""
    return [{image for cell in column for image in places.find(cell)} for column in zip(*rows, strict=True)]


def _image_column(path: Path, rows: Rows, places: _Places) -> int:
    meant = _meant(rows, places)
    most = max(map(len, meant))
    best = [column for column, images in enumerate(meant) if len(images) == most]
    if len(best) > 1:
        best = [column for column in best if _head(rows[0][column]) in _IMAGE_HEADS] or best
    if most and len(best) > 1:
        best = [column for column in best if any(row[column] in meant[column] for row in rows)] or best
    if most and len(best) > 1:
        one, other = (f"column {column + 1} ({rows[-1][column]!r})" for column in best[:2])
        raise ImageError(f"{path}: images are named by {one} or by {other}: leave one of them out")
    return best[0]


def _classes(table: _Table, find: Callable[[str], int | None]) -> Callable[[list[str]], str]:
    """What gives the class of a row."""
    others = [column for column in range(len(table.rows[0]) if table.rows else 2) if column != table.image]
    known = [column for column in others if table.head(column) in _CLASS_HEADS]
    if not known and (hot := _one_hot(table, others, find)):
        return hot
    columns = known or [column for column in others if not _counts(table, column)] or others
    if len(columns) > 1:
        columns = _agreeing(table, columns, find)
    return lambda row: row[columns[0]]


def _agreeing(table: _Table, columns: Sequence[int], find: Callable[[str], int | None]) -> list[int]:
    """Those of several columns that name classes everywhere, which must be the same ones."""
    found = {column: [find(row[column]) for row in table.rows] for column in columns}
    naming = [column for column in columns if None not in found[column]]
    differing = [column for column in naming if found[column] != found[naming[0]]]
    if naming and not differing:
        return naming
    either = " or by ".join(map(table.title, [naming[0], differing[0]] if differing else columns[:2]))
    why = "which differ" if differing else "neither of which names the model's classes everywhere"
    raise ImageError(f"{table.path}: classes are named by {either}, {why}: leave a column out, or title one 'label'")


def _counts(table: _Table, column: int) -> bool:
    """Whether a column numbers the rows, as pandas' index does."""
    numbers = [row[column] for row in table.rows]
    counted = any(numbers == list(map(str, range(first, first + len(numbers)))) for first in (0, 1))
    return counted and len(numbers) > 1 and table.head(column) in _COUNTER_HEADS


def _labels(table: _Table, find: Callable[[str], int | None], labels: int) -> Callable[[list[str]], Sequence[str]]:
    """What gives the labels of a row."""
    others = [column for column in range(len(table.rows[0]) if table.rows else 2) if column != table.image]
    known = [column for column in others if table.head(column) in _CLASS_HEADS]
    hot = [] if known else _hot_columns(table, others, find)
    if len(hot) > 1:
        told = {find(table.heading[column]) for column in hot}
        if missing := [label for label in range(labels) if label not in told]:
            raise ImageError(f"{table.path}: no column is titled by label {missing[0]}: each of {labels} must have one")
        return lambda row: [table.heading[column] for column in hot if _BITS[row[column].lower()]]
    columns = known or [column for column in others if not _counts(table, column)] or others
    cells = {column: [row[column] for row in table.rows] for column in columns}
    split = {column: [_split(cell, find) for cell in cells[column]] for column in columns}
    named = [column for column in columns if any(cells[column]) and None not in split[column]]
    if len(named) != 1:
        either = " or by ".join(map(table.title, (named or columns)[:2]))
        odd = next((cell for cell in cells[columns[0]] if _split(cell, find) is None), "")
        why = "leave a column out, or title one 'labels'" if named else f"{odd!r} names none of the model's"
        raise ImageError(f"{table.path}: labels are named by {either}: {why}")
    return lambda row: _split(row[named[0]], find) or []


def _split(cell: str, find: Callable[[str], int | None]) -> list[str] | None:
    """The labels that a cell names; None where it names something else."""
    bare = cell.strip("[](){} ")
    for parts in ([bare], *(bare.split(mark) for mark in "|;,"), bare.split()):
        names = [_whole(part.strip(" '\""), find) for part in parts if part.strip()]
        if all(find(name) is not None for name in names):
            return names
    return None


def _one_hot(
    table: _Table, others: Sequence[int], find: Callable[[str], int | None]
) -> Callable[[list[str]], str] | None:
    """The class by columns of 0 and 1, whose headings are the classes; None where there are none."""
    columns = _hot_columns(table, others, find)
    if len(columns) < 2:
        return None
    for number, row in table.numbered:
        if (count := sum(_BITS[row[column].lower()] for column in columns)) != 1:
            raise ImageError(
                f"{table.path}, line {number}: {','.join(row)!r} has {count} of the classes "
                f"{', '.join(map(table.title, columns[:3]))}: must have one of these, or a column titled 'label'"
            )
    return lambda row: next(table.heading[column] for column in columns if _BITS[row[column].lower()])


def _hot_columns(table: _Table, others: Sequence[int], find: Callable[[str], int | None]) -> list[int]:
    """Those of 0 and 1; if several of them are titled by classes, these."""
    bits = [column for column in others if table.heading and all(row[column].lower() in _BITS for row in table.rows)]
    named = [column for column in bits if find(table.heading[column]) is not None]
    return named if len(named) > 1 else bits


def _head(cell: str) -> str:
    return re.sub(r"[\W_]", "", cell.lower())


def _stem(path: str) -> str:
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}{name.rpartition('.')[0] or name}"
