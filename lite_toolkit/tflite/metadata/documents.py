"""Between what people say of a classifier and the documents of the schema."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import count
from typing import Any

from lite_toolkit import labels
from lite_toolkit.errors import ModelError
from lite_toolkit.runtime import heads
from lite_toolkit.text import shown
from lite_toolkit.tflite import ending
from lite_toolkit.tflite.graph import Graph, Subgraph
from lite_toolkit.tflite.metadata import schema
from lite_toolkit.tflite.metadata.values import (
    LOCALE,
    TEXTS,
    Metadata,
    Normalization,
    ScoreCalibration,
    calibration_lines,
)

Document = dict[str, Any]
Files = dict[str, bytes]

_LABELS, _CALIBRATION = "TENSOR_AXIS_LABELS", "TENSOR_AXIS_SCORE_CALIBRATION"
_BOTH_LABELS = "TENSOR_VALUE_LABELS"  # of what an output is rounded to: 0 and 1 of one that tells two classes
_PARSER = "1.0.0"  # the oldest that knows labels, normalization, thresholds and calibration
_PIXELS = {"max": 255, "min": 0}
_FILES = {field for forms in schema.FORMS.values() for field, form in forms.items() if form == "[AssociatedFile]"}


def document_of(graph: Graph) -> dict[str, Any] | None:
    """The first metadata of a model; clients read no other."""
    for entry in graph.metadata:
        if entry.name == schema.ENTRY:
            return schema.decode(bytes(graph.buffer_content(entry.buffer)))
    return None


def described(document: Mapping[str, Any], files: Mapping[str, bytes]) -> Metadata:
    """What a document and the files that it names say; of several inputs or outputs, the first.

    Raises:
        ModelError: a file of labels or of calibration, or the normalization, is none.
    """
    subgraph = _first(document.get("subgraph_metadata"))
    image, scores = (_first(subgraph.get(f"{end}_tensor_metadata")) for end in ("input", "output"))
    return Metadata(
        **{name: shown(document[name]) for name in TEXTS if name in document},
        normalization=_normalization(image),
        labels=_labels(scores, files),
        score_threshold=_option(scores, "ScoreThresholdingOptions").get("global_score_threshold"),
        score_calibration=_calibration(scores, files),
        files=tuple(map(shown, files)),
    )


def composed(graph: Graph, old: Mapping[str, Any], kept: Mapping[str, bytes], new: Metadata) -> tuple[Document, Files]:
    """The document and the files of a model with what is new; the rest of `old` and of `kept` stays.

    Raises:
        ModelError: the model is no classifier of images, or what is new does not fit its classes or has no true locale.
    """
    main = graph.subgraphs[0]
    _require_fitting(main, new)
    subgraph, *others = old.get("subgraph_metadata") or [{}]
    image, scores = (_first(subgraph.get(f"{end}_tensor_metadata")) for end in ("input", "output"))
    scores = _without_replaced(scores, new, outputs_of(main))
    left = {**old, "subgraph_metadata": [subgraph | {"output_tensor_metadata": [scores]}, *others]}
    before, named = ({*_named_files(document)} for document in (old, left))
    files = {name: content for name, content in kept.items() if name not in before - named}
    entries, written = _new_files(new, files.keys() | named, outputs_of(main))
    probability = ending.ends(main) in ({"SOFTMAX"}, {"LOGISTIC"})
    tensors = {
        "input_tensor_metadata": [_with_image(image, new, grey=_is_grey(main))],
        "output_tensor_metadata": [_with_scores(scores, new, entries, probability)],
    }
    texts = {name: getattr(new, name) for name in TEXTS if getattr(new, name) is not None}
    parser = {"min_parser_version": old.get("min_parser_version", _PARSER)}
    return {**left, **texts, "subgraph_metadata": [subgraph | tensors, *others], **parser}, files | written


def missing_files(graph: Graph, files: Collection[str]) -> list[str]:
    """The files that a model's metadata names for its first output and that are not there, as they are shown."""
    scores = _first(_first((document_of(graph) or {}).get("subgraph_metadata")).get("output_tensor_metadata"))
    named = [shown(file.get("name", "")) for file in scores.get("associated_files", ())]
    return [name for name in named if name not in files]


