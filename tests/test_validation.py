"""Comparisons of scores, against formulas written out by hand, and the command that validates."""

import json
import math
import tracemalloc
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from lite_toolkit.cli import main
from lite_toolkit.conversion import pipeline
from lite_toolkit.drawings import pictures
from lite_toolkit.errors import GateError, OutputError
from lite_toolkit.images.preprocessing import google_lite
from lite_toolkit.measurement import validation
from lite_toolkit.measurement.loss import Comparison
from lite_toolkit.measurement.validation import compare
from lite_toolkit.quantization import recipes


def test_equal_scores_have_no_noise() -> None:
    scores = np.array([[1.0, 2.0, 3.0], [3.0, 1.0, 2.0]], np.float32)
    found = compare(scores, scores)
    assert (found.images, found.agreement_percent, found.sqnr_db, found.largest_difference) == (2, 100.0, None, 0.0)


def test_sqnr_of_known_noise() -> None:
    # Signal power per image: 1 + 0 + 1; noise (0.1, -0.2, 0.1) has no mean, and power 0.06.
    reference = np.array([[-1.0, 0.0, 1.0]], np.float32)
    found = compare(reference, reference + np.array([[0.1, -0.2, 0.1]], np.float32))
    assert found.sqnr_db == pytest.approx(10 * math.log10(2 / 0.06), abs=1e-4)
    assert found.largest_difference == pytest.approx(0.2, abs=1e-6)


def test_a_constant_added_to_all_logits_of_an_image_is_no_noise() -> None:
    reference = np.array([[-1.0, 0.0, 1.0], [2.0, 4.0, 0.0]], np.float32)
    assert compare(reference, reference + np.array([[2.0], [-1.0]], np.float32)).sqnr_db is None


def test_agreement_counts_images_and_the_lowest_index_wins_ties() -> None:
    reference = np.array([[5, 1, 0], [0, 5, 1], [1, 0, 5], [0, 3, 2]], np.float32)
    quantized = np.array([[5, 5, 0], [5, 5, 1], [1, 0, 5], [0, 2, 3]], np.float32)
    assert compare(reference, quantized).agreement_percent == 50.0


def test_top5_agreement_looks_for_the_best_float_class_among_five() -> None:
    reference = np.tile(np.array([9, 1, 2, 3, 4, 5, 6], np.float32), (2, 1))
    quantized = np.array([[2.5, 1, 2, 3, 4, 5, 6], [1.5, 1, 2, 3, 4, 5, 6]], np.float32)
    found = compare(reference, quantized)
    assert (found.agreement_percent, found.top5_agreement_percent) == (0.0, 50.0)


def test_divergence_of_logits_is_that_of_their_softmax() -> None:
    # softmax([ln 3, 0]) = (3/4, 1/4); softmax([0, 0]) = (1/2, 1/2).
    found = compare(np.array([[math.log(3), 0]], np.float32), np.zeros((1, 2), np.float32))
    assert found.scores == "logits"
    assert found.kl_divergence_nats == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5), abs=1e-6)


def test_divergence_of_probabilities() -> None:
    reference = np.array([[0.75, 0.25], [0.5, 0.5]], np.float32)
    found = compare(reference, np.array([[0.5, 0.5], [0.5, 0.5]], np.float32))
    assert found.scores == "probabilities"
    assert found.kl_divergence_nats == pytest.approx((0.75 * math.log(1.5) + 0.25 * math.log(0.5)) / 2, abs=1e-6)


def test_a_probability_that_was_rounded_to_0_leaves_the_divergence_finite() -> None:
    found = compare(np.array([[0.9, 0.1]], np.float32), np.array([[1.0, 0.0]], np.float32))
    assert found.kl_divergence_nats == pytest.approx(0.9 * math.log(0.9) + 0.1 * math.log(0.1 / 1e-6), abs=1e-4)


