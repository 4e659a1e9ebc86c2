"""A model -> its bundle: golden vectors, code for each platform, and how often each client's resize agrees."""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from lite_toolkit import manifest, outputs
from lite_toolkit.bundle import clients, contents, snippets, vectors
from lite_toolkit.bundle.clients import Agreement
from lite_toolkit.bundle.snippets import Facts
from lite_toolkit.classification import Classifier
from lite_toolkit.errors import ImageError
from lite_toolkit.images import find_images, read_image
from lite_toolkit.preprocessing import Sized
from lite_toolkit.runtime import TensorInfo, runtime_version
from lite_toolkit.steps import Steps
from lite_toolkit.synthetic import synthetic_images

LABELS = "labels.txt"
SYNTHETIC_IMAGES, SYNTHETIC_SIZE, SYNTHETIC_SEED = 32, (375, 500), 7

_BREAKS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass(frozen=True)
class Request:
    """What to package.

    Attributes:
        model: the `.tflite` file; its manifest is beside it.
        targets: names of `snippets.TARGETS`.
        output: the folder to make.
        data: folder of photographs on which clients are compared; None for built-in synthetic images.
        preprocessing: of a model without manifest.
        force: replace a bundle that is there.
    """

    model: Path
    targets: tuple[str, ...]
    output: Path
    data: Path | None = None
    preprocessing: Sized | None = None
    force: bool = False


@dataclass(frozen=True)
class Package:
    """A bundle that was written.

    Attributes:
        described: the content of its `bundle.json`.
        agreements: of each client.
        images: what they were measured on.
        notes: what the user should know, one sentence each.
    """

    described: Mapping[str, Any]
    agreements: Sequence[Agreement]
    images: str
    notes: tuple[str, ...]


def package(request: Request, steps: Steps | None = None) -> Package:
    """Make the bundle; nothing is written unless all of it could be made.

    Raises:
        LiteToolkitError: the model or an image cannot be used, a target does not take the model, or the folder exists
            or cannot be written.
    """
    steps = steps or Steps()
    outputs.require_free_folder(request.output, request.force, contents.DESCRIPTION)
    classifier = Classifier(request.model, preprocessing=request.preprocessing, threads=1)
    content, spec = request.model.read_bytes(), classifier.preprocessing
    with steps.step("golden vectors"):
        golden = vectors.record(content, spec)
    facts = Facts(content, classifier.model.input, classifier.model.output, classifier.model.classes, spec, golden)
    code = snippets.sources(request.targets, facts)
    with steps.step("clients"):
        images = _Images(request.data, steps)
        agreements = clients.agreements(classifier.model, spec, images)
    files = {contents.MODEL: content, **golden.files, **code, **_papers(request.model, classifier)}
    files["README.md"] = _readme(facts, agreements, images.title, code, classifier.labels is not None).encode()
    described = contents.describe(_content(request, facts, agreements, images, LABELS in files), files)
    files[contents.DESCRIPTION] = outputs.to_json(described).encode()
    with outputs.replacing_folder(request.output) as folder:
        for name, data in files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(data)
    return Package(described, agreements, images.title, _notes(request, classifier, facts, images))


class _Images:
    """The images on which clients are compared, in RGB; those that cannot be read are left out.

    Attributes:
        title: what they are, once they were seen.
        skipped: one message for each that was left out.
    """

    def __init__(self, folder: Path | None, steps: Steps) -> None:
        self._paths = find_images(folder) if folder else []
        self._folder, self._steps = folder, steps
        self.skipped: list[str] = []

    def __iter__(self) -> Iterator[Image.Image]:
        if not self._folder:
            made = synthetic_images(SYNTHETIC_IMAGES, SYNTHETIC_SEED, SYNTHETIC_SIZE)
            yield from map(Image.fromarray, self._steps.track(made, SYNTHETIC_IMAGES))
            return
        for path in self._steps.track(self._paths, len(self._paths)):
            try:
                image = read_image(path)
            except ImageError as error:
                self.skipped.append(str(error))
            else:
                yield image
        if len(self.skipped) == len(self._paths):
            raise ImageError(f"{self._folder}: none of {len(self._paths)} images can be read")

    @property
    def title(self) -> str:
        if not self._folder:
            return f"{SYNTHETIC_IMAGES} built-in synthetic images"
        return f"{len(self._paths) - len(self.skipped)} images given by --data"


