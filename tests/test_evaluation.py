"""The command that evaluates, against figures that numpy computes from the scores of a plain loop."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from lite_toolkit.board.inference import Shape
from lite_toolkit.cli import main
from lite_toolkit.conversion import pipeline
from lite_toolkit.devices import profiles
from lite_toolkit.errors import JobError, ModelError, OutputError, UsageError
from lite_toolkit.images.files import find_images, read_image
from lite_toolkit.images.preprocessing import google_lite
from lite_toolkit.measurement import evaluation
from lite_toolkit.measurement.evaluation import Request, evaluate
from lite_toolkit.measurement.validation import validate
from lite_toolkit.runtime import children as processes
from lite_toolkit.runtime import interpreter
from lite_toolkit.tflite import metadata
from lite_toolkit.tflite.metadata import Metadata, Normalization

COMMAND = str(Path(sysconfig.get_path("scripts"), "lite-toolkit"))
Convert = Callable[..., pipeline.Conversion]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main.main, ["evaluate", *map(str, arguments)])


def report(*arguments: object) -> dict[str, Any]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def figures(document: dict[str, Any]) -> dict[str, Any]:
    """What must be equal however the work was done."""
    differing = ("seconds", "images_per_second", "workers", "resumed_images")
    return {key: value for key, value in document.items() if key not in differing}


def scores(model: Path, folder: Path) -> np.ndarray:
    """One row for each image of a folder, by a plain loop."""
    loaded, spec = interpreter.Model(model), google_lite(64)
    return np.stack([loaded.scores(spec.apply(read_image(path))) for path in find_images(folder)])


@pytest.fixture(scope="module")
def pair(convert: Convert) -> tuple[Path, Path]:
    """The float32 model and the int8 one, of random weights; their scores are logits."""
    first, second = convert("lite0", "float32", "int8").files
    return first.path, second.path


@pytest.fixture(scope="module")
def softmax(convert: Convert) -> Path:
    """The int8 model with probabilities of 8 bits."""
    return convert("lite0", "int8", activation="softmax").files[0].path


@pytest.fixture(scope="module")
def truth(pair: tuple[Path, Path], photographs: Path) -> np.ndarray:
    """Classes at ranks 1 to 7 of the float model's scores, in turn: 5 of 7 images are right among the best 5."""
    order = np.argsort(-scores(pair[0], photographs), axis=1, kind="stable")
    return np.array([row[index % 7] for index, row in enumerate(order)])


