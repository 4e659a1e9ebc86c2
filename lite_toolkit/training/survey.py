"""What is in a folder of labelled images, before an hour is spent on it: counts, copies, doubtful labels."""

import base64
import json
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lite_toolkit import outputs
from lite_toolkit.board.survey import SIDE, Seen, SurveyJob
from lite_toolkit.datasets import duplicates, labelled, split
from lite_toolkit.datasets.labelled import Labelled, Part
from lite_toolkit.datasets.split import Row, Shares
from lite_toolkit.decoding import decode
from lite_toolkit.devices import jobs
from lite_toolkit.documents import sha256
from lite_toolkit.errors import ImageError, JobError, UsageError
from lite_toolkit.progress import Steps
from lite_toolkit.training import head
from lite_toolkit.training.backbone import Backbone, backbone
from lite_toolkit.training.contents import TINY_PX, Copies, Label, OfClass, Sizes, Spread, Survey, Tiny

IMBALANCED = 10.0  # times as many images of the largest class as of the smallest


@dataclass(frozen=True)
class Request:
    """What to look at, and how.

    Attributes:
        data: folder of images, see `labelled.read`.
        table: a file of images and their classes.
        shares: what is held out of training.
        split: a file of an earlier split, to use again instead.
        save_split: where to write the split; None is nowhere.
        labels: whether to look for wrong labels, which takes a network.
        cache: folder that keeps what was computed of each image; None keeps nothing.
        force: replace a file that exists.

    Raises:
        UsageError: values that mean nothing together.
    """

    data: Path
    table: Path | None = None
    shares: Shares = field(default_factory=Shares)
    split: Path | None = None
    save_split: Path | None = None
    labels: bool = True
    cache: Path | None = None
    force: bool = False

    def __post_init__(self) -> None:
        if self.split and (self.shares != Shares() or self.save_split):
            raise UsageError("--split tells the parts: leave out --seed, --validation, --test and --save-split")

    @property
    def wanted(self) -> tuple[Part, ...]:
        """The parts that every class should have."""
        dealt = () if self.split else tuple(part for part in labelled.PARTS[1:] if self.shares.of(part))
        return ("train", *dealt)


@dataclass(frozen=True, eq=False)
class _Looked:
    """The images that can be read, and what was found out of each."""

    data: Labelled
    digests: tuple[str, ...]
    seen: tuple[Seen, ...]
    groups: NDArray[np.intp]
    parts: tuple[Part, ...] = ()

    def only(self, kept: Sequence[int], parts: tuple[Part, ...]) -> "_Looked":
        """Some of the images, and their parts."""
        groups = np.unique(self.groups[kept], return_index=True, return_inverse=True)
        return _Looked(
            _only(self.data, kept),
            tuple(self.digests[image] for image in kept),
            tuple(self.seen[image] for image in kept),
            groups[1][groups[2]],
            parts,
        )


def survey(request: Request, steps: Steps | None = None) -> Survey:
    """Look at every image of a folder, once.

    Raises:
        ImageError: there are no images or no classes, none can be read, or a class has one image.
        UsageError: a share is given for a part that is a folder.
        MissingExtraError: what judges labels is not installed.
        OutputError: the split or the cache cannot be written.
    """
    steps = steps or Steps()
    if request.save_split:
        outputs.require_free([request.save_split], request.force)
    if request.labels:
        head.require()
    data = labelled.read(request.data, request.table)
    if request.split is None:
        split.check(data, request.shares)
    with ExitStack() as stack:
        network = None
        if request.labels:
            with steps.step("backbone"):
                folder = request.cache or Path(stack.enter_context(tempfile.TemporaryDirectory()))
                network = backbone(folder)
        with steps.step("images"):
            digests = [_digest(request.data / image) for image in data.images]
            seen = _look(data, digests, network, request.cache, steps)
    unreadable = tuple(f"{data.images[one.image]}: {one.error}" for one in seen if one.error is not None)
    readable = [one.image for one in seen if one.error is None]
    if not readable:
        raise ImageError(f"{request.data}: none of {len(seen)} images can be read; the first: {unreadable[0]}")
    with steps.step("copies"):
        found = _copies(data, digests, seen, readable)
    found, notes = _split(request, found)
    judged = None
    if network:
        with steps.step("labels"):
            judged = _judge(found, request.shares.seed, steps)
    result = _report(found, judged, unreadable, network, request, notes, steps)
    if request.save_split:
        _write_split(request.save_split, found, request.force)
    return result


