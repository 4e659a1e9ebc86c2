"""Images dealt to training, validation and test: stratified, seeded, copies on one side; and a file that says so."""

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from lite_toolkit import outputs
from lite_toolkit.datasets.labelled import Labelled, Part
from lite_toolkit.errors import ImageError, UsageError

DEFAULT_PERCENT = 15.0
_COLUMNS = ["image", "class", "part", "sha256"]
_FEWEST = 2  # of a class in a part that is held out, where there are enough
_HELD_OUT: tuple[tuple[Part, int], ...] = (
    ("test", 3),
    ("validation", 2),
)  # one of three, then one of two that are left
_DEALING = 3  # the stream of random numbers; `representative` has 1 and 2


@dataclass(frozen=True)
class Shares:
    """What is held out of training.

    Attributes:
        validation, test: percent of the images of each class, 0 for none; None is 15, or what folders say.
        seed: at least 0.

    Raises:
        UsageError: a value is out of range, or nothing would be left.
    """

    validation: float | None = None
    test: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for option, percent in (("--validation", self.validation), ("--test", self.test)):
            if percent is not None and not 0 <= percent <= 50:
                raise UsageError(f"{option} {percent:g}: must be from 0 to 50 percent")
        if self.seed < 0:
            raise UsageError(f"--seed {self.seed}: must be at least 0")

    def of(self, part: Part) -> float:
        """The share of a part, 0 to 0.5."""
        percent = self.validation if part == "validation" else self.test
        return (DEFAULT_PERCENT if percent is None else percent) / 100


@dataclass(frozen=True)
class Row:
    """An image, its class and part, and the digest of its file."""

    image: str
    class_: str
    part: Part
    sha256: str


def deal(data: Labelled, groups: NDArray[np.intp], shares: Shares) -> tuple[Part, ...]:
    """The part of each image.

    Parts that folders tell stay; what they do not tell is dealt from what is for training. Images of one group go to
    one part. Of each class, the test part gets its share, and at least two images, one of three; then validation.

    Args:
        data: the images.
        groups: (images,) the number of each image's group of copies, as `duplicates.groups` gives it.
        shares: what is held out.

    Raises:
        ImageError: a class has one image.
        UsageError: a share is given for a part that is a folder.
    """
    check(data, shares)
    parts: list[Part] = list(data.parts) or ["train"] * len(data.images)
    wanted = [part for part, _ in _HELD_OUT if part not in data.parts]
    members: dict[int, list[int]] = defaultdict(list)
    for image, group in enumerate(groups.tolist()):
        if parts[image] == "train":
            members[group].append(image)
    shuffled = [members[group] for group in _shuffled(sorted(members), shares.seed)]
    left = Counter(data.classes[image] for group in shuffled for image in group)
    quotas = _quotas(left, shares, wanted)
    for part in wanted:
        held: Counter[str] = Counter()
        for group in shuffled:
            classes = Counter(data.classes[image] for image in group)
            free = parts[group[0]] == "train"
            if free and all(_fits(held[one], count, quotas[part][one], left[one]) for one, count in classes.items()):
                held += classes
                left -= classes
                for image in group:
                    parts[image] = part
    return tuple(parts)


def check(data: Labelled, shares: Shares) -> None:
    """Refuse early what `deal` would."""
    _require_two(data.classes)
    for part, percent in (("validation", shares.validation), ("test", shares.test)):
        if part in data.parts and percent is not None:
            raise UsageError(f"--{part} {percent:g}: the folders of {data.folder} tell the {part} part")


def _fits(held: int, count: int, quota: int, left: int) -> bool:
    """Whether so many images of a class fit into a part; the first group may be larger than its quota by some."""
    return count < left and quota > 0 and (held + count <= quota or (held == 0 and 3 * count <= left))


