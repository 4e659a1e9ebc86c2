"""The board's part of an evaluation: what workers give is what a plain loop gives, and nothing is left of them."""

import ast
import multiprocessing
import os
import signal
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lite_toolkit.board import inference
from lite_toolkit.board.inference import Answer, Job, Record, infer, input_table, look_up
from lite_toolkit.conversion import pipeline
from lite_toolkit.errors import ModelError
from lite_toolkit.images.files import find_images, read_image
from lite_toolkit.images.preprocessing import PRESETS, PreprocessingSpec, google_lite
from lite_toolkit.runtime import interpreter


@pytest.fixture(scope="module")
def models(convert: Callable[..., pipeline.Conversion]) -> tuple[str, ...]:
    return tuple(str(file.path) for file in convert("lite0", "float32", "int8").files)


@pytest.fixture
def job(models: tuple[str, ...], photographs: Path) -> Job:
    images = tuple(map(str, find_images(photographs)))
    return Job(models, google_lite(64).to_json(), images, top=5, workers=2)


def by_image(job: Job) -> list[Record]:
    return sorted(infer(job), key=lambda record: record.image)


def plain(model: str, image: str, top: int) -> tuple[int, ...]:
    """The best classes by the library's straight path and a sort of one's own."""
    scores = interpreter.Model(Path(model)).scores(google_lite(64).apply(read_image(Path(image))))
    return tuple(sorted(range(len(scores)), key=lambda index: (-scores[index], index))[:top])


def test_records_are_those_of_a_plain_loop(job: Job) -> None:
    for record in by_image(job):
        expected = [plain(model, job.images[record.image], 5) for model in job.models]
        assert [answer.best for answer in record.answers] == expected


@pytest.mark.parametrize("workers", [1, 3, 40])
def test_the_number_of_workers_changes_nothing(job: Job, workers: int) -> None:
    assert by_image(replace(job, workers=workers)) == by_image(job)


def test_a_job_goes_through_json(job: Job) -> None:
    assert by_image(Job(**asdict(replace(job, images=job.images[:2])))) == by_image(job)[:2]


def test_no_images_are_no_records(job: Job) -> None:
    assert list(infer(replace(job, images=()))) == []


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
    assert inference.answer(np.array(scores, np.float32), top) == expected


def test_an_unreadable_image_has_a_reason_without_its_path(job: Job, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(Path(job.images[0]).read_bytes()[:100])
    records = by_image(replace(job, images=(job.images[0], str(broken), str(tmp_path / "none.jpg"))))
    assert [bool(record.answers) for record in records] == [True, False, False]
    assert str(records[1].error).startswith("cannot read this image: ")
    assert records[2].error == "no such file"


def test_a_model_that_cannot_be_loaded(job: Job, tmp_path: Path) -> None:
    (tmp_path / "bad.tflite").write_bytes(b"bad")
    with pytest.raises(ModelError, match=r"cannot load .*bad\.tflite"):
        list(infer(replace(job, models=(str(tmp_path / "bad.tflite"),))))


def test_scores_that_are_not_numbers(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        interpreter.Model, "run", lambda self, stored: np.full(10, np.nan, np.float32)
    )  # forks inherit it
    with pytest.raises(ModelError, match=r"float32\.tflite gives scores that are not numbers for .*picture0\d\.jpg"):
        list(infer(job))


@pytest.mark.parametrize(
    ("end", "message"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "was killed by signal 9, often for want of memory"),
        (lambda: os._exit(7), "ended with exit code 7"),
    ],
)
def test_a_worker_that_dies_is_one_line_and_no_hang(
    job: Job, monkeypatch: pytest.MonkeyPatch, end: Callable[[], None], message: str
) -> None:
    def die(self: interpreter.Model, stored: object) -> None:
        end()

    monkeypatch.setattr(interpreter.Model, "run", die)
    with pytest.raises(ModelError, match=f"a worker process {message}: try fewer workers"):
        list(infer(job))
    assert not multiprocessing.active_children()


def test_closing_early_ends_the_workers(job: Job) -> None:
    records = infer(job)
    next(records)
    assert len(multiprocessing.active_children()) == 2
    records.close()
    assert not multiprocessing.active_children()


def test_the_module_is_python_3_7() -> None:
    text = Path(inference.__file__).read_text(encoding="utf-8")
    ast.parse(text, feature_version=(3, 7))
    assert "from __future__ import annotations" in text


def test_preprocessing_is_taken_from_the_job(job: Job) -> None:
    spec = replace(google_lite(64), interpolation="nearest", mean=(0.0, 10.0, 90.0))
    scores = interpreter.Model(Path(job.models[0])).scores(spec.apply(read_image(Path(job.images[0]))))
    (record,) = infer(replace(job, preprocessing=spec.to_json(), images=job.images[:1], models=job.models[:1], top=1))
    assert record.answers[0].best == (int(scores.argmax()),)
    assert PreprocessingSpec.from_json(spec.to_json()) == spec