def outputs_of(main: Subgraph) -> int:
    """The length of the last axis of the first output; 1 of a scalar, and 0 without outputs."""
    shape = main.tensors[main.outputs[0]].shape if main.outputs else (0,)
    return shape[-1] if shape else 1


def _is_grey(main: Subgraph) -> bool:
    shape = main.tensors[main.inputs[0]].shape
    return len(shape) == 4 and shape[3] == 1


def _with_image(tensor: Document, new: Metadata, *, grey: bool) -> Document:
    if new.normalization is None:
        return tensor
    kind, space = ("Grey", "GRAYSCALE") if grey else ("RGB", "RGB")
    made: Document = {"name": "image", "description": f"{kind} image, normalized from pixels of 0 to 255."} | tensor
    made.setdefault("content", {"content_properties": {"ImageProperties": {"color_space": space}}})
    mean, std = new.normalization.mean, new.normalization.std
    made["stats"] = {end: [(pixel - m) / s for m, s in zip(mean, std, strict=True)] for end, pixel in _PIXELS.items()}
    return _with_option(made, "NormalizationOptions", {"mean": list(mean), "std": list(std)})


def _with_scores(tensor: Document, new: Metadata, entries: Sequence[Document], probability: bool) -> Document:
    made: Document = {"name": "score", "description": "One score for each class."} | tensor
    made.setdefault("content", {"content_properties": {"FeatureProperties": {}}})
    if probability:
        made.setdefault("stats", {"max": [1.0], "min": [0.0]})
    if entries:
        files = [*tensor.get("associated_files", ()), *entries]
        # MediaPipe takes the classes' own names from the first file of labels, whatever its locale.
        made["associated_files"] = sorted(files, key=lambda file: _kind(file) != (_LABELS, ""))
    if new.score_threshold is not None:
        made = _with_option(made, "ScoreThresholdingOptions", {"global_score_threshold": new.score_threshold})
    if new.score_calibration:
        transformation, default = new.score_calibration.transformation, new.score_calibration.default_score
        options = {"score_transformation": transformation, "default_score": default}
        made = _with_option(made, "ScoreCalibrationOptions", options)
    return made


def _with_option(tensor: Document, name: str, values: Document) -> Document:
    others = [unit for unit in tensor.get("process_units", ()) if name not in unit.get("options", {})]
    return {**tensor, "process_units": [*others, {"options": {name: values}}]}


def _new_files(new: Metadata, taken: Collection[str], outputs: int) -> tuple[list[Document], Files]:
    """The entries of new files among those of the output, and the files, under names that are not taken."""
    entries: list[Document] = []
    files: Files = {}
    for locale, names in new.labels.items():
        for kind, stem, description, told in _label_files(names, outputs):
            name = _free_name(f"{stem}-{locale}" if locale else stem, {*taken, *files})
            entry = {"name": name, "description": description, "type": kind}
            entries.append(entry | ({"locale": locale} if locale else {}))
            files[name] = "".join(f"{label}\n" for label in told).encode()
    if new.score_calibration:
        name = _free_name("score_calibration", taken)
        description = "Scale, slope and offset of a sigmoid for each class."
        entries.append({"name": name, "description": description, "type": _CALIBRATION})
        # Without a newline at the end, which would begin one class more.
        files[name] = "\n".join(new.score_calibration.lines).encode()
    return entries, files


def _label_files(names: Sequence[str], outputs: int) -> Iterator[tuple[str, str, str, Sequence[str]]]:
    """Type, stem and description of each file that holds the names, and what of them it holds.

    MediaPipe demands a label for each output, so that of two classes by one output it learns the second's name, whose
    score the output is; both are in a file that it passes over.
    """
    yield _LABELS, "labels", "Names of the classes, one a line.", names[-outputs:]
    if outputs < len(names):
        yield _BOTH_LABELS, "both_labels", "Names of the two classes: of a low score, and of a high one.", names