def _quotas(sizes: Counter[str], shares: Shares, wanted: Sequence[Part]) -> dict[Part, dict[str, int]]:
    """The number of images of each class that a part should have."""
    found: dict[Part, dict[str, int]] = {part: {} for part in wanted}
    for name, size in sizes.items():
        left = size
        for part, among in _HELD_OUT:
            share = shares.of(part)
            if part in wanted and share:
                least = min(_FEWEST, (left + among - 2) // among)
                found[part][name] = min(max(round(size * share), least), left - 1)
                left -= found[part][name]
            elif part in wanted:
                found[part][name] = 0
    return found


def _shuffled(numbers: Sequence[int], seed: int) -> list[int]:
    """The same order for a seed with every numpy."""
    keys = np.random.PCG64([seed, _DEALING]).random_raw(len(numbers))
    return [numbers[place] for place in np.argsort(keys, kind="stable").tolist()]


def _require_two(classes: Sequence[str]) -> None:
    counts = Counter(classes)
    single = sorted(name for name, count in counts.items() if count == 1)
    if single:
        named = ", ".join(map(repr, single[:3])) + (", ..." if len(single) > 3 else "")
        plural = f"{len(single)} classes have one image each" if len(single) > 1 else "a class has one image"
        raise ImageError(f"{plural}, which cannot both teach and judge: {named}: add images, or leave it out")
    if len(counts) < 2:
        raise ImageError(f"one class only, {next(iter(counts), '')!r}: must be two or more")


def write(path: Path, rows: Sequence[Row], force: bool = False) -> None:
    """Write `split.csv`: image, class, part and sha256 of each."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows([row.image, row.class_, row.part, row.sha256] for row in rows)
    outputs.write_bytes(path, text.getvalue().encode("utf-8", "surrogateescape"), force)


def read(path: Path) -> dict[str, Row]:
    """What `write` wrote, by image.

    Raises:
        ImageError: it cannot be read, or is no such file.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig", "surrogateescape")
    except OSError as error:
        raise ImageError(f"cannot read {path}: {error.strerror}") from error
    lines = csv.reader(io.StringIO(text, newline=""))
    try:
        if next(lines, None) != _COLUMNS:
            raise ImageError(f"{path}: must begin with the columns {','.join(_COLUMNS)}")
        rows = list(_rows(path, lines))
    except csv.Error as error:
        raise ImageError(f"{path} is no table: {error}") from error
    found = {row.image: row for row in rows}
    if len(found) < len(rows):
        raise ImageError(f"{path}: names {len(rows) - len(found)} images twice")
    return found


def _rows(path: Path, lines: Iterator[list[str]]) -> Iterator[Row]:
    for number, line in enumerate(lines, start=2):
        for part in get_args(Part):
            if len(line) == len(_COLUMNS) and line[2] == part:
                yield Row(line[0], line[1], part, line[3])
                break
        else:
            raise ImageError(
                f"{path}, line {number}: {','.join(line)!r}: must be an image, its class, a part and a sha256"
            )


def apply(path: Path, data: Labelled, digests: Sequence[str]) -> tuple[tuple[Part | None, ...], tuple[str, ...]]:
    """The part of each image by a file of an earlier split, None of one that it does not name; and notes.

    Raises:
        ImageError: an image is gone, is another file or of another class now.
    """
    rows = read(path)
    for image, name, digest in zip(data.images, data.classes, digests, strict=True):
        row = rows.get(image)
        if row and row.sha256 != digest:
            raise ImageError(f"{path}: {image} is another file now: make the split anew")
        if row and row.class_ != name:
            raise ImageError(f"{path}: {image} is of class {row.class_!r}, and now of {name!r}: make the split anew")
    gone = sorted(set(rows).difference(data.images))
    if gone:
        raise ImageError(f"{path} names {len(gone)} images that {data.folder} has no more, or not readable: {gone[0]}")
    parts = tuple(rows[image].part if image in rows else None for image in data.images)
    new = parts.count(None)
    notes = (f"left out, since {path.name} does not name them: {new}",) if new else ()
    return parts, notes
