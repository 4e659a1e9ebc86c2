"""Small pictures, inside the page itself: of each class, and of images whose labels are doubtful."""

import base64
import io
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from PIL import Image, ImageOps

from lite_toolkit.datasets import ground_truth
from lite_toolkit.datasets.ground_truth import MAXIMUM_INDEX, Numbering
from lite_toolkit.errors import ImageError
from lite_toolkit.images.files import find_images, read_image
from lite_toolkit.page.overview import LABELS_SHOWN, Confusions
from lite_toolkit.reports.evaluation import Evaluation
from lite_toolkit.training.contents import Survey

SIDE = 96  # pixels; shown at half the side, for dense screens
_QUALITY = 80


def examples(folder: Path, class_index: Path | None, confusions: Confusions) -> dict[int, str]:
    """A picture of each confused class that the folder has, as a data URI by class.

    Args:
        folder: of images; their classes are told as for `evaluate`.
        class_index: a file of the data set's classes, as for `evaluate`.
        confusions: on such images; their names of classes may be folders' names.

    Raises:
        ImageError: there are no images, or their classes are not told.
    """
    judged = confusions.judged[0]
    wanted = {one.index for pair in confusions.pairs for one in (pair.truth, pair.predicted)}
    names = [path.relative_to(folder).as_posix() for path in find_images(folder)]
    index = ground_truth.read_class_index(class_index) if class_index else None
    numbering = Numbering(1001 if judged.ground_truth.offset else MAXIMUM_INDEX, index, _labels(judged))
    found: dict[int, str] = {}
    for name, number in zip(names, ground_truth.read(folder, names, numbering).classes.tolist(), strict=True):
        if number in wanted and number not in found:
            try:
                found[number] = _thumbnail(folder / name)
            except ImageError:
                continue  # another image of the class may be sound
    return found


def doubted(folder: Path, survey: Survey) -> dict[str, str]:
    """Pictures of the images whose labels are least probable, as data URIs by their paths in the folder.

    Raises:
        ImageError: there are no images.
    """
    there = {path.relative_to(folder).as_posix(): path for path in find_images(folder)}  # no path of a report's own
    found = {}
    for label in survey.labels[:LABELS_SHOWN]:
        with suppress(ImageError):
            if label.image in there:
                found[label.image] = _thumbnail(there[label.image])
    return found


def _thumbnail(path: Path) -> str:
    picture = ImageOps.fit(read_image(path), (SIDE, SIDE), Image.Resampling.LANCZOS)
    written = io.BytesIO()
    picture.save(written, "JPEG", quality=_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(written.getvalue()).decode()}"


def _labels(judged: Evaluation) -> Sequence[str] | None:
    named: Mapping[int, str] = {row.class_: row.name for row in judged.classes if row.name}
    return [named.get(number, "") for number in range(max(named) + 1)] if named else None
