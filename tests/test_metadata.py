"""TFLite Model Metadata against its owner's schema and reader, and against files that are wrong."""

import importlib.resources
import io
import json
import random
import re
import shutil
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from lite_toolkit.cli.main import main
from lite_toolkit.conversion import pipeline
from lite_toolkit.errors import ModelError
from lite_toolkit.images.preprocessing import PRESETS
from lite_toolkit.measurement.classification import Classifier
from lite_toolkit.measurement.description import describe
from lite_toolkit.runtime.interpreter import Model
from lite_toolkit.tflite import manifest, metadata
from lite_toolkit.tflite.flatbuffer import root
from lite_toolkit.tflite.flatbuffer_writer import Numbers, Scalar, Value
from lite_toolkit.tflite.flatbuffer_writer import write as flatbuffer
from lite_toolkit.tflite.graph import read_graph
from lite_toolkit.tflite.inspection import inspect
from lite_toolkit.tflite.metadata import Metadata, Normalization, ScoreCalibration, archive, entries, schema
from lite_toolkit.tflite.metadata import files as metadata_files
from lite_toolkit.tflite.metadata.contradictions import contradictions
from lite_toolkit.tflite.schema import FIELDS

NAMES = tuple(f"class {index}" for index in range(1000))
SIGMOIDS = ScoreCalibration(("1.0,0.5,0.1",) * 999 + ("",), "INVERSE_LOGISTIC", 0.25)
FULL = Metadata(
    name="Möbel",
    description="What stands in rooms.",
    version="2",
    author="somebody",
    license="Apache-2.0",
    normalization=Normalization((123.5, 116.25, 103.5), (58.5, 57.0, 57.5)),
    labels={"": NAMES, "de": tuple(f"Klasse {index}" for index in range(1000))},
    score_threshold=0.25,
    score_calibration=SIGMOIDS,
    files=("labels-de.txt", "labels.txt", "score_calibration.txt"),
)


@pytest.fixture(scope="module")
def converted(convert: Callable[..., pipeline.Conversion]) -> Path:
    """An int8 model of the pipeline, beside its manifest; not to be changed."""
    return convert("lite0", "int8").files[0].path


@pytest.fixture(scope="module")
def named(convert: Callable[..., pipeline.Conversion]) -> Path:
    """A float model of the pipeline with labels and probabilities."""
    return convert("lite0", "float32", labels=NAMES, activation="softmax").files[0].path


@pytest.fixture(scope="module")
def bare(converted: Path) -> bytes:
    """The same as the quantizer wrote it."""
    return metadata.strip(converted)


@pytest.fixture(scope="module")
def full(bare: bytes) -> bytes:
    """With all that there is."""
    return metadata.write(bare, FULL)


@pytest.fixture
def model(converted: Path, tmp_path: Path) -> Path:
    """A copy with its manifest."""
    for source in (converted, manifest.path_of(converted)):
        shutil.copy(source, tmp_path)
    return tmp_path / converted.name


@pytest.fixture(scope="module")
def owner() -> ModuleType:
    """The reader and writer that the schema's owner generates."""
    return pytest.importorskip("mediapipe.tasks.metadata.metadata_schema_py_generated")


def problems(path: Path) -> list[str]:
    """Where the metadata of a model contradicts it or its manifest."""
    graph = read_graph(path)
    return contradictions(path, graph, metadata.read(graph))


def run(*arguments: object) -> Any:
    return CliRunner().invoke(main, ["metadata", *map(str, arguments)])


def payload(content: bytes) -> bytes:
    """The buffer of the metadata."""
    graph = read_graph(content)
    (number,) = (entry.buffer for entry in graph.metadata if entry.name == "TFLITE_METADATA")
    return bytes(graph.buffer_content(number))


# What is written


def test_all_that_is_written_is_read(full: bytes) -> None:
    assert metadata.read(full) == FULL


def test_taking_it_away_leaves_the_original(bare: bytes, full: bytes) -> None:
    assert metadata.strip(full) == bare
    assert metadata.strip(bare) == bare
    assert metadata.read(bare) is None


def test_equal_arguments_give_equal_bytes(bare: bytes, full: bytes) -> None:
    assert metadata.write(bare, FULL) == metadata.write(full, FULL) == metadata.write(full, Metadata()) == full


def test_what_is_not_given_stays(full: bytes) -> None:
    changed = metadata.read(metadata.write(full, Metadata(name="other", labels={"de": NAMES})))
    assert changed is not None
    assert (changed.name, changed.labels["de"], changed.labels[""]) == ("other", NAMES, NAMES)
    assert (changed.author, changed.score_calibration, changed.normalization) == (
        *(FULL.author, FULL.score_calibration, FULL.normalization),
    )


LABELS = "TENSOR_AXIS_LABELS"
OTHERS = tuple(f"other {index}" for index in range(1000))


