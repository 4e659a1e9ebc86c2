"""`lite-toolkit convert --target edgetpu`: int8 models of which the forecast says that every operator is mapped."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from lite_toolkit.cli.main import main
from lite_toolkit.edgetpu.forecast import Forecast, check

MAPPED, LEAKY = "relu6", "leaky_relu"


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classifiers of four classes: their only activation is RELU6, or LEAKY_RELU, which no Edge TPU has."""
    keras = pytest.importorskip("keras", reason="converts a Keras model")
    folder = tmp_path_factory.mktemp("networks")
    for name in (MAPPED, LEAKY):
        image = keras.Input((16, 16, 3), batch_size=1)
        maps = keras.layers.Conv2D(8, 3, activation=name)(image)
        scores = keras.layers.Dense(4, activation="softmax")(keras.layers.GlobalAveragePooling2D()(maps))
        keras.Model(image, scores).save(folder / f"{name}.keras")
    return folder


def convert(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["convert", "--target", "edgetpu", *map(str, arguments)])


@pytest.fixture(scope="module")
def converted(networks: Path) -> dict[str, Any]:
    """The report of a conversion with no other choice than the target; the float model is kept too."""
    done = convert("--model", networks / f"{MAPPED}.keras", "--keep-float", "--output", networks / "out", "--json")
    assert done.exit_code == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_int8_with_uint8_ends_is_the_default(converted: dict[str, Any]) -> None:
    made = converted["files"][0]["manifest"]
    ends = made["model"]["format"], made["input"]["dtype"], made["output"]["dtype"], made["input"]["shape"][0]
    assert ends == ("int8", "uint8", "uint8", 1)


def test_the_manifest_has_the_forecast(converted: dict[str, Any]) -> None:
    int8, float32 = converted["files"]
    found = check(Path(int8["path"]))
    assert isinstance(found, Forecast)
    target = int8["manifest"]["target"]
    # 3x3 kernels of 3 padded to 4 channels, and 8 inputs, both with 16 lanes; three matrices and a block for SOFTMAX.
    by_hand = (9 * 4 + 4 + 8) * 16 + (8 + 4 + 8) * 16 + 3 * 16 * 4 + 64
    assert target["parameters_bytes"] == found.parameters_bytes == by_hand
    assert (target["name"], target["operators"], target["mapped"]) == ("edgetpu", len(found.operators), found.mapped)
    assert (target["cached_bytes"], target["streamed_bytes"]) == ([found.parameters_bytes] * 2, [0, 0])
    assert (target["minimum_runtime"], target["lowest_runtime"]) == (14, 13)
    assert target["uncertain"] == list(found.uncertain)
    assert float32["manifest"]["target"] is None


def test_people_see_the_forecast(networks: Path, tmp_path: Path) -> None:
    done = convert("--model", networks / f"{MAPPED}.keras", "--recipe", "int8-minmax", "--output", tmp_path)
    assert "every operator, " in done.stdout
    assert "runtime 14 or later, 13 if compiled for it" in done.stdout
    assert "uncertain: the parameters of SOFTMAX" in done.stdout


def test_an_operator_on_the_cpu_is_a_missed_gate(networks: Path, tmp_path: Path) -> None:
    done = convert("--model", networks / f"{LEAKY}.keras", "--recipe", "int8-minmax", "--output", tmp_path)
    assert done.exit_code == 3
    assert "leaky_relu-int8.tflite: " in done.stderr
    assert "LEAKY_RELU ×1 (the Edge TPU has no such operation, use RELU, RELU6 or PRELU)" in done.stderr
    assert done.stderr.endswith("; nothing was written\n")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("option", "named"),
    [
        ("--float32", "--float32 contradicts --target edgetpu"),
        ("--int8 --float32", "--float32 contradicts --target edgetpu"),
        ("--float16", "--float16 contradicts --target edgetpu"),
        ("--dynamic", "--dynamic contradicts --target edgetpu"),
        ("--recipe int16x8", "--int16x8 contradicts --target edgetpu"),
        ("--io float32", "--io float32 contradicts --target edgetpu"),
        ("--max-drop 1", "--max-drop keeps layers in float, which --target edgetpu does not run"),
        ("--recipe mixed.toml", "--recipe mixed keeps layers in float, which --target edgetpu does not run"),
    ],
)
def test_what_contradicts_the_target_is_wrong_usage(
    option: str, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mixed.toml").write_text('format = "int8"\nin_float = ["stem_conv"]\n')
    done = convert("--variant", "lite0", *option.split())
    assert (done.exit_code, named in done.stderr) == (2, True), done.stderr
