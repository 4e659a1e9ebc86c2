"""Images -> what each is: its size, a small picture that tells copies, and what a network makes of it; on every core.

It runs on boards too, so it needs no Python later than 3.7, and numpy, Pillow and a LiteRT runtime alone.
"""

from __future__ import annotations

import base64
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from lite_toolkit.board.inference import Look, OfImages, infer, input_table, look_up
from lite_toolkit.errors import ImageError
from lite_toolkit.images.files import read_image
from lite_toolkit.images.preprocessing import PreprocessingSpec
from lite_toolkit.runtime import processors
from lite_toolkit.runtime.delegates import XNNPACK
from lite_toolkit.runtime.interpreter import Model, finite

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from numpy.typing import NDArray

    Files = Mapping[str, str]

SIDE = 16  # of a fingerprint: pixels
_RESAMPLING: Any = getattr(Image, "Resampling", Image)  # Pillow before 9.1 has the names in the module


@dataclass(frozen=True)
class SurveyJob(OfImages):
    """Images to survey.

    Attributes:
        preprocessing: of the network, as `PreprocessingSpec.to_json` writes it; None where there is no network.
    """

    NAME = "survey"

    preprocessing: Mapping[str, Any] | None = None

    def look(self, files: Files) -> Look:
        """The network, loaded, if there is one."""
        return _Survey(self, files)


@dataclass(frozen=True)
class Seen:
    """What is known of one image.

    Attributes:
        image: its place in the job's images.
        width, height: upright, in pixels.
        fingerprint: uint8 (16, 16, 3) RGB, base64.
        features: little-endian float32 (n,), base64; empty where there is no network.
        error: why it cannot be read; then the rest is empty.
    """

    image: int
    width: int = 0
    height: int = 0
    fingerprint: str = ""
    features: str = ""
    error: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As the job tells it."""
        return asdict(self)


def survey(job: SurveyJob, files: Files) -> Iterator[dict[str, Any]]:
    """The runner's job "survey".

    Args:
        job: what to do.
        files: "images", a folder, and perhaps "model", whose output are features.

    Yields:
        Events "records", of some images each, in the order in which they are finished.
    """
    job = replace(job, workers=job.workers or processors.usable())
    for seen in infer(job, files):
        yield {"event": "records", "records": [one.to_json() for one in seen]}
    yield {"event": "result"}


class _Survey(Look):
    """What a worker holds: the network, if there is one."""

    def __init__(self, job: SurveyJob, files: Files) -> None:
        self.job, self.folder = job, Path(files["images"])
        self.path = files.get("model", "")
        if job.preprocessing is not None:
            self.spec = PreprocessingSpec.from_json(job.preprocessing)
            self.model = Model(Path(self.path), 1, XNNPACK)
            self.table = input_table(self.model, self.spec)

    def record(self, image: int) -> Seen:
        path = self.folder / self.job.images[image]
        try:
            picture = read_image(path)
        except ImageError as error:
            reason = str(error)
            return Seen(image, error=reason[len(f"{path}: ") :] if reason.startswith(f"{path}: ") else reason)
        features = "" if self.job.preprocessing is None else _text(self._features(picture, path).astype("<f4"))
        return Seen(image, picture.width, picture.height, _text(fingerprint(picture)), features)

    def _features(self, picture: Image.Image, path: Path) -> NDArray[np.float32]:
        return finite(self.model.run(look_up(self.table, self.spec.pixels(picture))), self.path, str(path))


def fingerprint(picture: Image.Image) -> NDArray[np.uint8]:
    """The picture, uint8 (16, 16, 3), by a filter that gives copies of any size the same pixels within a few levels."""
    return np.asarray(picture.resize((SIDE, SIDE), _RESAMPLING.BICUBIC))


def _text(values: NDArray[Any]) -> str:
    return base64.b64encode(values.tobytes()).decode()
