"""The commands on the oldest Python that boards have, which OLD_PYTHON names; a stand-in for ssh leads to it."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from lite_toolkit.cli.main import main
from lite_toolkit.conversion import pipeline

OLD_PYTHON = os.environ.get("OLD_PYTHON")
pytestmark = pytest.mark.skipif(
    not OLD_PYTHON, reason="OLD_PYTHON must name a Python 3.7 with numpy 1.16, Pillow 5.4 and tflite-runtime"
)


@pytest.fixture
def device(board: Path, tmp_path: Path) -> list[object]:
    profile = tmp_path / "old.toml"
    profile.write_text(f'title = "Old"\nhost = "old"\npython = "{OLD_PYTHON}"\nruntime = "tflite-runtime"\n')
    return ["--device", profile]


@pytest.fixture
def model(convert: Callable[..., pipeline.Conversion], tmp_path: Path) -> Path:
    """In float, with its manifest: the kernels of old runtimes for int8 differ more."""
    path = convert("lite0", "float32").files[0].path
    for file in (path, path.with_suffix(".json")):
        shutil.copy(file, tmp_path)
    return tmp_path / path.name


def run(*arguments: object) -> Any:
    done = CliRunner().invoke(main, [*map(str, arguments), "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_it_is_ready(device: list[object]) -> None:
    (found,) = run("doctor", *device)["devices"]
    assert "Python 3.7" in found["findings"][0]["found"]


def test_an_evaluation_reads_every_image(device: list[object], model: Path, labelled: Path) -> None:
    found = run("evaluate", model, "--data", labelled, *device)
    assert (found["images"], found["unreadable_images"]) == (12, [])


def test_a_benchmark_measures_from_an_image_on(device: list[object], model: Path, photographs: Path) -> None:
    image = photographs / "picture00.jpg"
    report = run("benchmark", model, "--runs", 3, "--seconds", 0.01, "--preprocess", image, *device)
    assert report["environment"]["python"].startswith("3.7")


def test_a_bundle_is_verified(device: list[object], model: Path, tmp_path: Path) -> None:
    run("package", model, "--target", "python", "-o", tmp_path / "bundle")
    found = run("verify", tmp_path / "bundle", *device)
    assert {stage["name"]: stage["largest_steps"] for stage in found["stages"][:2]} == {"decode": 0, "resize": 0}