def of_others(
    bare: bytes, files: dict[str, tuple[str, ...]], scores: list[dict[str, str]], **document: list[dict[str, str]]
) -> bytes:
    """A model with files of labels, entries of its output, and more of a document."""
    ends = {"input_tensor_metadata": [{}], "output_tensor_metadata": [{"associated_files": scores}]}
    content = schema.encode({"subgraph_metadata": [ends], **document})
    texts = {name: "\n".join(names).encode() for name, names in files.items()}
    return archive.joined(entries.added(read_graph(bare), [(schema.ENTRY, content)]), texts)


def test_labels_of_another_locale_stay_though_their_file_has_the_name(bare: bytes) -> None:
    english = of_others(bare, {"labels.txt": NAMES}, [{"name": "labels.txt", "type": LABELS, "locale": "en"}])
    changed = metadata.write(english, Metadata(labels={"": OTHERS}))
    found = metadata.read(changed)
    assert found is not None
    assert found.labels == {"": OTHERS, "en": NAMES}
    assert found.files == ("labels-2.txt", "labels.txt")
    # MediaPipe takes the first file for the classes' own names.
    assert [*found.labels] == ["", "en"]
    assert metadata.write(changed, Metadata(labels={"": OTHERS})) == changed


def test_of_two_files_of_one_locale_the_first_counts(bare: bytes) -> None:
    scores = [{"name": name, "type": LABELS} for name in ("b.txt", "a.txt")]
    found = metadata.read(of_others(bare, {"a.txt": OTHERS, "b.txt": NAMES}, scores))
    assert found is not None
    assert found.labels == {"": NAMES}


def test_a_replaced_file_stays_where_something_else_names_it(bare: bytes) -> None:
    entry = {"name": "labels.txt", "type": LABELS}
    shared = of_others(bare, {"labels.txt": NAMES}, [entry], associated_files=[entry])
    files = archive.files(metadata.write(shared, Metadata(labels={"": OTHERS})))
    assert {name: text.decode().splitlines()[0] for name, text in files.items()} == {
        "labels.txt": "class 0",
        "labels-2.txt": "other 0",
    }


def test_the_files_are_a_plain_archive(full: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(full)) as opened:
        assert opened.testzip() is None
        members = opened.infolist()
        assert opened.read("labels.txt").decode().splitlines() == list(NAMES)
    assert {(member.compress_type, member.date_time) for member in members} == {(0, (1980, 1, 1, 0, 0, 0))}
    # Offsets count from the start of the file, for readers that do not look for the archive's own start.
    assert full[members[0].header_offset :].startswith(b"PK\x03\x04")


def test_the_files_are_the_same_from_every_system(bare: bytes, full: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "win32")
    assert metadata.write(bare, FULL) == full


def test_the_model_runs_as_before(bare: bytes, full: bytes) -> None:
    image = np.random.default_rng(0).normal(size=(64, 64, 3)).astype(np.float32)
    assert Model(full).scores(image).tolist() == Model(bare).scores(image).tolist()


def test_buffers_behind_the_tables_are_found_again(convert: Callable[..., pipeline.Conversion]) -> None:
    written = convert("lite0", "float16").files[0].path.read_bytes()
    plain = metadata.strip(written)
    tables = root(plain, FIELDS["Model"], "model").tables("buffers", FIELDS["Buffer"])
    assert max(table.integer("offset", "Q") for table in tables) > 1_000_000
    assert metadata.write(plain, metadata.read(written) or Metadata()) == written
    image = np.random.default_rng(0).normal(size=(64, 64, 3)).astype(np.float32)
    assert Model(written).scores(image).tolist() == Model(plain).scores(image).tolist()


def test_other_entries_are_kept(bare: bytes, full: bytes) -> None:
    before, after = read_graph(bare), read_graph(full)
    assert [*before.metadata] == [*after.metadata[:-1]] != []
    assert after.subgraphs[0].operators == before.subgraphs[0].operators
    for old, new in zip(before.buffers, after.buffers[:-1], strict=True):
        assert bare[old.offset : old.offset + old.size] == full[new.offset : new.offset + new.size]
        assert not old.size or (new.offset - old.offset) % 64 == 0


def small(operator: dict[int, Value] | None = None, **fields: Value) -> bytes:
    """A model of one operator, with other fields of the root and of the operator."""
    tensor: Value = {0: Numbers("i", [1, 4]), 1: Scalar("b", 0), 2: Scalar("I", 0), 3: "t"}
    made: Value = {0: Scalar("I", 0), 1: Numbers("i", [0]), 2: Numbers("i", [1]), **(operator or {})}
    graph: Value = {0: [tensor, tensor], 1: Numbers("i", [0]), 2: Numbers("i", [1]), 3: [made]}
    code: Value = {0: Scalar("b", 32), 1: "own", 3: Scalar("i", 32)}
    numbered = {int(name.removeprefix("field")): value for name, value in fields.items()}
    return flatbuffer({0: Scalar("I", 3), 1: [code], 2: [graph], 4: [{}], **numbered}, b"TFL3")


