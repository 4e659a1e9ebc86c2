"""Images with the class and perhaps the part that each belongs to, as people have them to train with."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from lite_toolkit.datasets import table as tables
from lite_toolkit.datasets.ground_truth import TABLE
from lite_toolkit.errors import ImageError
from lite_toolkit.images.files import find_images, left_out

Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = get_args(Part)

_FOLDERS: dict[str, Part] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
_SHOWN = 3  # names in a message


@dataclass(frozen=True)
class Labelled:
    """Images of known classes.

    Attributes:
        folder: of the images.
        source: what told the classes, such as "the folders' names".
        images: their paths within the folder, with slashes, in order.
        classes: the name of the class of each.
        parts: the part of each, where folders tell it; empty where none does.
        notes: what the user should know, one sentence each.
    """

    folder: Path
    source: str
    images: tuple[str, ...]
    classes: tuple[str, ...]
    parts: tuple[Part, ...] = ()
    notes: tuple[str, ...] = ()


def read(folder: Path, table: Path | None = None) -> Labelled:
    """The images of a folder and their classes.

    Told by `table`, or else by a `labels.csv` in the folder; or else by the names of the folder's subfolders, which may
    lie in folders of parts (`train`, `val`, `valid`, `validation`, `test`). One folder beside `train` is the test part,
    whatever its name.

    Raises:
        ImageError: there are no images, an image has no class, or the folders can be taken in two ways.
    """
    names = [path.relative_to(folder).as_posix() for path in find_images(folder)]
    notes = tuple(filter(None, [left_out(folder)]))
    if table is None and (folder / TABLE).is_file():
        table = folder / TABLE
    if table:
        return _by_table(folder, names, table, notes)
    parts = _parts(folder, names)
    classes = [_class(folder, name, depth=1 if parts else 0) for name in names]
    if len(set(classes)) == 1 and not parts:
        inner = "/".join(names[0].split("/")[:1])
        raise ImageError(
            f"{folder}: one class only, {classes[0]!r}: if its folders are the classes, pass {folder / inner}"
        )
    return Labelled(folder, "the folders' names", tuple(names), tuple(classes), parts, (*notes, *_beside(parts, names)))


def _by_table(folder: Path, names: Sequence[str], table: Path, notes: tuple[str, ...]) -> Labelled:
    rows = tables.read(table, folder, names, lambda _: None)
    named = tuple(name for name in names if name in rows)
    if not named:
        raise ImageError(f"{table} names none of the {len(names)} images of {folder}, such as {names[0]}")
    absent, unnamed = sorted(set(rows).difference(names)), [name for name in names if name not in rows]
    if absent:
        notes += (f"named by {table.name}, but not there: {len(absent)} ({_some(absent)})",)
    if unnamed:
        notes += (f"left out, since {table.name} does not name them: {len(unnamed)} ({_some(unnamed)})",)
    parts = _parts(folder, named)
    return Labelled(
        folder, table.name, named, tuple(rows[name] for name in named), parts, (*notes, *_beside(parts, named))
    )


def _parts(folder: Path, names: Sequence[str]) -> tuple[Part, ...]:
    """The part of each image, where the first folders of all are parts; nothing where they are not."""
    firsts = list(dict.fromkeys(_first(name) for name in names))
    found = {first: _FOLDERS[first.lower()] for first in firsts if first.lower() in _FOLDERS}
    several = len(set(found.values())) > 1
    if len(found) < len(firsts):
        # One such name among others is a class, as "train" is among vehicles.
        if several and "train" in found.values():
            other = next(first for first in firsts if first not in found)
            raise ImageError(f"{folder}: {_some(list(found))} are parts, but {other or 'the folder itself'!r} is none")
        return ()
    twice = [part for part, count in Counter(found.values()).items() if count > 1]
    if twice:
        alike = " and ".join(first for first in firsts if found[first] == twice[0])
        raise ImageError(f"{folder}: {alike} are both the {twice[0]} part: put them together")
    if "train" not in found.values():
        if several:
            raise ImageError(f"{folder}: holds {_some(firsts)}, but no train")
        return ()
    if set(found.values()) == {"train", "validation"}:
        found = {first: "train" if part == "train" else "test" for first, part in found.items()}
    return tuple(found[_first(name)] for name in names)


def _beside(parts: Sequence[Part], names: Sequence[str]) -> tuple[str, ...]:
    """What is said where a folder of another name is the test part."""
    firsts = {_first(name) for name, part in zip(names, parts, strict=False) if part == "test"}
    others = [first for first in firsts if _FOLDERS[first.lower()] != "test"]
    return tuple(f"{first} is the only part beside train: it is the test part" for first in others)


def _first(name: str) -> str:
    folder, slash, _ = name.partition("/")
    return folder if slash else ""


def _class(folder: Path, name: str, depth: int) -> str:
    parts = name.split("/")
    if len(parts) < depth + 2:
        where = folder / Path(*parts[:depth])
        raise ImageError(f"{folder / name}: has no class: must lie in a folder of its class within {where}")
    return parts[depth]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
