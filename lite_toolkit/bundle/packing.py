"""A model -> its bundle: golden vectors, code for each platform, and how often each client's resize agrees."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lite_toolkit import outputs
from lite_toolkit.bundle import clients, contents, snippets, vectors
from lite_toolkit.bundle.clients import Survey
from lite_toolkit.bundle.snippets import Facts
from lite_toolkit.bundle.targets import TARGETS
from lite_toolkit.decoding import encode
from lite_toolkit.documents import sha256
from lite_toolkit.errors import OutputError, UsageError, require_choice
from lite_toolkit.images.preprocessing import Sized
from lite_toolkit.measurement.classification import Classifier
from lite_toolkit.progress import Steps
from lite_toolkit.text import shown
from lite_toolkit.tflite import manifest

LABELS = "labels.txt"
_SYNTHETIC_NOTE = (
    "Clients were compared on synthetic images, whose best class changes far more easily than a photograph's: "
    "pass --data DIR."
)


@dataclass(frozen=True)
class Request:
    """What to package.

    Attributes:
        model: the `.tflite` file; its manifest is beside it.
        targets: names of `targets.TARGETS`.
        output: the folder to make.
        data: folder of photographs on which clients are compared; None for built-in synthetic images.
        preprocessing: None is what its manifest tells.
        force: replace a bundle that is there.
    """

    model: Path
    targets: tuple[str, ...]
    output: Path
    data: Path | None = None
    preprocessing: Sized | None = None
    force: bool = False

    def __post_init__(self) -> None:
        if not self.targets:
            raise UsageError(f"--target: choose from {', '.join(TARGETS)}")
        for target in self.targets:
            require_choice("--target", target, TARGETS)


@dataclass(frozen=True)
class Package:
    """A bundle that was written.

    Attributes:
        described: the content of its `bundle.json`.
        survey: of clients.
        notes: what the user should know, one sentence each.
    """

    described: Mapping[str, Any]
    survey: Survey
    notes: tuple[str, ...]


def package(request: Request, steps: Steps | None = None) -> Package:
    """Make the bundle; nothing is written unless all of it could be made.

    Raises:
        LiteToolkitError: the model or an image cannot be used, a target does not take the model, or the folder exists
            or cannot be written.
    """
    steps = steps or Steps()
    outputs.require_free_folder(request.output, request.force, contents.DESCRIPTION)
    _require_nothing_else(request.output)
    classifier = Classifier(request.model, preprocessing=request.preprocessing, threads=1)
    content, spec = request.model.read_bytes(), classifier.preprocessing
    with steps.step("golden vectors"):
        golden, golden_files = vectors.record(content, spec, classifier.model.head)
    model = classifier.model
    facts = Facts(content, model.input, model.output, model.head, spec, golden, golden_files)
    code = snippets.sources(request.targets, facts)
    with steps.step("clients"):
        survey = clients.survey(classifier.model, spec, request.data, steps)
    files = {contents.MODEL: content, **golden_files, **code, **_papers(request.model, classifier)}
    files["README.md"] = _readme(facts, survey, code, LABELS in files).encode()
    described = contents.describe(_content(request, facts, survey, LABELS in files), files)
    files[contents.DESCRIPTION] = outputs.to_json(described).encode()
    with outputs.replacing_folder(request.output, request.force, contents.DESCRIPTION) as folder:
        for name, data in files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(data)
        _require_nothing_else(request.output)  # which may have come there meanwhile
    return Package(
        described, survey, _notes(request, classifier, facts) + tuple(f"skipped {what}" for what in survey.skipped)
    )


def _require_nothing_else(folder: Path) -> None:
    """Refuse to replace a bundle among whose files lies something of the user's."""
    found = list(contents.unlisted(contents.read(folder))) if (folder / contents.DESCRIPTION).is_file() else []
    if found:
        raise OutputError(f"{folder} is not replaced: {', '.join(found)} is not of the bundle; choose another output")


def _papers(model: Path, classifier: Classifier) -> dict[str, bytes]:
    """The manifest, the labels and the preprocessing, where there are any."""
    papers = {"preprocessing.json": outputs.to_json(classifier.preprocessing.to_json()).encode()}
    described = manifest.read(model)
    if described:
        papers[manifest.path_of(Path(contents.MODEL)).name] = outputs.to_json(described).encode()
    if classifier.labels is not None:
        papers[LABELS] = "\n".join(shown(label) for label in classifier.labels).encode()
    return papers


def _content(request: Request, facts: Facts, survey: Survey, labelled: bool) -> dict[str, Any]:
    return {
        "targets": list(request.targets),
        "model": {
            "file": contents.MODEL,
            "sha256": sha256(facts.model),
            "size_bytes": len(facts.model),
            "classes": facts.classes,
            "head": facts.head,
            "input": facts.input.to_json(),
            "output": facts.output.to_json(),
        },
        "labels": LABELS if labelled else None,
        "preprocessing": facts.spec.to_json(),
        "golden": encode(facts.golden),
        "clients": {
            "images": survey.images,
            "agreements": [
                {
                    "client": one.client.name,
                    "how": one.client.how,
                    "images": one.images,
                    "equal_images": one.equal,
                    "agreement_percent": one.percent,
                }
                for one in survey.agreements
            ],
        },
    }


def _readme(facts: Facts, survey: Survey, code: Mapping[str, bytes], labelled: bool) -> str:
    spec, golden = facts.spec, facts.golden
    rows = (f"| {one.client.name} | {one.equal} of {one.images} | {one.client.how} |" for one in survey.agreements)
    values = {
        "model_length": f"{len(facts.model):,}",
        "model_sha256": sha256(facts.model),
        "input_type": facts.input.dtype,
        "output_type": facts.output.dtype,
        "classes": f"{facts.classes:,}",
        "meaning": facts.meaning,
        "labels": f"`{LABELS}`" if labelled else "none: the model's manifest has none",
        **{name: str(getattr(spec, name)) for name in ("height", "width", "channels", "crop", "interpolation")},
        "crop_fraction": f"{spec.crop_fraction:g}",
        "mean": ", ".join(f"{value:g}" for value in spec.mean),
        "std": ", ".join(f"{value:g}" for value in spec.std),
        "code": snippets.code_list(code),
        "runtime": golden.runtime,
        "kernel_tolerance": f"{golden.tolerance_steps['kernel']:g}",
        "input_step": f"{golden.input_step:g}",
        "output_step": f"{golden.output_step:g}",
        "images": survey.images,
        "agreements": "\n".join(rows),
    }
    return snippets.fill("README.md", values)


def _notes(request: Request, classifier: Classifier, facts: Facts) -> tuple[str, ...]:
    refusal = snippets.mediapipe_refusal(facts)
    phones = [target for target in request.targets if target in ("android", "ios")]
    return (
        *classifier.notes,
        *([] if classifier.labels else ["The model has no labels: convert --labels FILE puts them into its manifest."]),
        *([f"Without the code for MediaPipe: {refusal}."] if refusal and phones else []),
        *([] if request.data else [_SYNTHETIC_NOTE]),
    )