def test_the_root_keeps_every_field() -> None:
    changed = metadata.write(small(field8=[{0: "weights.bin"}], field9=[{0: Scalar("I", 7)}]), Metadata(name="other"))
    model = root(changed, FIELDS["Model"], "model")
    (group,), (buffer,) = (model.tables(name, {"it": 0}) for name in ("external_buffer_groups", "external_buffers"))
    assert (group.text("it"), buffer.integer("it", "I")) == ("weights.bin", 7)


def test_the_roots_fields_are_the_runtimes() -> None:
    runtime = pytest.importorskip("ai_edge_litert.schema_py_generated")
    assert len(FIELDS["Model"]) == len(vars(runtime.ModelT()))
    numbers = [*vars(runtime.OperatorT())]
    assert FIELDS["Operator"]["large_custom_options_offset"] == numbers.index("largeCustomOptionsOffset")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (small(field10=[{0: "new"}]), "model has field 10 of a later schema, which a changed model would lose"),
        (small({9: Scalar("Q", 640), 10: Scalar("Q", 5)}), r"operators\[0\] has its options behind the tables"),
    ],
)
def test_what_would_be_lost_is_refused(model: bytes, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        metadata.write(model, Metadata(name="other"))
    assert metadata.strip(model) == model


@pytest.mark.parametrize("names", [(schema.ENTRY, schema.ENTRY), (schema.ENTRY, "another", schema.ENTRY)])
def test_of_several_entries_none_is_left(bare: bytes, names: tuple[str, ...]) -> None:
    contents = [(name, schema.encode({"name": f"number {index}"})) for index, name in enumerate(names)]
    several = entries.added(read_graph(bare), contents)
    stripped = metadata.strip(several)
    assert metadata.read(stripped) is None
    left = [name for name in names if name != schema.ENTRY]
    assert [entry.name for entry in read_graph(stripped).metadata][len(read_graph(bare).metadata) :] == left
    assert b"number 0" not in stripped
    changed = metadata.read(metadata.write(several, Metadata(name="new")))
    assert changed is not None
    assert changed.name == "new"


# The owner's words


def test_the_schema_is_the_owners(owner: ModuleType) -> None:
    text = importlib.resources.files("mediapipe.tasks.metadata").joinpath("metadata_schema.fbs").read_text()
    text = re.sub(r"//.*|\(force_align: 16\)", "", text)
    tables = re.findall(r"table (\w+)\s*\{(.*?)\}", text, re.DOTALL)
    assert {name: dict(re.findall(r"(\w+)\s*:\s*([\w\[\]]+)", body)) for name, body in tables} == schema.FORMS
    enumerations = dict(re.findall(r"enum (\w+) : byte \{(.*?)\}", text, re.DOTALL))
    unions = dict(re.findall(r"union (\w+) \{(.*?)\}", text, re.DOTALL))
    assert {name: tuple(re.findall(r"(\w+) = \d+", body)) for name, body in enumerations.items()} == (
        schema._ENUMERATIONS
    )
    assert {name: tuple(re.findall(r"\w+", body)) for name, body in unions.items()} == schema._UNIONS


def example(form: str, depth: int = 0) -> Any:
    """A value with all that a form may have; of a union the last member."""
    plain = {"string": "Wörter", "int": -3, "uint": 7, "float": 0.5, "ubyte": 200}
    if form == "[ubyte]":
        return bytes(range(20))
    if form.startswith("["):
        return [example(form[1:-1]), example(form[1:-1])]
    if form in plain:
        return plain[form]
    if form in schema._ENUMERATIONS:
        return schema._ENUMERATIONS[form][-1]
    if form in schema._UNIONS:
        return {schema._UNIONS[form][-1]: example(schema._UNIONS[form][-1])}
    return {field: example(inside) for field, inside in schema.FORMS[form].items()}


def as_document(owner: ModuleType, found: Any, kind: str) -> Any:
    """What the owner's objects hold, in our words."""
    made = {}
    for field, form in schema.FORMS[kind].items():
        name = "".join(part[:1].upper() + part[1:] for part in field.split("_"))
        value = getattr(found, name[0].lower() + name[1:])
        inner = form.strip("[]")
        if form in schema._UNIONS:
            member = schema._UNIONS[form][getattr(found, f"{name[0].lower()}{name[1:]}Type") - 1]
            value = {member: as_document(owner, value, member)}
        elif form in schema._ENUMERATIONS:
            value = schema._ENUMERATIONS[form][value]
        elif inner in schema.FORMS:
            members = [as_document(owner, one, inner) for one in (value if form.startswith("[") else [value])]
            value = members if form.startswith("[") else members[0]
        elif inner == "string":
            value = [one.decode() for one in value] if form.startswith("[") else value.decode()
        elif form.startswith("["):
            value = bytes(value) if inner == "ubyte" else [*map(float if inner == "float" else int, value)]
        made[field] = value
    return made


def test_the_owner_reads_every_field(owner: ModuleType) -> None:
    document = example("ModelMetadata")
    found = owner.ModelMetadataT.InitFromPackedBuf(schema.encode(document), 0)
    assert as_document(owner, found, "ModelMetadata") == document


def test_every_field_of_the_owners_is_read_and_kept(owner: ModuleType, bare: bytes) -> None:
    import flatbuffers

    document = example("ModelMetadata")
    builder = flatbuffers.Builder(0)
    found = owner.ModelMetadataT.InitFromPackedBuf(schema.encode(document), 0)
    builder.Finish(found.Pack(builder), b"M001")
    theirs = bytes(builder.Output())
    assert schema.decode(theirs) == document
    assert schema.decode(schema.encode(schema.decode(theirs))) == document


def test_the_owner_finds_what_clients_need(owner: ModuleType, full: bytes) -> None:
    content = payload(full)
    assert content[4:8] == b"M001"
    found = owner.ModelMetadataT.InitFromPackedBuf(content, 0)
    assert (found.name.decode(), found.license, found.minParserVersion) == ("Möbel", b"Apache-2.0", b"1.0.0")
    ((subgraph,), (image,), (scores,)) = (
        found.subgraphMetadata,
        found.subgraphMetadata[0].inputTensorMetadata,
        found.subgraphMetadata[0].outputTensorMetadata,
    )
    assert subgraph is not None
    assert image.content.contentPropertiesType == owner.ContentProperties.ImageProperties
    assert image.content.contentProperties.colorSpace == owner.ColorSpaceType.RGB
    (unit,) = image.processUnits
    assert unit.optionsType == owner.ProcessUnitOptions.NormalizationOptions
    assert [*unit.options.mean] == [123.5, 116.25, 103.5]
    assert [*image.stats.max] == pytest.approx([(255 - 123.5) / 58.5, (255 - 116.25) / 57, (255 - 103.5) / 57.5])
    assert [*image.stats.min] == pytest.approx([-123.5 / 58.5, -116.25 / 57, -103.5 / 57.5])
    kinds = [(file.name, file.type, file.locale) for file in scores.associatedFiles]
    assert kinds == [
        (b"labels.txt", owner.AssociatedFileType.TENSOR_AXIS_LABELS, None),
        (b"labels-de.txt", owner.AssociatedFileType.TENSOR_AXIS_LABELS, b"de"),
        (b"score_calibration.txt", owner.AssociatedFileType.TENSOR_AXIS_SCORE_CALIBRATION, None),
    ]
    assert scores.stats is None  # logits have no bounds


def test_probabilities_have_bounds(owner: ModuleType, named: Path) -> None:
    found = owner.ModelMetadataT.InitFromPackedBuf(payload(named.read_bytes()), 0)
    stats = found.subgraphMetadata[0].outputTensorMetadata[0].stats
    assert ([*stats.min], [*stats.max]) == ([0.0], [1.0])


# Models of others


def public(shared: Path) -> bytes:
    return (shared / "edgetpu/pairs/mobilenet_v1_0.25_128_quant.tflite").read_bytes()


def test_a_public_model_is_understood(shared: Path) -> None:
    found = metadata.read(public(shared))
    assert found is not None
    assert found.normalization == Normalization((127.5,), (127.5,))
    assert found.class_names is not None
    assert (len(found.class_names), found.class_names[0]) == (1001, "background")


def test_a_public_model_keeps_what_it_had(shared: Path) -> None:
    before, german = public(shared), tuple(f"Klasse {index}" for index in range(1001))
    changed = metadata.write(before, Metadata(labels={"de": german}))
    old, new = metadata.read(before), metadata.read(changed)
    assert old is not None
    assert new is not None
    assert new.labels == {**old.labels, "de": german}
    assert (new.name, new.description, new.normalization) == (old.name, old.description, old.normalization)
    assert archive.files(changed).keys() == {"imagenet_labels.txt", "labels-de.txt"}
    assert [entry.name for entry in read_graph(changed).metadata] == ["min_runtime_version", "TFLITE_METADATA"]


def test_nothing_of_a_public_models_metadata_is_left(shared: Path) -> None:
    before = public(shared)
    stripped = metadata.strip(before)
    assert metadata.read(stripped) is None
    assert [entry.name for entry in read_graph(stripped).metadata] == ["min_runtime_version"]
    assert b"most prominent object" in before
    assert b"most prominent object" not in stripped
    image = np.random.default_rng(0).normal(size=(128, 128, 3)).astype(np.float32)
    assert Model(stripped).scores(image).tolist() == Model(before).scores(image).tolist()


# The pipeline


def test_conversion_writes_what_the_manifest_says(named: Path) -> None:
    found, beside = metadata.read(named), manifest.read(named)  # which compares the sha256
    assert found is not None
    assert beside is not None
    assert found.normalization == Normalization((127.0,), (128.0,))
    assert found.class_names == NAMES == tuple(beside["labels"])
    assert found.name == named.stem
    assert problems(named) == []


def test_inspection_shows_it(model: Path) -> None:
    metadata_files.write(model, model, FULL, force=True)
    told = CliRunner().invoke(main, ["inspect", str(model)]).stdout
    for words in ("Möbel", "1000: class 0, class 1, class 2, ...", "mean 123.5, 116.25, 103.5", "labels-de.txt"):
        assert words in told
    assert inspect(model).model_metadata == FULL


def test_a_model_without_manifest_is_used_as_its_metadata_says(full: bytes, tmp_path: Path) -> None:
    path = tmp_path / "alone.tflite"
    path.write_bytes(full)
    found = Classifier(str(path))
    assert FULL.normalization is not None
    assert (found.preprocessing.mean, found.preprocessing.std) == FULL.normalization.channels
    assert found.labels == NAMES
    (note,) = found.notes
    assert "metadata" in note


@pytest.fixture
def photograph(photographs: Path) -> Path:
    return sorted(photographs.iterdir())[0]


LATIN = "associated file 'labels.txt' is not a UTF-8 text file of labels"


@pytest.mark.parametrize(
    ("labels", "locale", "doubt"),
    [
        (b"caf\xe9\n" * 1000, "", LATIN),
        (b"cat\n" * 999, "", "999 labels for a model of 1000 classes"),
        (b"cat\n" * 1000, "en_US.UTF-8", None),
    ],
    ids=["latin", "count", "locale"],
)
def test_odd_labels_are_a_hint_that_is_left_out(
    bare: bytes, tmp_path: Path, photograph: Path, labels: bytes, locale: str, doubt: str | None
) -> None:
    path, scores = tmp_path / "alone.tflite", [{"name": "labels.txt", "type": LABELS, "locale": locale}]
    normalized = {"process_units": [{"options": {"NormalizationOptions": {"mean": [1.0], "std": [2.0]}}}]}
    ends = {"input_tensor_metadata": [normalized], "output_tensor_metadata": [{"associated_files": scores}]}
    content = schema.encode({"name": "theirs", "subgraph_metadata": [ends]})
    model = entries.added(read_graph(bare), [(schema.ENTRY, content)])
    path.write_bytes(archive.joined(model, {"labels.txt": labels}))

    found = describe(path)
    assert (found.preprocessing.mean, found.labels is None) == ((1.0,) * 3, doubt is not None)
    assert found.doubt == (f"Not all of the model's metadata is used: {doubt}." if doubt else None)
    done = CliRunner().invoke(main, ["classify", str(path), str(photograph)])
    assert (done.exit_code, done.stderr.count("\n")) == (0, 2 if doubt else 1)
    assert (found.doubt or "") in " ".join(done.stderr.split())

    given = describe(path, preprocessing=PRESETS["lite"], labels=NAMES)
    assert (given.notes, given.labels) == ((), NAMES)

    inspected = inspect(path)
    assert inspected.metadata[-1] == schema.ENTRY
    assert inspected.model_metadata is not None
    assert inspected.model_metadata.name == "theirs"
    assert inspected.model_metadata_error == (doubt if doubt == LATIN else None)


def test_damaged_metadata_is_told_and_left_out(bare: bytes, tmp_path: Path) -> None:
    path = tmp_path / "alone.tflite"
    path.write_bytes(entries.added(read_graph(bare), [(schema.ENTRY, b"nonsense")]))
    found = inspect(path)
    assert (found.metadata[-1], found.model_metadata) == (schema.ENTRY, None)
    told = "metadata: b'ense' where b'M001' belongs"
    assert found.model_metadata_error == told
    assert f"metadata error    {told}" in CliRunner().invoke(main, ["inspect", str(path)]).stdout
    assert describe(path).doubt == f"Not all of the model's metadata is used: {told}."


def test_labels_of_a_manifest_are_shown_without_orders_to_a_terminal(model: Path) -> None:
    beside = json.loads(manifest.path_of(model).read_text())
    named = ["a\x1b]0;title\x07", "two\nlines", "caf\u00e9\u00a0noir", *NAMES[3:]]
    manifest.path_of(model).write_text(json.dumps({**beside, "labels": named}))
    labels = describe(model).labels
    assert labels is not None
    assert [*labels[:4]] == ["a\ufffd]0;title\ufffd", "two lines", "caf\u00e9\u00a0noir", "class 3"]


@pytest.mark.parametrize("locale", ["en_US.UTF-8", "x" * 9, "de\n"])
def test_a_locale_is_written_only_where_it_is_one(bare: bytes, locale: str) -> None:
    with pytest.raises(ModelError, match="must be a language tag such as en or pt-BR"):
        metadata.write(bare, Metadata(labels={locale: NAMES}))


def test_a_single_number_is_no_score_of_classes(tmp_path: Path) -> None:
    path = tmp_path / "scalar.tflite"
    tensors: list[Value] = [{0: Numbers("i", shape), 2: Scalar("I", 0)} for shape in ([1, 8, 8, 3], [])]
    graph: Value = {0: tensors, 1: Numbers("i", [0]), 2: Numbers("i", [1]), 3: []}
    path.write_bytes(flatbuffer({0: Scalar("I", 3), 1: [], 2: [graph], 4: [{}]}, b"TFL3"))
    with pytest.raises(ModelError, match=r"the output has shape \(\): \(1, classes\) is needed"):
        describe(path)


# Contradictions


def test_what_the_manifest_contradicts(model: Path) -> None:
    other = Metadata(normalization=Normalization((0.0,), (1.0,)), labels={"": NAMES})
    metadata_files.write(model, model, Metadata(labels={"": NAMES[::-1]}), force=True)
    content = metadata.write(model, other)
    model.write_bytes(content)
    (problem,) = problems(model)
    assert "their sha256 differ" in problem
    found = json.loads(manifest.path_of(model).read_text())
    manifest.path_of(model).write_text(json.dumps(manifest.moved(found, model, content)))
    mean, labels = problems(model)
    assert mean == (
        "Mean (0.0, 0.0, 0.0) and std (1.0, 1.0, 1.0) are (127.0, 127.0, 127.0) and (128.0, 128.0, 128.0) in the "
        "manifest."
    )
    assert labels == "The labels are other ones than the manifest's."
    done = run("show", model)
    assert (done.exit_code, done.stderr) == (0, f"warning: {mean}\nwarning: {labels}\n")
    assert json.loads(run("show", model, "--json").stdout)["problems"] == [mean, labels]


def test_files_that_do_not_fit_the_model(full: bytes, tmp_path: Path) -> None:
    files = archive.files(full)
    files["labels.txt"] += b"one more\n"
    del files["score_calibration.txt"]
    path = tmp_path / "model.tflite"
    path.write_bytes(archive.joined(full[: archive.model_bytes(full)], files))
    assert problems(path) == [
        "The file 'score_calibration.txt' is named, but not there.",
        "There are 1001 labels for 1000 classes.",
    ]


# The command


def test_write_strip_and_extract(model: Path, bare: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "names.txt").write_text("\n".join(NAMES))
    options = ["--labels", tmp_path / "names.txt", "--labels", f"{tmp_path / 'names.txt'}:pt-BR", "--name", "mine"]
    new = tmp_path / "new/model.tflite"
    done = run("write", model, "-o", new, *options, "--mean", "1,2,3", "--std", "4,5,6", "--score-threshold", 0.5)
    assert (done.exit_code, done.stdout) == (0, f"wrote {new}\n"), done.output
    found, beside = metadata.read(new), manifest.read(new)
    assert found is not None
    assert beside is not None
    assert (found.name, found.score_threshold, found.labels) == ("mine", 0.5, {"": NAMES, "pt-BR": NAMES})
    assert (beside["labels"], beside["model"]["file"]) == (list(NAMES), "model.tflite")
    assert manifest.preprocessing(beside).mean == (1.0, 2.0, 3.0)
    assert problems(new) == []

    assert run("extract", new, "-o", tmp_path / "files").exit_code == 0
    assert {path.name for path in (tmp_path / "files").iterdir()} == {"labels.txt", "labels-pt-BR.txt"}
    assert (tmp_path / "files/labels.txt").read_text().splitlines() == list(NAMES)
    assert "--force" in run("extract", new, "-o", tmp_path / "files").stderr
    monkeypatch.chdir(tmp_path / "files")
    assert run("extract", new).stdout == f"wrote {Path('model/labels-pt-BR.txt')}\nwrote {Path('model/labels.txt')}\n"

    assert run("strip", new, "-o", tmp_path / "bare/model.tflite").exit_code == 0
    assert (tmp_path / "bare/model.tflite").read_bytes() == bare
    assert manifest.read(tmp_path / "bare/model.tflite") is not None


def test_a_model_is_changed_in_place_only_by_force(model: Path) -> None:
    before = model.read_bytes()
    done = run("write", model, "--preprocessing", "inception")
    assert (done.exit_code, "pass --force" in done.stderr, model.read_bytes()) == (1, True, before)
    assert run("write", model, "--preprocessing", "inception", "--force").exit_code == 0
    found = metadata.read(model)
    assert found is not None
    assert found.normalization == Normalization((127.5,), (127.5,))
    assert sorted(path.suffix for path in model.parent.iterdir()) == [".json", ".tflite"]


@pytest.mark.parametrize("command", [("write", "--name", "new"), ("strip",)])
def test_a_manifest_goes_with_the_model_that_it_belongs_to(
    model: Path, bare: bytes, tmp_path: Path, command: tuple[str, ...]
) -> None:
    plain, beside = tmp_path / "plain.tflite", manifest.path_of(model)
    plain.write_bytes(bare)
    before = beside.read_bytes()
    model.unlink()
    done = run(command[0], plain, *command[1:], "-o", model)  # beside it, the manifest would be another's
    assert (done.exit_code, done.stderr) == (
        1,
        f"Error: {beside} exists: pass --force to replace it, or choose another output\n",
    )
    assert (beside.read_bytes(), model.exists()) == (before, False)
    assert run(command[0], plain, *command[1:], "-o", model, "--force").exit_code == 0
    assert not beside.exists()
    assert run("show", model).exit_code == 0


def test_a_file_of_somebody_elses_stays_beside_the_model(model: Path, bare: bytes, tmp_path: Path) -> None:
    plain, beside = tmp_path / "plain.tflite", manifest.path_of(model)
    plain.write_bytes(bare)
    for content in ('{"my": "settings"}', "no JSON"):
        beside.write_text(content)
        assert run("strip", plain, "-o", model, "--force").exit_code == 0
        assert beside.read_text() == content


def test_what_the_manifest_cannot_say_is_not_written(model: Path) -> None:
    before = model.read_bytes(), manifest.path_of(model).read_bytes()
    done = run("write", model, "--mean", 0, "--std", 1e-5, "--force")
    assert done.exit_code == 1
    assert "std (1e-05, 1e-05, 1e-05): must be three positive numbers" in done.stderr
    assert (model.read_bytes(), manifest.path_of(model).read_bytes()) == before


def test_a_model_is_read_once_to_show_it(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest.path_of(model).unlink()
    read, times = Path.read_bytes, []
    monkeypatch.setattr(Path, "read_bytes", lambda path: times.append(path) or read(path))  # type: ignore[func-returns-value]
    assert run("show", model).exit_code == 0
    assert times == [model]


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["-o", "new.json"], 2, "-o new.json is the place of a manifest"),
        (["--labels", "two.txt"], 1, "2 labels for a model of 1000 classes"),
        (["--labels", "nowhere.txt:de"], 1, "cannot read labels from nowhere.txt"),
        (["--labels", "two.txt", "--labels", "two.txt"], 2, "two files of locale ''"),
        (["--name", "a\x1bb"], 1, "the name holds the control character U+001B"),
        (["--author", "\udcff"], 1, "the author holds the control character U+DCFF"),
        (["--mean", "1,2"], 2, "'1,2' is neither one number nor three with commas"),
        (["--mean", "127"], 2, "pass --mean and --std together"),
        (["--mean", "127", "--std", "1,2,3"], 1, "must be as many"),
        (["--mean", "127", "--std", "0"], 1, "std (0.0,): must be one number, or three, from 1e-06 to 1e+06"),
        (["--mean", "nan", "--std", "1"], 1, "mean (nan,): must be one number, or three"),
        (["--mean", "1", "--std", "1", "--preprocessing", "lite"], 2, "or --preprocessing instead"),
        (["--score-threshold", "nan"], 2, "'nan' is not a number"),
        (["--mean", "1e300", "--std", "1"], 1, "mean (1e+300,): must be one number, or three, from -1e+06"),
        (["--score-threshold", "-inf"], 1, "score threshold -inf: must be a finite float32"),
        (["--score-calibration", "two.txt"], 1, "score calibration, line 1: 'cat': must be empty, or three or four"),
        (["--score-calibration", "sigmoid.txt"], 1, "1 lines of score calibration for 1000 outputs"),
    ],
)
def test_wrong_options_write_nothing(
    model: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], code: int, message: str
) -> None:
    monkeypatch.chdir(model.parent)
    Path("two.txt").write_text("cat\ndog\n")
    Path("sigmoid.txt").write_text("1,2,3,0.5\n")
    done = run("write", model, "-o", "new.tflite", *options)
    assert (done.exit_code, message in done.stderr) == (code, True), done.output
    assert not Path("new.tflite").exists()


