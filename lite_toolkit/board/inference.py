"""Images -> the best classes of each, on every core: the part of an evaluation that runs where the model runs.

It runs on boards too, so it needs no Python later than 3.7, and numpy, Pillow and a LiteRT runtime alone.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import PIL

from lite_toolkit.board import machine
from lite_toolkit.board.job import Job
from lite_toolkit.errors import ImageError, LiteToolkitError, ModelError
from lite_toolkit.images.files import read_image
from lite_toolkit.images.preprocessing import PreprocessingSpec
from lite_toolkit.runtime import heads, processors
from lite_toolkit.runtime.delegates import XNNPACK, choose
from lite_toolkit.runtime.interpreter import Model, finite, runtime_version
from lite_toolkit.runtime.rehearsal import rehearse

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess
    from typing import Any

    from numpy.typing import NDArray

    Files = Mapping[str, str]

PATIENCE = 1.0  # seconds that a worker waits for images before it looks for its parent
AHEAD = 2  # shares that a worker has before it, so that the next is there when it has done one
MODELS = ("model", "reference")  # the one in question, and perhaps one of the same input that is left to XNNPACK
LARGEST_SHARE = 4  # images that go to a worker at once: every message costs a tenth of an image on a fast machine


@dataclass(frozen=True)
class OfImages(Job):
    """Images to look at, each by itself.

    Attributes:
        images: paths in the folder of images.
        workers: number of processes, each of which runs its interpreters with one thread; 0 is one for each processor.
    """

    images: tuple[str, ...]
    workers: int

    def look(self, files: Files) -> Look:
        """What a worker loads first, and then does to every image."""
        raise NotImplementedError


class Look:
    """What a worker does."""

    def record(self, image: int) -> Any:
        """What is kept of an image, by its place in the job's images."""
        raise NotImplementedError


@dataclass(frozen=True)
class InferenceJob(OfImages):
    """Images to classify.

    Attributes:
        preprocessing: of the images, as `PreprocessingSpec.to_json` writes it.
        top: number of classes to keep of each image, 1 or more.
        delegate, delegate_options: for `delegates.choose`, on the machine that runs the models.
        minimum_runtime: of an Edge TPU, for a model that is compiled for it; None for any other.
        heads: what the outputs of each model mean, see `runtime.heads`; the scores of multi-label models are kept.
    """

    NAME = "inference"

    preprocessing: Mapping[str, Any]
    top: int
    delegate: str = XNNPACK.name
    delegate_options: Mapping[str, str] = field(default_factory=dict)
    minimum_runtime: int | None = None
    heads: tuple[str, ...] = (heads.SINGLE_LABEL,) * len(MODELS)

    def look(self, files: Files) -> Look:
        """The models, loaded."""
        return _Sight(self, files)


@dataclass(frozen=True)
class Shape:
    """What the records of a job hold.

    Attributes:
        images, models: how many there are.
        top: number of classes that are kept of each image.
        classes: number of classes of the models.
        scored: whether the scores of all classes are kept.
    """

    images: int
    models: int
    top: int
    classes: int
    scored: bool = False


@dataclass(frozen=True)
class Opening:
    """What the process tells before its records.

    Attributes:
        workers: number of processes.
        circumstances: what records depend on beside the job: "runtime" and "pillow", with their versions, "processor",
            and "library", what an Edge TPU's says of its version.
    """

    workers: int
    circumstances: Mapping[str, str | None]


@dataclass(frozen=True)
class Answer:
    """What one model sees in one image.

    Attributes:
        best: indices of the best classes, best first; of equal scores the lowest index, as numpy's argmax has it.
        tied: every k, from 1 to the number of `best`, whose score is equal to the next: there the index decided.
        scores: of all classes, for a multi-label model; empty for any other.
    """

    best: tuple[int, ...]
    tied: tuple[int, ...] = ()
    scores: tuple[float, ...] = ()

    @property
    def parts(self) -> tuple[tuple[float, ...], ...]:
        """As JSON has it: without scores that are not kept."""
        return (self.best, self.tied, *([self.scores] if self.scores else []))