def _papers(model: Path, classifier: Classifier) -> dict[str, bytes]:
    """The manifest, the labels and the preprocessing, where there are any."""
    papers = {"preprocessing.json": outputs.to_json(classifier.preprocessing.to_json()).encode()}
    described = manifest.read(model)
    if described:
        papers[manifest.path_of(Path(contents.MODEL)).name] = outputs.to_json(described).encode()
    if classifier.labels is not None:
        papers[LABELS] = "\n".join(_BREAKS.sub(" ", label) for label in classifier.labels).encode()
    return papers


def _content(
    request: Request, facts: Facts, agreements: Sequence[Agreement], images: _Images, labelled: bool
) -> dict[str, Any]:
    return {
        "targets": list(request.targets),
        "model": {
            "file": contents.MODEL,
            "sha256": hashlib.sha256(facts.model).hexdigest(),
            "size_bytes": len(facts.model),
            "classes": facts.classes,
            "input": _endpoint(facts.input),
            "output": _endpoint(facts.output),
        },
        "labels": LABELS if labelled else None,
        "preprocessing": facts.spec.to_json(),
        "golden": contents.golden_json(facts.golden, runtime_version()),
        "clients": {
            "images": images.title,
            "agreements": [
                {
                    "client": one.client.name,
                    "how": one.client.how,
                    "images": one.images,
                    "equal_images": one.equal,
                    "agreement_percent": one.percent,
                }
                for one in agreements
            ],
        },
    }


def _endpoint(info: TensorInfo) -> dict[str, Any]:
    quantized = {"scale": info.scale, "zero_point": info.zero_point} if info.scale else {}
    return {"name": info.name, "shape": list(info.shape), "dtype": info.dtype} | quantized


def _readme(
    facts: Facts, agreements: Sequence[Agreement], images: str, code: Mapping[str, bytes], labelled: bool
) -> str:
    spec, golden = facts.spec, facts.golden
    rows = (f"| {one.client.name} | {one.equal} of {one.images} | {one.client.how} |" for one in agreements)
    values = {
        "model_length": f"{len(facts.model):,}",
        "model_sha256": hashlib.sha256(facts.model).hexdigest(),
        "input_type": facts.input.dtype,
        "output_type": facts.output.dtype,
        "classes": f"{facts.classes:,}",
        "labels": f"`{LABELS}`" if labelled else "none: the model's manifest has none",
        **{name: str(getattr(spec, name)) for name in ("height", "width", "crop", "interpolation")},
        "crop_fraction": f"{spec.crop_fraction:g}",
        "mean": ", ".join(f"{value:g}" for value in spec.mean),
        "std": ", ".join(f"{value:g}" for value in spec.std),
        "code": snippets.code_list(code),
        "runtime": runtime_version(),
        "kernel_tolerance": f"{golden.kernel_tolerance_steps:g}",
        "input_step": f"{golden.input_step:g}",
        "output_step": f"{golden.output_step:g}",
        "images": images,
        "agreements": "\n".join(rows),
    }
    return snippets.fill("README.md", values)


def _notes(request: Request, classifier: Classifier, facts: Facts, images: _Images) -> tuple[str, ...]:
    refusal = snippets.mediapipe_refusal(facts)
    phones = [target for target in request.targets if target in ("android", "ios")]
    return (
        *([classifier.note] if classifier.note else []),
        *([] if classifier.labels else ["The model has no labels: convert --labels FILE puts them into its manifest."]),
        *([f"Without the code for MediaPipe: {refusal}."] if refusal and phones else []),
        *(f"skipped {skipped}" for skipped in images.skipped),
    )