def _write_split(path: Path, found: _Looked, force: bool) -> None:
    """Write the part of each image."""
    data = found.data
    rows = map(Row, data.images, data.classes, found.parts, found.digests)
    split.write(path, list(rows), force)


def _digest(path: Path) -> str:
    """The sha256 of a file; nothing of one that cannot be read, of which the job says why."""
    try:
        return sha256(path)
    except OSError:
        return ""


def _look(
    data: Labelled, digests: Sequence[str], network: Backbone | None, cache: Path | None, steps: Steps
) -> list[Seen]:
    """What is known of each image, from the cache or by a job here."""
    described = json.dumps(network.preprocessing.to_json(), sort_keys=True) if network else ""
    key = sha256(f"{network.sha256 if network else ''}{described}{SIDE}".encode())
    folder = cache / key[:16] if cache else None
    known = {image: one for image, digest in enumerate(digests) if (one := _cached(folder, digest, image))}
    todo = [image for image in range(len(digests)) if image not in known]
    preprocessing = network.preprocessing.to_json() if network else None
    job = SurveyJob(tuple(data.images[image] for image in todo), 0, preprocessing)
    files = {"images": data.folder, **({"model": network.path} if network else {})}
    with jobs.start() as session:
        for one in steps.track(_records(session, job, files), len(todo)):
            known[todo[one.image]] = numbered = replace(one, image=todo[one.image])
            if folder and one.error is None:  # what failed may be mended
                kept = outputs.to_json(numbered.to_json()).encode()
                outputs.write_bytes(folder / f"{digests[numbered.image]}.json", kept, force=True)
    return [known[image] for image in range(len(digests))]


def _cached(folder: Path | None, digest: str, image: int) -> Seen | None:
    """What the cache has of a file, if it is whole."""
    path = folder / f"{digest}.json" if folder else None
    if path is None or not path.is_file():
        return None
    try:
        found = decode(Seen, json.loads(path.read_bytes()), str(path), JobError)
    except (ValueError, JobError):
        return None
    return replace(found, image=image)


def _records(session: jobs.Session, job: SurveyJob, files: Mapping[str, Path]) -> Iterator[Seen]:
    awaited = set(range(len(job.images)))
    for event in session.events(job, files):
        for told in event.get("records", ()):
            seen = decode(Seen, told, f"{session.name} answered what cannot be", JobError)
            if seen.image not in awaited:
                session.refuse(f"answered image {seen.image} of {len(job.images)}, which was not awaited")
            awaited.remove(seen.image)
            yield seen
    if awaited:
        session.refuse(f"did not answer for {len(awaited)} of {len(job.images)} images")


def _copies(data: Labelled, digests: Sequence[str], seen: Sequence[Seen], readable: Sequence[int]) -> _Looked:
    pictures = np.stack([_values(seen[image].fingerprint, np.uint8) for image in readable])
    kept = tuple(digests[image] for image in readable)
    groups = duplicates.groups(pictures, kept)
    return _Looked(_only(data, readable), kept, tuple(seen[image] for image in readable), groups)


def _only(data: Labelled, kept: Sequence[int]) -> Labelled:
    return replace(
        data,
        images=tuple(data.images[image] for image in kept),
        classes=tuple(data.classes[image] for image in kept),
        parts=tuple(data.parts[image] for image in kept) if data.parts else (),
    )


def _split(request: Request, found: _Looked) -> tuple[_Looked, tuple[str, ...]]:
    """With the part of each image: by an earlier split, which may leave some out, or dealt anew."""
    if request.split is None:
        return replace(found, parts=split.deal(found.data, found.groups, request.shares)), ()
    parts, notes = split.apply(request.split, found.data, found.digests)
    kept = [image for image, part in enumerate(parts) if part is not None]
    return found.only(kept, tuple(part for part in parts if part is not None)), notes


def _judge(found: _Looked, seed: int, steps: Steps) -> tuple[head.Judged, list[str], list[str]]:
    """What cross-validated heads say, the names of the classes, and those that cannot be judged."""
    names = sorted(set(found.data.classes))
    numbers = {name: number for number, name in enumerate(names)}
    classes = np.array([numbers[name] for name in found.data.classes], np.intp)
    features = np.stack([_values(one.features, np.dtype("<f4")) for one in found.seen]).astype(np.float32)
    judged = head.cross_validated(features, classes, len(names), found.groups, seed, steps)
    alone = head.alone(classes.tolist(), found.groups.tolist())
    return judged, names, [names[number] for number in alone]