@dataclass(frozen=True)
class Record:
    """What is kept of one image.

    Attributes:
        image: its place in the job's images.
        answers: one of each model; none where the image cannot be read.
        error: why it cannot be read.
    """

    image: int
    answers: tuple[Answer, ...] = ()
    error: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As it comes from a board and stands in a journal."""
        if self.error is not None:
            return {"image": self.image, "error": self.error}
        return {"image": self.image, "answers": [answer.parts for answer in self.answers]}

    @classmethod
    def from_json(cls, found: Any, shape: Shape) -> Record:
        """The record that `to_json` wrote, which is not trusted.

        Args:
            found: any value of JSON.
            shape: of the job's records.

        Raises:
            ValueError: it is none of such a job.
        """
        try:
            answers = (Answer(*map(tuple, parts)) for parts in found.get("answers", ()))
            record = cls(found["image"], tuple(answers), found.get("error"))
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise ValueError("no record") from error
        if not record._fits(shape):
            raise ValueError("a record of another job")
        return record

    def _fits(self, shape: Shape) -> bool:
        if not _is_within(self.image, 0, shape.images):
            return False
        if self.error is not None:
            return isinstance(self.error, str) and not self.answers
        return len(self.answers) == shape.models and all(
            len(answer.best) == shape.top
            and all(_is_within(index, 0, shape.classes) for index in answer.best)
            and all(_is_within(k, 1, shape.top + 1) for k in answer.tied)
            and len(answer.scores) == (shape.classes if shape.scored else 0)
            and all(type(score) in (int, float) and 0 <= score <= 1 for score in answer.scores)
            for answer in self.answers
        )


def _is_within(value: object, least: int, limit: int) -> bool:
    return type(value) is int and least <= value < limit


def inference(job: InferenceJob, files: Files) -> Iterator[dict[str, Any]]:
    """The runner's job "inference".

    Args:
        job: what to do.
        files: "images", a folder, and those of `MODELS`.

    Yields:
        An event "opening", which is `Opening`, and events "records", of some images each; see `infer`.
    """
    job = replace(job, workers=job.workers or processors.usable())
    delegate = choose(job.delegate, job.delegate_options)
    version = rehearse(Path(files["model"]), 1, delegate, job.minimum_runtime) if job.images else None
    yield {"event": "opening", **asdict(Opening(job.workers, _circumstances(version)))}
    for records in infer(job, files):
        yield {"event": "records", "records": [record.to_json() for record in records]}
    yield {"event": "result"}


def _circumstances(library: str | None) -> dict[str, str | None]:
    here = machine.environment()
    processor = ", ".join(filter(None, (here["board"], here["cpu"], here["machine"])))  # kernels differ by it
    return {"runtime": runtime_version(), "pillow": PIL.__version__, "processor": processor, "library": library}


def infer(job: OfImages, files: Files) -> Generator[list[Any], None, None]:
    """One record for each image, some at a time, in the order in which they are finished.

    Nothing of an image but its record is held. Closing the generator ends the workers.

    Raises:
        ModelError: a model cannot be run, gives scores that are not finite, or a worker died.
        DelegateError: the delegate cannot be loaded, or does not run the model.
    """
    workers: dict[Connection, BaseProcess] = {}
    try:
        for _ in range(min(job.workers, len(job.images))):
            connection, process = _start(job, files)
            workers[connection] = process
        shares = _shares(len(job.images), len(workers))
        busy = dict.fromkeys(workers, 0)
        for connection in [*workers] * AHEAD:
            busy[connection] += _send_next(connection, shares)
        while any(busy.values()):
            ready = wait([connection for connection in busy if busy[connection]])
            for connection in [connection for connection in busy if connection in ready]:
                records = _receive(connection, workers[connection])
                busy[connection] += _send_next(connection, shares) - 1
                yield records
    finally:
        for process in workers.values():
            process.terminate()
        for connection, process in workers.items():
            process.join()
            connection.close()


def _start(job: OfImages, files: Files) -> tuple[Connection, BaseProcess]:
    # A fork has numpy, Pillow and the runtime loaded already: it takes 10 ms, where a new interpreter takes 300 and
    # more memory. It is safe because no kernel runs here: an interpreter of one thread leaves no thread behind.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else None)
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(job, files, theirs, os.getpid()), daemon=True)
    process.start()
    theirs.close()  # so that the death of the worker is the end of the stream
    return ours, process


def _shares(images: int, workers: int) -> Iterator[range]:
    """The images in their order, in shares that end with single ones, so that all workers end at the same time."""
    start = 0
    while start < images:
        size = (images - start) // (2 * AHEAD * workers)
        stop = start + max(1, min(size, LARGEST_SHARE))
        yield range(start, stop)
        start = stop


def _send_next(connection: Connection, shares: Iterator[range]) -> int:
    """How many shares were sent: 1, or 0 at their end; a worker that died is noticed when its records are awaited."""
    for share in shares:
        with suppress(OSError):
            connection.send(share)
        return 1
    return 0


def _receive(connection: Connection, process: BaseProcess) -> list[Any]:
    try:
        found = connection.recv()
    except (EOFError, OSError) as error:
        process.join()
        code = process.exitcode or 0
        how = f"was killed by signal {-code}, often for want of memory" if code < 0 else f"ended with exit code {code}"
        raise ModelError(f"a worker process {how}: try fewer workers") from error
    if isinstance(found, LiteToolkitError):
        raise found
    records: list[Any] = found
    return records


def _work(job: OfImages, files: Files, connection: Connection, parent: int) -> None:
    """The life of a worker: models first, then the records of each share that comes, while the parent lives."""
    with suppress(EOFError, ConnectionError):
        try:
            look = job.look(files)
            while _await(connection, parent):
                connection.send([look.record(image) for image in connection.recv()])
        except LiteToolkitError as error:
            connection.send(error)


def _await(connection: Connection, parent: int) -> bool:
    """Wait for a share; False where the parent is gone."""
    # The stream of a parent that was killed need not end: the other workers hold copies of its side.
    while not connection.poll(PATIENCE):
        if os.getppid() != parent:
            return False
    return True


class _Sight(Look):
    """The models of a job, loaded, and what turns pixels into their inputs."""

    def __init__(self, job: InferenceJob, files: Files) -> None:
        self.job, self.folder = job, Path(files["images"])
        self.spec = PreprocessingSpec.from_json(job.preprocessing)
        self.paths = [Path(files[name]) for name in MODELS if name in files]
        delegates = choose(job.delegate, job.delegate_options), XNNPACK
        sides = zip(self.paths, delegates, job.heads)
        self.models = [Model(path, 1, delegate, head) for path, delegate, head in sides]
        self.tables = [input_table(model, self.spec) for model in self.models]

    def record(self, image: int) -> Record:
        path = self.folder / self.job.images[image]
        try:
            pixels = self.spec.pixels(read_image(path))
        except ImageError as error:
            reason = str(error)
            return Record(image, error=reason[len(f"{path}: ") :] if reason.startswith(f"{path}: ") else reason)
        return Record(image, tuple(self._answer(number, pixels, path) for number in range(len(self.models))))

    def _answer(self, number: int, pixels: NDArray[np.uint8], path: Path) -> Answer:
        scores = self.models[number].run(look_up(self.tables[number], pixels))
        scored = self.job.heads[number] == heads.MULTI_LABEL
        return answer(finite(scores, str(self.paths[number]), str(path)), self.job.top, scored)


def input_table(model: Model, spec: PreprocessingSpec) -> NDArray[Any]:
    """What the model's input stores for each of the 256 pixel values, (256, channels) in the spec's channel order, or
    (256, 1) where all channels have one mean and std.

    Normalising and quantizing go value by value, so that looking up gives the same bits as computing, in a third of the
    time.
    """
    values = np.repeat(np.arange(256, dtype=np.uint8), spec.channels).reshape(256, spec.channels)
    table = model.input.quantize(spec.normalize(values))
    return table if (table != table[:, :1]).any() else table[:, :1].copy()


def look_up(table: NDArray[Any], pixels: NDArray[np.uint8]) -> NDArray[Any]:
    """The stored input, (height, width, channels), of pixels of that shape in the spec's channel order."""
    if table.shape[1] == 1:
        raw = table.dtype == np.uint8 and (table[:, 0] == np.arange(256)).all()
        return pixels if raw else table[:, 0].take(pixels)
    stored = np.empty(pixels.shape, table.dtype)
    for channel in range(3):
        # numpy buffers `out` unless indices are clipped; no pixel is beyond 255.
        np.take(table[:, channel], pixels[..., channel], out=stored[..., channel], mode="clip")
    return stored


def answer(scores: NDArray[np.float32], top: int, scored: bool = False) -> Answer:
    """The best `top` classes of scores (classes,), and where ties decided; with the scores themselves, if `scored`."""
    order = np.argsort(-scores, kind="stable")[: top + 1]
    ranked = scores[order]
    tied = (np.flatnonzero(ranked[:-1] == ranked[1:]) + 1).tolist()
    return Answer(tuple(order[:top].tolist()), tuple(tied), tuple(scores.tolist()) if scored else ())