class TestCommand:
    @pytest.fixture(autouse=True, scope="class")
    def _needed(self) -> None:
        pytest.importorskip("tensorflow", reason="converting needs TensorFlow")
        pytest.importorskip("matplotlib")

    @pytest.fixture(scope="class")
    def models(self, convert: Callable[..., pipeline.Conversion]) -> list[Path]:
        return [file.path for file in convert("lite0", "float32", "int8").files]

    def test_the_report(self, tmp_path: Path, models: list[Path], photographs: Path) -> None:
        result = validate(*models, "--data", photographs, "--json", "--plot", tmp_path / "plot.svg")
        assert (result.exit_code, result.stderr) == (0, "")
        from lite_toolkit.measurement.loss import LayerError

        document = json.loads(result.stdout)
        assert document["schema"] == "lite-toolkit/validate"
        assert [document["float"], document["quantized"]] == [path.name for path in models]
        assert document["comparison"].keys() == {field.name for field in fields(Comparison)}
        assert document["comparison"]["images"] == 30
        names = [layer["name"] for layer in document["layers"]]
        assert names[0] == "stem_conv"
        assert document["layers"][0].keys() == {field.name for field in fields(LayerError)}
        assert {finding["name"] for finding in document["worst"]} < set(names)
        assert all(finding["remedies"] for finding in document["worst"])
        texts = (tmp_path / "plot.svg").read_text(encoding="utf-8")
        assert all(f">{name}<" in texts for name in names)

    def test_people_see_every_layer_and_what_helps(self, models: list[Path], photographs: Path) -> None:
        printed = validate(*models, "--data", photographs, "--samples", "3").stdout
        assert "% same top-1" in printed
        for part in ("block7a_project_conv", "own SQNR dB", "Most error added", "what helps"):
            assert part in printed

    def test_the_plot_has_the_same_bytes_every_time(
        self, tmp_path: Path, models: list[Path], photographs: Path
    ) -> None:
        for suffix in pictures.FORMATS:
            written = []
            for name in ("a", "b"):
                path = tmp_path / f"{name}{suffix}"
                assert validate(*models, "--data", photographs, "--samples", "2", "--plot", path).exit_code == 0
                written.append(path.read_bytes())
            assert written[0] == written[1]

    def test_the_report_is_there_where_the_plot_cannot_be_drawn(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, models: list[Path], photographs: Path
    ) -> None:
        def refuse(*_: object) -> None:
            raise OutputError("no space left")

        monkeypatch.setattr("lite_toolkit.drawings.layers.draw", refuse)
        saved = tmp_path / "report.json"
        arguments = (*models, "--data", photographs, "--samples", "2", "--json", "-o", saved)
        result = validate(*arguments, "--plot", tmp_path / "plot.svg")
        assert (result.exit_code, result.stderr) == (1, "Error: no space left\n")
        assert result.stdout == saved.read_text()

    def test_the_gate(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, models: list[Path], photographs: Path
    ) -> None:
        arguments = (*models, "--data", photographs, "--samples", "4", "--min-agreement")
        agreeing = compare(np.eye(4, dtype=np.float32), np.eye(4, dtype=np.float32)[[0, 1, 2, 0]])
        monkeypatch.setattr(validation, "compare", lambda *_: agreeing)
        assert validate(*arguments, "75").exit_code == 0
        missed = validate(*arguments, "75.5", "-o", tmp_path / "report.json")
        assert missed.exit_code == GateError.exit_code == 3
        assert missed.stderr == "Error: 75.00% of the images have the same top-1, less than 75.5%\n"
        assert "Most error added" in missed.stdout
        assert json.loads((tmp_path / "report.json").read_text())["comparison"]["agreement_percent"] == 75

    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            ("{int8} {int8}", "{int8} is quantized: the first model must be the float one"),
            ("{int8} {float}", "{int8} is quantized"),
            ("{float} {larger}", "{larger} has input size (96, 96), but {float} (64, 64): they must be the same"),
            ("{float} {fewer}", "{fewer} has number of classes 7, but {float} 1000"),
            ("{float} missing.tflite", "cannot read missing.tflite: No such file"),
            ("{float} {int8} --plot plot.pdf", "plot.pdf: a picture's suffix must be one of .png, .svg"),
            ("{float} {int8} --data missing", "missing: no such file or folder"),
        ],
    )
    def test_what_does_not_belong_together_is_one_line(
        self,
        convert: Callable[..., pipeline.Conversion],
        models: list[Path],
        photographs: Path,
        arguments: str,
        reason: str,
    ) -> None:
        names = {
            "float": models[0],
            "int8": models[1],
            "larger": convert("lite0", "float32", input_size=96).files[0].path,
            "fewer": convert("lite0", "float32", classes=7).files[0].path,
        }
        result = validate("--data", photographs, *arguments.format(**names).split())
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith(f"Error: {reason.format(**names)}")
        assert result.stderr.count("\n") == 1


def test_no_image_stays_in_memory(tiny: Any, tmp_path: Path) -> None:
    """What 1,500 more of them take is their scores, two times six numbers each, and their share of the choice."""
    from lite_toolkit.conversion.float_model import from_keras, to_tflite
    from lite_toolkit.quantization.quantizer import quantize

    files = [tmp_path / "float.tflite", tmp_path / "int8.tflite"]
    images = np.random.default_rng(0).integers(0, 256, (2000, 32, 32, 3), np.uint8)
    content = to_tflite(from_keras(tiny), "logits")
    calibration = google_lite(32).normalize(images[:4])
    files[0].write_bytes(content)
    files[1].write_bytes(quantize(content, recipes.load("int8-minmax"), google_lite(32), calibration, "int8"))
    np.save(tmp_path / "images.npy", images)

    def peak(samples: int) -> int:
        tracemalloc.start()
        found = validation.validate(*files, tmp_path / "images.npy", preprocessing=google_lite, samples=samples)
        assert found.comparison.images == samples
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(1)  # loads what is loaded once
    assert peak(2000) - peak(500) < 1500 * images[0].nbytes / 4


def validate(*arguments: object) -> Result:
    return CliRunner().invoke(main.main, ["validate", *map(str, arguments)])