# Hostile files


def with_members(content: bytes, *members: tuple[str | zipfile.ZipInfo, bytes], compression: int = 0) -> bytes:
    stream = io.BytesIO(content)
    with zipfile.ZipFile(stream, "a", compression) as opened:
        for name, inside in members:
            opened.writestr(name, inside)
    return stream.getvalue()


HIDDEN = "associated file .*: must not begin with a dot, which hides a file"
NAME = "associated file .*: must be the name of a file, without folders"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../labels.txt", NAME),
        ("/etc/labels.txt", NAME),
        ("folder/labels.txt", NAME),
        ("folder/", NAME),
        ("..\\labels.txt", NAME),
        ("C:labels.txt", NAME),
        ("..", HIDDEN),
        (".bashrc", HIDDEN),
        ("x" * 256, NAME),
        ("la\x1bbels.txt", "the name holds a control character"),
        ("txt.\u202eslebal", "the name holds a control character"),
        ("labels\n.txt", "the name holds a control character"),
    ],
)
def test_names_that_are_more_than_names(bare: bytes, tmp_path: Path, name: str, message: str) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(with_members(bare, ("good.txt", b"good"), (name, b"bad")))
    done = run("extract", path, "-o", tmp_path / "deep/files")
    assert done.exit_code == 1
    assert re.search(message, done.stderr), done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stderr.strip().isprintable()
    assert [entry.name for entry in tmp_path.iterdir()] == ["m.tflite"]


