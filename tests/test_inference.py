"""The board's part of an evaluation: what workers give is what a plain loop gives, and nothing is left of them."""

import ast
import json
import multiprocessing
import os
import platform
import signal
from collections.abc import Callable, Generator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import pytest

from lite_toolkit.board import inference as module
from lite_toolkit.board.inference import Answer, InferenceJob, Record, Shape, inference, input_table, look_up
from lite_toolkit.conversion import pipeline
from lite_toolkit.errors import ModelError
from lite_toolkit.images.files import find_images, read_image
from lite_toolkit.images.preprocessing import PRESETS, PreprocessingSpec, google_lite
from lite_toolkit.runtime import interpreter


@dataclass(frozen=True)
class Task:
    """A job, and where its files are."""

    job: InferenceJob
    files: dict[str, str]

    def but(self, **changes: Any) -> "Task":
        return Task(replace(self.job, **changes), self.files)

    def infer(self) -> Generator[list[Record], None, None]:
        return module.infer(self.job, self.files)

    def records(self) -> list[Record]:
        return sorted((record for records in self.infer() for record in records), key=lambda record: record.image)


@pytest.fixture(scope="module")
def models(convert: Callable[..., pipeline.Conversion]) -> tuple[str, ...]:
    return tuple(str(file.path) for file in convert("lite0", "float32", "int8").files)


@pytest.fixture
def task(models: tuple[str, ...], photographs: Path) -> Task:
    images = tuple(path.name for path in find_images(photographs))
    files = {"images": str(photographs), "model": models[0], "reference": models[1]}
    return Task(InferenceJob(preprocessing=google_lite(64).to_json(), images=images, top=5, workers=2), files)


def plain(model: str, image: str, top: int) -> tuple[int, ...]:
    """The best classes by the library's straight path and a sort of one's own."""
    scores = interpreter.Model(Path(model)).scores(google_lite(64).apply(read_image(Path(image))))
    return tuple(sorted(range(len(scores)), key=lambda index: (-scores[index], index))[:top])


def test_records_are_those_of_a_plain_loop(task: Task, models: tuple[str, ...], photographs: Path) -> None:
    for record in task.records():
        expected = [plain(model, str(photographs / task.job.images[record.image]), 5) for model in models]
        assert [answer.best for answer in record.answers] == expected


@pytest.mark.parametrize("workers", [1, 3, 40])
def test_the_number_of_workers_changes_nothing(task: Task, workers: int) -> None:
    assert task.but(workers=workers).records() == task.records()


def test_a_job_and_its_records_go_through_json(task: Task) -> None:
    job = InferenceJob(**json.loads(json.dumps(asdict(task.job))))
    opening, *events, last = json.loads(json.dumps(list(inference(job, task.files))))
    assert (opening["event"], opening["workers"], last) == ("opening", 2, {"event": "result"})
    told = [Record.from_json(record, Shape(30, 2, 5, 1000)) for event in events for record in event["records"]]
    assert sorted(told, key=lambda record: record.image) == task.records()


def test_what_records_depend_on_is_told_before_them(task: Task) -> None:
    opening, *_ = inference(task.but(images=()).job, task.files)
    told = opening["circumstances"]
    assert told["runtime"] == interpreter.runtime_version()
    assert told["pillow"] == PIL.__version__
    assert platform.machine() in told["processor"]


def test_no_images_are_no_records(task: Task) -> None:
    assert task.but(images=()).records() == []