def _values(text: str, dtype: Any) -> NDArray[Any]:
    return np.frombuffer(base64.b64decode(text), dtype)


def _report(
    found: _Looked,
    judged: tuple[head.Judged, list[str], list[str]] | None,
    unreadable: tuple[str, ...],
    network: Backbone | None,
    request: Request,
    notes: tuple[str, ...],
    steps: Steps,
) -> Survey:
    data = found.data
    wanted = [part for part in labelled.PARTS if part in found.parts or part in request.wanted]
    groups = tuple(_groups(found))
    counts = Counter(zip(data.classes, found.parts, strict=True))
    totals = Counter(data.classes)
    classes = tuple(
        OfClass(name, totals[name], *(counts[name, part] for part in labelled.PARTS)) for name in sorted(totals)
    )
    labels = tuple(_labels(data, *judged)) if judged else ()
    agreeing = sum(one.class_ == one.likeliest for one in labels)
    widths, heights = (np.array([getattr(one, side) for one in found.seen]) for side in ("width", "height"))
    return Survey(
        data=data.folder.resolve().name,
        ground_truth=data.source,
        images=len(data.images),
        classes=classes,
        unreadable_images=unreadable,
        tiny_images=tuple(
            Tiny(image, one.width, one.height)
            for image, one in zip(data.images, found.seen, strict=True)
            if min(one.width, one.height) < TINY_PX
        ),
        copies=groups,
        sizes=Sizes(_spread(widths), _spread(heights), _spread(widths / heights)),
        labels=labels,
        agreement_percent=100 * agreeing / len(labels) if labels else None,
        backbone=network.sha256 if network else None,
        seed=request.shares.seed,
        notes=(*data.notes, *notes, *_warnings(classes, groups, wanted), *_unjudged(judged)),
        seconds=dict(steps.seconds),
    )


def _groups(found: _Looked) -> Iterator[Copies]:
    members: dict[int, list[int]] = defaultdict(list)
    for image, group in enumerate(found.groups.tolist()):
        members[group].append(image)
    for images in members.values():
        if len(images) > 1:
            yield Copies(
                tuple(found.data.images[image] for image in images),
                len({found.digests[image] for image in images}) == 1,
                tuple(found.data.classes[image] for image in images),
                tuple(found.parts[image] for image in images),
            )


def _labels(data: Labelled, judged: head.Judged, names: Sequence[str], alone: Sequence[str]) -> list[Label]:
    percent = 100 * judged.probabilities
    places = {name: number for number, name in enumerate(names)}
    found = [
        Label(image, name, float(row[places[name]]), names[row.argmax()], float(row.max()))
        for image, name, row in zip(data.images, data.classes, percent, strict=True)
        if name not in alone
    ]
    return sorted(found, key=lambda one: (one.probability_percent, one.image))


def _spread(values: NDArray[Any]) -> Spread:
    return Spread(float(values.min()), float(np.median(values)), float(values.max()))


def _warnings(classes: Sequence[OfClass], copies: Sequence[Copies], expected: Sequence[Part]) -> Iterator[str]:
    counts = [one.images for one in classes]
    if max(counts) > IMBALANCED * min(counts):
        most, least = max(classes, key=lambda one: one.images), min(classes, key=lambda one: one.images)
        yield f"imbalanced: {most.images:,} images of {most.class_}, {least.images:,} of {least.class_}"
    for part in expected:
        without = [one.class_ for one in classes if not getattr(one, part)]
        if without:
            yield f"classes without an image in the {part} part: {len(without)} ({_some(without)})"
    across = sum(len(set(one.classes)) > 1 for one in copies)
    if across:
        yield f"groups of copies with several classes, of which at least one is wrong: {across}"
    leaking = sum(len(set(one.parts)) > 1 for one in copies)
    if leaking:
        yield f"groups of copies in several parts, which makes figures of the test part too good: {leaking}"


def _unjudged(judged: tuple[head.Judged, list[str], list[str]] | None) -> Iterator[str]:
    alone = judged[2] if judged else []
    if alone:
        yield f"labels not judged, since all images of the class are copies of one: {len(alone)} ({_some(alone)})"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