def link() -> zipfile.ZipInfo:
    member = zipfile.ZipInfo("labels.txt")
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    return member


def patched(content: bytes, signature: bytes, offset: int, layout: str, value: int) -> bytes:
    """With another number at an offset behind the last occurrence of a signature."""
    changed = bytearray(content)
    struct.pack_into(layout, changed, content.rindex(signature) + offset, value)
    return bytes(changed)


CENTRAL = b"PK\x01\x02"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda bare: with_members(bare, ("a", b"x" * 100_000), compression=8), "'a' is compressed"),
        (lambda bare: with_members(bare, (link(), b"/etc/passwd")), "'labels.txt' is a link"),
        (lambda bare: patched(with_members(bare, ("a", b"x")), CENTRAL, 8, "<H", 1), "'a' is encrypted"),
        (lambda bare: patched(with_members(bare, ("a", b"x")), CENTRAL, 24, "<I", 2**31), "larger than 67108864 bytes"),
        (lambda bare: patched(with_members(bare, ("a", b"x"), ("b", b"y")), CENTRAL, 42, "<I", len(bare)), "overlaps"),
        (lambda bare: with_members(bare, *((str(index), b"") for index in range(1001))), "1001 associated files"),
    ],
    ids=["compressed", "link", "encrypted", "huge", "overlapping", "many"],
)
def test_archives_that_no_writer_makes(
    bare: bytes, tmp_path: Path, damage: Callable[[bytes], bytes], message: str
) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(damage(bare))
    done = run("extract", path, "-o", tmp_path / "files")
    assert (done.exit_code, message in done.stderr) == (1, True), done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "files").exists()