@pytest.mark.parametrize("model", [0, 1])
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_looking_up_gives_the_bits_of_computing(models: tuple[str, ...], model: int, preset: str, order: Any) -> None:
    loaded = interpreter.Model(Path(models[model]))
    spec = replace(PRESETS[preset](64), channel_order=order)
    pixels = spec.order_channels(np.random.default_rng(3).integers(0, 256, (64, 64, 3), np.uint8))
    found, expected = look_up(input_table(loaded, spec), pixels), loaded.input.quantize(spec.normalize(pixels))
    assert found.dtype == expected.dtype
    assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    ("scores", "top", "expected"),
    [
        ([0.1, 0.7, 0.2], 2, Answer((1, 2))),
        ([3, 5, 5, 3, 1], 1, Answer((1,), (1,))),
        ([3, 5, 5, 3, 1], 2, Answer((1, 2), (1,))),
        ([3, 5, 5, 3, 1], 3, Answer((1, 2, 0), (1, 3))),
        ([0, 0, 0], 3, Answer((0, 1, 2), (1, 2))),  # behind the last there is none to tie with
        ([2, 1], 5, Answer((0, 1))),
    ],
)
def test_the_lowest_index_wins_ties_and_ties_are_told(scores: list[float], top: int, expected: Answer) -> None:
    assert module.answer(np.array(scores, np.float32), top) == expected


def test_an_unreadable_image_has_a_reason_without_its_path(task: Task, photographs: Path, tmp_path: Path) -> None:
    whole = (photographs / task.job.images[0]).read_bytes()
    (tmp_path / "whole.jpg").write_bytes(whole)
    (tmp_path / "broken.jpg").write_bytes(whole[:100])
    files = {**task.files, "images": str(tmp_path)}
    records = Task(replace(task.job, images=("whole.jpg", "broken.jpg", "none.jpg")), files).records()
    assert [bool(record.answers) for record in records] == [True, False, False]
    assert str(records[1].error).startswith("cannot read this image: ")
    assert records[2].error == "no such file"


def test_a_model_that_cannot_be_loaded(task: Task, tmp_path: Path) -> None:
    (tmp_path / "bad.tflite").write_bytes(b"bad")
    with pytest.raises(ModelError, match=r"cannot load .*bad\.tflite"):
        Task(task.job, {**task.files, "model": str(tmp_path / "bad.tflite")}).records()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite(task: Task, value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = np.array([0.5, value, 0.1], np.float32)
    monkeypatch.setattr(interpreter.Model, "run", lambda self, stored: scores)  # forks inherit it
    with pytest.raises(ModelError, match=r"float32\.tflite gives scores that are not numbers for .*picture0\d\.jpg"):
        task.records()


@pytest.mark.parametrize(
    ("end", "message"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "was killed by signal 9, often for want of memory"),
        (lambda: os._exit(7), "ended with exit code 7"),
    ],
)
def test_a_worker_that_dies_is_one_line_and_no_hang(
    task: Task, monkeypatch: pytest.MonkeyPatch, end: Callable[[], None], message: str
) -> None:
    def die(self: interpreter.Model, stored: object) -> None:
        end()

    monkeypatch.setattr(interpreter.Model, "run", die)
    with pytest.raises(ModelError, match=f"a worker process {message}: try fewer workers"):
        task.records()
    assert not multiprocessing.active_children()


def test_closing_early_ends_the_workers(task: Task) -> None:
    records = task.infer()
    next(records)
    assert len(multiprocessing.active_children()) == 2
    records.close()
    assert not multiprocessing.active_children()


def test_the_module_is_python_3_7() -> None:
    text = Path(module.__file__).read_text(encoding="utf-8")
    ast.parse(text, feature_version=(3, 7))
    assert "from __future__ import annotations" in text


def test_preprocessing_is_taken_from_the_job(task: Task, photographs: Path) -> None:
    spec = replace(google_lite(64), interpolation="nearest", mean=(0.0, 10.0, 90.0))
    image = read_image(photographs / task.job.images[0])
    scores = interpreter.Model(Path(task.files["model"])).scores(spec.apply(image))
    (record,) = task.but(preprocessing=spec.to_json(), images=task.job.images[:1], top=1).records()
    assert record.answers[0].best == (int(scores.argmax()),)
    assert PreprocessingSpec.from_json(spec.to_json()) == spec