@pytest.fixture(scope="module")
def table(truth: np.ndarray, photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("truth") / "truth.csv"
    names = [image.name for image in find_images(photographs)]
    path.write_text("".join(f"{name},{index}\n" for name, index in zip(names, truth, strict=True)))
    return path


@pytest.fixture
def arguments(pair: tuple[Path, Path], photographs: Path, table: Path) -> list[object]:
    return [pair[1], "--data", photographs, "--labels-csv", table, "--reference", pair[0]]


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_figures_are_those_of_numpy(
    arguments: list[object], pair: tuple[Path, Path], photographs: Path, truth: np.ndarray, workers: int
) -> None:
    document = report(*arguments, "--top", "3,5", "--top", "20", "--workers", workers)
    for model, told in ((pair[1], document["top"]), (pair[0], document["reference"]["top"])):
        values = scores(model, photographs)
        assert [row["k"] for row in told] == [1, 3, 5, 20]
        for row in told:
            own = values[np.arange(len(truth)), truth][:, np.newaxis]
            before = (values > own).sum(axis=1)
            before += np.array([(line[:index] == line[index]).sum() for line, index in zip(values, truth, strict=True)])
            descending = -np.sort(-values, axis=1)
            assert row["correct_images"] == (before < row["k"]).sum()
            assert row["images"] == 30
            assert row["tied_images"] == (descending[:, row["k"] - 1] == descending[:, row["k"]]).sum()
    ours, theirs = (scores(model, photographs).argmax(axis=1) for model in (pair[1], pair[0]))
    pairing = document["pairing"]
    assert pairing["same_images"] == (ours == theirs).sum()
    assert pairing["only_model_correct_images"] == ((ours == truth) & (theirs != truth)).sum()
    assert pairing["only_reference_correct_images"] == ((ours != truth) & (theirs == truth)).sum()
    assert pairing["top1_change_points"] == pytest.approx(100 * ((ours == truth).mean() - (theirs == truth).mean()))
    assert sum(row["images"] for row in document["classes"]) == 30
    assert sum(row["images"] for row in document["confusions"]) == (ours != truth).sum()
    for row in document["confusions"]:
        assert row["images"] == ((truth == row["class"]) & (ours == row["predicted_class"])).sum()
    assert document["ground_truth"] == {"source": "truth.csv", "offset": 0}


@pytest.mark.parametrize(
    ("name", "options", "source"),
    [
        ("{index}/{number}.jpg", [], "the folders' names"),
        ("{wnid}/{number}.jpg", ["--class-index", "classes.tsv"], "the folders' names"),
        ("name {index}/{number}.jpg", ["--labels", "labels.txt"], "the folders' names"),
        ("{wnid}_{number}.jpg", ["--class-index", "classes.json"], "the files' names"),
        ("deep/er/{wnid}_{number}.jpg", ["--class-index", "wnids.txt"], "the files' names"),
        ("{number}.jpg", ["--labels-csv", "truth.csv"], "truth.csv"),
    ],
)
def test_every_ground_truth_gives_the_same_figures(
    pair: tuple[Path, Path], labelled: Path, tmp_path: Path, name: str, options: list[str], source: str
) -> None:
    wnids = [f"n{99_000_000 + index}" for index in range(1000)]
    rows = [f"{index}\t{wnid}\tname {index}\n" for index, wnid in enumerate(wnids)]
    (tmp_path / "classes.tsv").write_text("index\twnid\tname\n" + "".join(rows))
    (tmp_path / "classes.json").write_text(json.dumps({index: [wnid, "x"] for index, wnid in enumerate(wnids)}))
    (tmp_path / "wnids.txt").write_text("\n".join(wnids))
    (tmp_path / "labels.txt").write_text("".join(f"name {index}\n" for index in range(1000)))
    told = ""
    for number, path in enumerate(find_images(labelled)):
        index = int(path.parent.name)
        copy = tmp_path / "images" / name.format(index=index, wnid=wnids[index], number=number)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
        told += f"{number}.jpg,{wnids[index] if number % 2 else index}\n"
    (tmp_path / "truth.csv").write_text(told)
    arguments = [option if option.startswith("--") else tmp_path / option for option in options]
    if source == "truth.csv":
        arguments += ["--class-index", tmp_path / "classes.tsv"]
    document = report(pair[1], "--data", tmp_path / "images", *arguments)
    expected = report(pair[1], "--data", labelled)
    assert document["ground_truth"]["source"] == source
    assert document["top"] == expected["top"]
    for key in ("classes", "confusions"):
        assert [{**row, "name": None, "predicted_name": None} for row in document[key]] == [
            {**row, "name": None, "predicted_name": None} for row in expected[key]
        ]


def test_people_see_the_same(arguments: list[object]) -> None:
    told = run(*arguments).stdout
    document = report(*arguments)
    top1, change = document["top"][0], document["pairing"]["top1_change_points"]
    assert f"{top1['accuracy_percent']:.2f}% (" in told
    assert f"{change:+.2f} points of top-1" in told
    mistaken = [row for row in document["classes"] if row["correct_images"] < row["images"]]
    assert f"Lowest top-1, {min(10, len(mistaken))} of {len(mistaken)} classes" in told
    assert "Most frequent confusions, " in told
    assert "the lowest class index wins" in told


def test_ties_are_counted(pair: tuple[Path, Path], softmax: Path, labelled: Path) -> None:
    """An 8-bit softmax has few values, and most decisions among many classes are ties; logits have more."""
    tied = []
    for model in (pair[0], pair[1], softmax):
        (top1, top5) = report(model, "--data", labelled)["top"]
        descending = -np.sort(-scores(model, labelled), axis=1)
        assert top1["tied_images"] == (descending[:, 0] == descending[:, 1]).sum()
        assert top5["tied_images"] == (descending[:, 4] == descending[:, 5]).sum()
        tied.append(top5["tied_images"])
    assert tied[0] == 0
    assert tied[1] < tied[2]


def test_a_background_class_comes_first(convert: Convert, photographs: Path, tmp_path: Path) -> None:
    model = convert("lite0", "float32", classes=1001).files[0].path
    best = scores(model, photographs)[:, 1:].argmax(axis=1)
    names = [path.name for path in find_images(photographs)]
    table = tmp_path / "truth.csv"
    table.write_text("".join(f"{name},{index}\n" for name, index in zip(names, best, strict=True)))
    document = report(model, "--data", photographs, "--labels-csv", table)
    assert document["ground_truth"]["offset"] == 1
    expected = (scores(model, photographs).argmax(axis=1) == best + 1).sum()
    assert document["top"][0]["correct_images"] == expected > 0
    assert "the model has a background class first" in run(model, "--data", photographs, "--labels-csv", table).stdout


@pytest.mark.parametrize(("shift", "direction"), [(-1, "higher"), (1, "lower")])
def test_a_ground_truth_off_by_one_is_noticed(
    pair: tuple[Path, Path], photographs: Path, tmp_path: Path, shift: int, direction: str
) -> None:
    best = scores(pair[0], photographs).argmax(axis=1)
    table = tmp_path / "truth.csv"
    names = [path.name for path in find_images(photographs)]
    table.write_text("".join(f"{name},{index + shift}\n" for name, index in zip(names, best, strict=True)))
    result = run(pair[0], "--data", photographs, "--labels-csv", table)
    assert (
        f"warning: Top-1 is drastically better with every class of the ground truth {direction} by one" in result.stderr
    )


def test_an_alphabetical_order_of_numbered_folders_is_noticed() -> None:
    truth = np.repeat(np.arange(12, dtype=np.int32), 5)
    keras = np.argsort([0, 1, 10, 11, 2, 3, 4, 5, 6, 7, 8, 9]).astype(np.int32)
    (doubt,) = evaluation._doubts(keras[truth][:, None], truth, 12)
    assert "better with the ground truth's numbers in alphabetical order (0, 1, 10, 11, 2, ...)" in doubt
    assert not [*evaluation._doubts(truth[:, None], truth, 12)]


def test_unreadable_images_are_listed_and_count_nowhere(
    pair: tuple[Path, Path], labelled: Path, tmp_path: Path
) -> None:
    shutil.copytree(labelled, tmp_path / "images")
    whole = report(pair[1], "--data", tmp_path / "images")
    (tmp_path / "images/2/broken.jpg").write_bytes(next((labelled / "2").iterdir()).read_bytes()[:200])
    result = run(pair[1], "--data", tmp_path / "images", "--json")
    assert result.exit_code == 0
    assert result.stderr.startswith("warning: cannot read 2/broken.jpg: ")
    document = json.loads(result.stdout)
    assert document.pop("unreadable_images")[0].startswith("2/broken.jpg: cannot read this image: ")
    assert whole.pop("unreadable_images") == []
    assert figures(document) == figures(whole)


def test_no_readable_image_is_an_error(pair: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "0").mkdir()
    (tmp_path / "0/broken.jpg").write_bytes(b"broken")
    result = run(pair[1], "--data", tmp_path)
    assert result.exit_code == 1
    assert "none of 1 images can be read; the first: 0/broken.jpg: not an image" in result.stderr


@pytest.mark.parametrize(
    ("gates", "code", "line"),
    [
        (["--min-top1", "0"], 0, ""),
        (["--max-drop", "100"], 0, ""),
        (["--min-top1", "99.5"], 3, "Error: top-1 is {top1:.2f}%, less than 99.5%\n"),
        (["--max-drop", "0.5"], 3, "Error: top-1 drops by {drop:.2f} points, more than 0.5\n"),
    ],
)
def test_gates(
    pair: tuple[Path, Path], softmax: Path, photographs: Path, tmp_path: Path, gates: list[str], code: int, line: str
) -> None:
    """The truth is what the reference says; ties make the softmax say something else."""
    expected = scores(pair[1], photographs).argmax(axis=1)
    right = scores(softmax, photographs).argmax(axis=1) == expected
    table = tmp_path / "truth.csv"
    names = [path.name for path in find_images(photographs)]
    table.write_text("".join(f"{name},{index}\n" for name, index in zip(names, expected, strict=True)))
    values = {"top1": 100 * right.mean(), "drop": 100 - 100 * right.mean()}
    result = run(softmax, "--data", photographs, "--labels-csv", table, "--reference", pair[1], *gates)
    assert (result.exit_code, result.stderr) == (code, line.format(**values))
    assert "top-1" in result.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--max-drop", "1"], "--max-drop is the drop from a --reference: pass that too"),
        (["--top", "0"], "'0' is not a whole number of 1 or more"),
        (["--top", "1,five"], "'five' is not a whole number"),
        (["--workers", "0"], "0 is not in the range"),
    ],
)
def test_usage(pair: tuple[Path, Path], labelled: Path, options: list[str], message: str) -> None:
    result = run(pair[1], "--data", labelled, *options)
    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--top", "1001"], "--top 1001: the model has 1000 classes"),
        (
            ["--preprocessing", "imagenet"],
            "the preprocessing must be one, but crop is 'after-resize' by --preprocessing",
        ),
        (["--class-index", "missing"], "cannot read classes from missing"),
        (["--reference", "missing.tflite"], "cannot read missing.tflite: No such file"),
        (["--labels-csv", "missing.csv"], "cannot read classes from missing.csv"),
    ],
)
def test_refusals(pair: tuple[Path, Path], labelled: Path, options: list[str], message: str) -> None:
    result = run(pair[1], "--data", labelled, *options)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"Error: {message}") or f"/{message}" in result.stderr