def test_too_many_files_are_not_even_listed(bare: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(with_members(bare, *((str(index), b"") for index in range(1001))))
    with pytest.raises(ModelError, match="1001 associated files: at most 1000 are allowed"):
        inspect(path)


@pytest.mark.parametrize("name", ["Namen der M\u00f6bel.txt", "M\u00f6bel\u2026.txt"])
def test_names_beyond_ascii(bare: bytes, name: str) -> None:
    written = with_members(bare, (name, b"cat"), ("z.txt", b"dog"))
    assert archive.files(written) == {name: b"cat", "z.txt": b"dog"}


def test_names_in_the_code_page_of_old_archives(bare: bytes) -> None:
    written = with_members(bare, ("AAAAAAAAAA.txt", b"cat"), ("z.txt", b"dog")).replace(b"AAAAAAAAAA", b"\xb0" * 10)
    assert archive.files(written) == {"\u2591" * 10 + ".txt": b"cat", "z.txt": b"dog"}


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_stands_once(bare: bytes) -> None:
    with pytest.raises(ModelError, match="'a' is there 2 times"):
        archive.files(with_members(bare, ("a", b"x"), ("a", b"y")))


def test_damaged_metadata_is_refused_or_read(full: bytes) -> None:
    choose, whole, outcomes = random.Random(3), payload(full), {"read": 0, "refused": 0}
    for _ in range(3000):
        content = bytearray(whole)
        for _ in range(choose.choice((1, 1, 2, 8))):
            content[choose.randrange(len(content))] = choose.choice((0, 1, 4, 127, 128, 255, choose.randrange(256)))
        if choose.random() < 0.1:
            del content[choose.randrange(8, len(content)) :]
        try:
            document = schema.decode(bytes(content))
            metadata.documents.described(document, {"labels.txt": b"cat\n"}).to_json()
            schema.encode(document)
            outcomes["read"] += 1
        except ModelError:
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 300


def test_damaged_models_are_refused_or_changed(full: bytes) -> None:
    """The new root before the file, and the archive behind it."""
    choose, head, outcomes = random.Random(4), full[:2048], {"done": 0, "refused": 0}
    for _ in range(40):
        content = bytearray(full)
        places = (choose.randrange(8, len(head)), len(full) - 1 - choose.randrange(400))
        content[choose.choice(places)] = choose.randrange(256)
        try:
            metadata.strip(bytes(content))
            metadata.write(bytes(content), Metadata(name="other"))
            outcomes["done"] += 1
        except ModelError:
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 5