def _free_name(stem: str, taken: Collection[str]) -> str:
    names = (f"{stem}-{number}.txt" if number > 1 else f"{stem}.txt" for number in count(1))
    return next(name for name in names if name not in taken)


def _without_replaced(tensor: Document, new: Metadata, outputs: int) -> Document:
    """A tensor without the files whose place new ones take."""
    if "associated_files" not in tensor:
        return tensor
    kinds = {(kind, locale) for locale in new.labels for kind in (_LABELS, *([_BOTH_LABELS] if outputs == 1 else []))}
    kinds |= {(_CALIBRATION, "")} if new.score_calibration else set()
    return {**tensor, "associated_files": [file for file in tensor["associated_files"] if _kind(file) not in kinds]}


def _kind(file: Mapping[str, Any]) -> tuple[str | None, str]:
    """The type and the locale of an associated file."""
    return file.get("type"), file.get("locale", "")


def _named_files(document: Mapping[str, Any]) -> Iterator[str]:
    """The names of all files that a document refers to."""
    for field, value in document.items():
        for inside in value if isinstance(value, list) else [value]:
            if isinstance(inside, Mapping):
                yield from [inside.get("name", "")] if field in _FILES else _named_files(inside)


def _require_fitting(main: Subgraph, new: Metadata) -> None:
    if len(main.inputs) != 1 or len(main.outputs) != 1:
        counts = f"{len(main.inputs)} inputs and {len(main.outputs)} outputs"
        raise ModelError(f"a model of {counts}: metadata is written for classifiers of one each")
    outputs = outputs_of(main)
    for locale, names in new.labels.items():
        if locale and not re.fullmatch(LOCALE, locale):
            raise ModelError(f"metadata: locale {locale!r}: must be a language tag such as en or pt-BR")
        heads.require_labels(names, outputs)
        for number, label in enumerate(names):
            labels.require_plain(label, f"class {number}")
    if new.score_calibration and len(new.score_calibration.lines) != outputs:
        raise ModelError(f"{len(new.score_calibration.lines)} lines of score calibration for {outputs} outputs")


def _first(found: Sequence[Document] | None) -> Document:
    return found[0] if found else {}


def _option(tensor: Mapping[str, Any], name: str) -> Document:
    units = (unit.get("options", {}) for unit in tensor.get("process_units", ()))
    return next((unit[name] for unit in units if name in unit), {})


def _files(tensor: Mapping[str, Any], kind: str) -> list[Document]:
    return [file for file in tensor.get("associated_files", ()) if file.get("type") == kind]


def _normalization(image: Mapping[str, Any]) -> Normalization | None:
    options = _option(image, "NormalizationOptions")
    return Normalization(tuple(options.get("mean", ())), tuple(options.get("std", ()))) if options else None


def _labels(scores: Mapping[str, Any], files: Mapping[str, bytes]) -> dict[str, tuple[str, ...]]:
    """Of several files of one locale, clients take the first."""
    found, both = (_parsed_labels(_files(scores, kind), files) for kind in (_LABELS, _BOTH_LABELS))
    pairs = {locale: names for locale, names in both.items() if names[1:] == found.get(locale)}
    return found | pairs


def _parsed_labels(entries: Sequence[Document], files: Mapping[str, bytes]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for file in entries:
        name, locale = file.get("name", ""), shown(file.get("locale", ""))
        if name in files and locale not in found:
            found[locale] = labels.parse(files[name], f"associated file {name[:60]!r}")
    return found


def _calibration(scores: Mapping[str, Any], files: Mapping[str, bytes]) -> ScoreCalibration | None:
    options, named = _option(scores, "ScoreCalibrationOptions"), _first(_files(scores, _CALIBRATION))
    if named.get("name") not in files:
        return None
    lines = calibration_lines(files[named["name"]].decode(errors="replace"))
    return ScoreCalibration(lines, options.get("score_transformation", "IDENTITY"), options.get("default_score", 0.0))