def test_preprocessing_that_agrees_is_fine(pair: tuple[Path, Path], labelled: Path) -> None:
    assert figures(report(pair[1], "--data", labelled, "--preprocessing", "lite")) == figures(
        report(pair[1], "--data", labelled)
    )


def test_a_model_without_manifest_comes_with_a_warning(pair: tuple[Path, Path], labelled: Path, tmp_path: Path) -> None:
    model = tmp_path / "model.tflite"
    shutil.copy(pair[1], model)
    result = run(model, "--data", labelled)
    assert result.exit_code == 0
    assert result.stderr.startswith("warning: No manifest: ")


def test_models_that_do_not_belong_together(pair: tuple[Path, Path], convert: Convert, labelled: Path) -> None:
    other = convert("lite0", "float32", classes=1001).files[0].path
    with pytest.raises(ModelError, match=r"number of classes 1000, but .* 1001: they must be the same"):
        evaluate(Request(pair[1], labelled, reference=other))


def test_a_reference_whose_metadata_says_something_else(
    pair: tuple[Path, Path], labelled: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.tflite"
    other.write_bytes(metadata.write(pair[0], Metadata(normalization=Normalization((0.0,), (1.0,)))))
    message = r"mean is \(127.0, 127.0, 127.0\) by .*, \(0.0, 0.0, 0.0\) by .*other.tflite"
    with pytest.raises(ModelError, match=message):
        evaluate(Request(pair[1], labelled, reference=other))
    with pytest.raises(ModelError, match=message):
        validate(other, pair[1], labelled)


BEST = list(range(5))


def said(image: object, best: object = BEST, tied: object = (), error: object = None) -> dict[str, Any]:
    answers = [[best, tied]] if best else []
    return {"image": image, "answers": answers, "error": error}


OPENING = {"event": "opening", "workers": 2, "circumstances": {"runtime": "a runtime 1.0", "library": None}}
RESULT = {"event": "result"}


def answering(events: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the process of the job answer this."""
    text = "".join(json.dumps(event) + "\n" for event in events)
    program = f"import sys; sys.stdin.readline(); print({text!r}, end='')"
    monkeypatch.setattr(processes, "command", lambda module: [sys.executable, "-c", program])


def records(*told: object) -> dict[str, Any]:
    return {"event": "records", "records": told}


@pytest.mark.parametrize(
    "record",
    [
        said(12),
        said(-1),
        said(0),  # which was answered for
        said(1, [0, 1, 2, 3, 1000]),
        said(1, [0, 1, 2, 3, 2**40]),
        said(1, [0, 1, 2, 3, -5]),
        said(1, [0, 1, 2, 3, 4.0]),
        said(1, [0, 1, 2, 3]),
        said(1, tied=[0]),
        said(1, tied=[6]),
        said(1, None),
        said(1, error="broken"),
        said(1, None, error=7),
        said(1) | {"answers": said(1)["answers"] * 2},
        said(1) | {"answers": [7]},
        7,
        None,
        {},
    ],
)
def test_an_answer_of_nonsense_is_one_line(
    pair: tuple[Path, Path], labelled: Path, record: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering([OPENING, records(said(0), record), RESULT], monkeypatch)
    with pytest.raises(
        JobError, match=r"^this machine answered .*: must be one of each of 12 images, with 5 of 1000"
    ) as told:
        evaluate(Request(pair[1], labelled))
    assert str(told.value).isprintable()


def test_an_image_that_is_left_out(pair: tuple[Path, Path], labelled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answering([OPENING, records(said(0), said(1, None, error="broken"), *map(said, range(3, 12))), RESULT], monkeypatch)
    with pytest.raises(JobError, match=r"^this machine did not answer for 1 of 12 images$"):
        evaluate(Request(pair[1], labelled))


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (records(said(0)), "answered an event 'records': must be 'opening'"),
        ({**OPENING, "workers": "2"}, "answered what cannot be: workers '2': must be a whole number"),
        ({**OPENING, "circumstances": {"runtime": 1}}, "answered what cannot be: circumstances.runtime 1: must be"),
    ],
)
def test_what_is_told_before_the_records_is_checked(
    pair: tuple[Path, Path], labelled: Path, event: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering([event, RESULT], monkeypatch)
    with pytest.raises(JobError, match=f"^this machine {message}"):
        evaluate(Request(pair[1], labelled))


def test_an_evaluation_is_not_resumed_with_another_runtime(
    pair: tuple[Path, Path], labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device is asked which it has, since nobody here knows."""
    done = records(*map(said, range(12)))
    request = Request(pair[1], labelled, resume=tmp_path / "journal")
    answering([OPENING, done, RESULT], monkeypatch)
    evaluate(request)
    answering([OPENING, RESULT], monkeypatch)
    assert evaluate(request).resumed == 12
    upgraded = {**OPENING, "circumstances": {**OPENING["circumstances"], "runtime": "a runtime 1.1"}}
    answering([upgraded, RESULT], monkeypatch)
    with pytest.raises(OutputError, match="the journal of another evaluation, with another runtime: name another"):
        evaluate(request)


def test_a_request_of_a_device_is_all_that_an_evaluation_there_needs(
    pair: tuple[Path, Path], labelled: Path, board: Path
) -> None:
    profile = board / "mine.toml"
    profile.write_text(f'title = "A board"\nhost = "board"\npython = {sys.executable!r}\n')
    here, there = (evaluate(Request(pair[1], labelled, device=profiles.load(name))) for name in ("local", str(profile)))
    assert (there.judgement, there.images) == (here.judgement, here.images)
    assert there.request.delegate == here.request.delegate == "xnnpack"
    assert here.images == 12
    assert all(confusion.predicted >= 0 for confusion in there.judgement.results[0].confusions)


def test_this_process_is_never_forked(pair: tuple[Path, Path], labelled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have threads, of progress and of other devices, and pipes to processes that wait for their end."""
    monkeypatch.setattr(os, "fork", lambda: pytest.fail("a fork of this process"))
    assert evaluate(Request(pair[1], labelled)).images == 12


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"top": (5, 0)}, "--top 0: must be at least 1"),
        ({"workers": 0}, "--workers 0: must be from 1 to 256"),
        ({"workers": 257}, "--workers 257: must be from 1 to 256"),
        ({"max_drop": 1.0}, "--max-drop is the drop from a --reference: pass that too"),
        ({"workers": 2, "delegate": "edgetpu"}, "--workers 2: an Edge TPU serves one process at a time"),
        ({"workers": 2, "device": profiles.load("coral-usb")}, "--workers 2: an Edge TPU serves one process at a time"),
    ],
)
def test_rules_hold_without_a_command_line_too(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=f"^{message}$"):
        Request(Path("model.tflite"), Path("images"), **values)


def test_a_device_has_its_own_delegate_unless_the_request_has_one() -> None:
    coral = profiles.load("coral-usb")
    assert Request(Path("m"), Path("d"), device=coral).delegation.name == coral.delegate
    assert Request(Path("m"), Path("d"), device=coral, delegate="none").delegation.name == "none"


def test_what_is_kept_of_an_image_does_not_depend_on_the_number_of_classes() -> None:
    records = evaluation._Records.of(Shape(images=50_000, models=2, top=5, classes=1_000_000))
    sizes = [getattr(records, field.name) for field in dataclasses.fields(records)]
    assert sum(value.nbytes for value in sizes if isinstance(value, np.ndarray)) < 60 * 50_000


def test_a_journal_is_resumed_and_that_of_another_model_refused(
    arguments: list[object], pair: tuple[Path, Path], table: Path, photographs: Path, tmp_path: Path
) -> None:
    journal = tmp_path / "journal"
    whole = report(*arguments, "--resume", journal)
    assert whole["resumed_images"] == 0
    lines = journal.read_bytes().splitlines(keepends=True)
    assert len(lines) == 31
    journal.write_bytes(b"".join(lines[:12]) + lines[12][:9])
    resumed = report(*arguments, "--resume", journal)
    assert resumed["resumed_images"] == 11
    assert figures(resumed) == figures(whole) == figures(report(*arguments))
    done = report(*arguments, "--resume", journal)
    assert (done["resumed_images"], figures(done)) == (30, figures(whole))
    result = run(pair[0], "--data", photographs, "--labels-csv", table, "--resume", journal)
    assert result.exit_code == 1
    assert result.stderr == (
        f"Error: {journal} is the journal of another evaluation, with another models: "
        "name another file to --resume, or delete it\n"
    )


@pytest.fixture
def many(photographs: Path, tmp_path: Path) -> Path:
    """Some two seconds of work in folders named by class."""
    folder = tmp_path / "many"
    images = [image.resize((600, 450)) for image in map(Image.open, sorted(photographs.iterdir()))]
    for number in range(480):
        path = folder / str(number % 8) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        if number < 30:
            images[number].save(path)
        else:
            path.symlink_to(folder / str(number % 30 % 8) / f"{number % 30}.png")
    return folder


def children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def workers_of(process: int) -> list[int]:
    """Of the command's only child, which runs the job."""
    return [worker for child in children(process) for worker in children(child)]


def ended(process: int) -> bool:
    """Whether it is gone, or waits for a parent that does not look."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def lines(journal: Path) -> int:
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGINT])
def test_killed_in_the_middle_and_resumed(pair: tuple[Path, Path], many: Path, tmp_path: Path, kill: int) -> None:
    journal = tmp_path / "journal"
    command = [COMMAND, "evaluate", str(pair[1]), "--data", str(many), "--workers", "2", "--json"]
    resume = [*command, "--resume", str(journal)]
    with subprocess.Popen(resume, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_for(lambda: lines(journal) > 40)
        workers = workers_of(process.pid)
        os.kill(process.pid, kill)
        printed, reported = process.communicate(timeout=30)
    assert len(workers) == 2
    wait_for(lambda: all(ended(worker) for worker in workers))
    assert printed == ""
    assert (process.returncode, reported) == ((130, "interrupted\n") if kill == signal.SIGINT else (-9, ""))
    before = lines(journal) - 1
    assert 40 <= before < 480
    documents = [
        json.loads(subprocess.run(again, check=True, capture_output=True, text=True).stdout)
        for again in (resume, command)
    ]
    assert documents[0]["resumed_images"] == before
    assert documents[0]["images"] == 480
    assert figures(documents[0]) == figures(documents[1])


@pytest.mark.slow
def test_a_control_c_at_the_terminal_reaches_no_worker(pair: tuple[Path, Path], many: Path) -> None:
    """A terminal interrupts the whole group."""
    command = [COMMAND, "evaluate", str(pair[1]), "--data", str(many), "--workers", "2"]
    options: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, start_new_session=True, **options) as process:
        wait_for(lambda: len(workers_of(process.pid)) == 2)
        time.sleep(0.1)
        workers = workers_of(process.pid)
        os.killpg(process.pid, signal.SIGINT)
        printed, reported = process.communicate(timeout=30)
    assert (process.returncode, printed, reported) == (130, "", "interrupted\n")
    assert all(ended(worker) for worker in workers)
