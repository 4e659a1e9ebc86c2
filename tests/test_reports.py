"""Reports that were saved before are read, tell the same again, and can be shown and compared.

The files in tests/golden/reports are of version 0.1.0, of every kind that is read, on a small model of random weights;
some layers, operators and measurements were taken out.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from lite_toolkit import outputs
from lite_toolkit.cli import main
from lite_toolkit.measurement.latency import Benchmark, Second
from lite_toolkit.reports import comparison, reading

SAVED = sorted((Path(__file__).parent / "golden/reports").glob("*.json"))
by_name = pytest.mark.parametrize("path", SAVED, ids=lambda path: path.stem)


def document(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def kind(path: Path) -> str:
    return str(document(path)["schema"]).removeprefix("lite-toolkit/")


def test_there_is_one_of_every_kind() -> None:
    assert {kind(path) for path in SAVED} == {report.KIND for report in reading.KINDS}


@by_name
def test_it_tells_the_same_again(path: Path, tmp_path: Path) -> None:
    reading.read(path).report.save(tmp_path / "again.json")
    again = document(tmp_path / "again.json") | {"toolkit_version": document(path)["toolkit_version"]}
    assert outputs.to_json(again) == path.read_text(encoding="utf-8")


@by_name
def test_it_makes_a_page(path: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    result = CliRunner().invoke(main.main, ["report", str(path), "-o", str(tmp_path / "page.html")])
    assert result.exit_code == 0, result.output
    shown = {"edgetpu-check-compiled": "libr_dense_256", "data": "Images of photographs by class"}
    assert f">{shown.get(path.stem, 'lite0-int8')}" in (tmp_path / "page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "path",
    [path for path in SAVED if kind(path) in {report.KIND for report in comparison.KINDS}],
    ids=lambda path: path.stem,
)
def test_beside_itself_nothing_changed(path: Path) -> None:
    found = comparison.compare(path, path)
    changes = [change for device in found.devices.values() for change in (*device.latencies, *device.rates)]
    assert changes
    assert {change.direction for change in changes} == {"unclear"}


def test_two_runs_of_one_evaluation_are_equal() -> None:
    saved = next(path for path in SAVED if path.stem == "evaluate")
    found = reading.read(saved).report
    later = document(saved) | {"seconds": {"images": 9.0}, "workers": 8, "images_per_second": 1.0}
    assert type(found).from_json(later, "later.json") == found
    assert type(found).from_json(later | {"data": "others"}, "later.json") != found


def test_a_second_tells_its_runs_and_the_machine() -> None:
    saved = next(path for path in SAVED if path.stem == "benchmark")
    second = document(saved)["measurements"][0]["sustained"][0]
    (source,) = reading.read(saved).of(Benchmark)
    found = source.measurements[0].sustained[0]
    assert isinstance(found, Second)
    assert found.latency.distribution.p50_ms == second["latency"]["p50_ms"]
    assert found.band_ms[1] == pytest.approx(second["latency"]["p50_ms"])


def test_a_picture_shows_every_point_in_a_png_too(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from lite_toolkit.drawings import pictures

    def figure() -> Any:
        page, axes = pictures.panel(4, 3)
        pictures.dots(axes, [1, 2, 3], [1, 2, 1], 6, color=pictures.SERIES[0])
        axes.set_axis_off()
        return page

    pictures.save(figure, "dots", tmp_path / "dots.png", force=False)
    with Image.open(tmp_path / "dots.png") as picture:
        pixels = np.asarray(picture.convert("L"))
    assert (pixels < 200).sum() == pytest.approx(3 * np.pi * (6 / 72 * 150 / 2) ** 2, rel=0.1)  # discs of 6 points
