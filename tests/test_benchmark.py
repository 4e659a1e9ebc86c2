"""`lite-toolkit benchmark` on real models, from the command line to its report."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from lite_toolkit.board import latency
from lite_toolkit.cli import main as cli
from lite_toolkit.conversion import pipeline
from lite_toolkit.errors import OutputError
from lite_toolkit.runtime import interpreter
from lite_toolkit.runtime.delegates import NONE
from lite_toolkit.tflite.graph import read_graph

Convert = Callable[..., pipeline.Conversion]
FAST = ("--runs", "3", "--seconds", "0")


def benchmark(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli.main, ["benchmark", *map(str, arguments)])


def report(*arguments: str | Path) -> dict[str, Any]:
    result = benchmark(*arguments, *FAST, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.fixture(scope="module")
def model(convert: Convert) -> Path:
    return convert("lite0", "int8").files[0].path


@pytest.fixture(scope="module")
def image(photographs: Path) -> Path:
    return photographs / "picture00.jpg"


def test_every_model_is_measured_with_every_number_of_threads(model: Path, convert: Convert) -> None:
    other = convert("lite0", "float32").files[0].path
    found = report(model, other, "--threads", "1,2,1")
    assert (found["schema"], found["schema_version"]) == ("lite-toolkit/benchmark", 1)
    pairs = [(one["model"], one["threads"]) for one in found["measurements"]]
    assert pairs == [(model.name, 1), (model.name, 2), (other.name, 1), (other.name, 2)]


def test_a_measurement_keeps_every_value(model: Path) -> None:
    (found,) = report(model)["measurements"]
    raw = found["latency"]["raw_ms"]
    assert len(raw) == found["latency"]["runs"] >= 3
    assert found["latency"]["p50_ms"] == pytest.approx(np.percentile(raw, 50))
    assert found["latency"]["p99_ms"] == pytest.approx(np.percentile(raw, 99))
    assert len(found["warm_up"]["raw_ms"]) >= 9
    assert found["init_ms"] > 0
    assert found["first_ms"] > 0


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell")
@pytest.mark.usefixtures("ai_edge_litert")
def test_threads_are_counted_where_they_start(model: Path) -> None:
    """XNNPACK works with the calling thread and so many others."""
    started = [one["threads_started"] for one in report(model, "--threads", "1,2,3")["measurements"]]
    assert started == [0, 1, 2]


def test_memory_is_that_of_the_model(model: Path, convert: Convert) -> None:
    """A model's weights are read from the file and packed by XNNPACK; the larger model needs more."""
    large = convert("lite0", "float32").files[0].path
    small_bytes, large_bytes = (one["memory"]["model_bytes"] for one in report(model, large)["measurements"])
    assert model.stat().st_size < small_bytes < large_bytes
    assert large_bytes < 8 * large.stat().st_size


def test_the_way_from_an_image(model: Path, image: Path) -> None:
    (found,) = report(model, "--preprocess", image)["measurements"]
    stages = found["pipeline"]
    assert list(stages) == ["prepare", "quantize", "invoke", "total"]
    parts = np.sum([stages[stage]["raw_ms"] for stage in ("prepare", "quantize", "invoke")], axis=0)
    total = np.array(stages["total"]["raw_ms"])
    assert (parts <= total).all()
    assert np.median(total - parts) < 0.1


def test_sustained_runs_have_the_state_of_each_second(model: Path) -> None:
    (found,) = report(model, "--sustained", "0.03")["measurements"]
    ends = [second["seconds"] for second in found["sustained"]]
    assert len(ends) == 2
    assert 1 <= ends[0] < 1.8 <= ends[1] < 4
    for second in found["sustained"]:
        assert second["latency"]["runs"] * second["latency"]["mean_ms"] / 1e3 <= second["seconds"]
        assert {"frequencies_khz", "temperatures_celsius", "throttled"} <= set(second)


@pytest.mark.usefixtures("ai_edge_litert")
def test_the_profile_has_every_operator(model: Path) -> None:
    (found,) = report(model, "--profile")["profiles"]
    operators = read_graph(model).subgraphs[0].operators
    assert [(one["index"], one["operator"]) for one in found["operators"]] == [(op.index, op.name) for op in operators]
    assert found["operators"][1]["layer"] == "stem_conv"
    assert found["sum_ms"] == pytest.approx(sum(one["p50_ms"] for one in found["operators"]))
    assert 0.2 < found["sum_ms"] / found["latency"]["p50_ms"] < 5


@pytest.mark.usefixtures("ai_edge_litert")
@pytest.mark.parametrize("form", ["float32", "float16", "dynamic", "int8"])
def test_operators_as_models_compute_what_the_model_does(form: str, convert: Convert) -> None:
    """Run one after another by the same kernels, they end in the very scores."""
    from lite_toolkit.tflite import surgery

    model = convert("lite0", form).files[0].path
    main = read_graph(model).subgraphs[0]
    whole = interpreter.interpreter(model, 1, NONE)
    latency.fill(whole)
    values = {main.inputs[0]: whole.get_tensor(main.inputs[0])}
    whole.invoke()
    for index, operator in surgery.operators(model.read_bytes()):
        loaded = interpreter.interpreter(operator, 1, NONE)
        read = {main.tensors[number].name: number for number in main.operators[index].inputs if number in values}
        for details in loaded.get_input_details():
            loaded.set_tensor(details["index"], values[read[details["name"]]])
        loaded.invoke()
        (written,) = loaded.get_output_details()
        values[main.operators[index].outputs[0]] = loaded.get_tensor(written["index"])
    (scores,) = main.outputs
    assert np.array_equal(values[scores], whole.get_tensor(scores))


@pytest.mark.parametrize("sustained", [(), ("--sustained", "0.02")])
@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_the_drawing(sustained: tuple[str, ...], suffix: str, model: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / f"latency{suffix}"
    assert benchmark(model, *FAST, *sustained, "--plot", picture).exit_code == 0
    assert picture.stat().st_size > 5000
    assert benchmark(model, *FAST, "--plot", picture).exit_code == 1  # it exists


def test_the_report_is_there_where_the_plot_cannot_be_drawn(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")

    def refuse(*_: object) -> None:
        raise OutputError("no space left")

    monkeypatch.setattr("lite_toolkit.drawings.latency.draw", refuse)
    saved = tmp_path / "report.json"
    result = benchmark(model, *FAST, "--json", "-o", saved, "--plot", tmp_path / "plot.svg")
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (1, "Error: no space left")
    assert result.stdout == saved.read_text()


@pytest.mark.usefixtures("ai_edge_litert")
def test_what_people_see(model: Path, image: Path) -> None:
    shown = benchmark(model, *FAST, "--preprocess", image, "--profile").stdout
    assert "nodes delegated" in shown
    assert "60/62 XNNPACK, 2 QUANTIZE left" in shown
    assert "decode, crop, resize, normalise" in shown
    assert "DEPTHWISE_CONV_2D" in shown


@pytest.mark.usefixtures("ai_edge_litert")
def test_full_delegation_can_be_required(model: Path, convert: Convert) -> None:
    refused = benchmark(model, *FAST, "--require-full-delegation")
    assert refused.exit_code == 1
    assert (
        "XNNPACK took 60 of 62 nodes, but all are required: the runtime's own kernels run 2 QUANTIZE" in refused.output
    )
    assert benchmark(convert("lite0", "float32").files[0].path, *FAST, "--require-full-delegation").exit_code == 0


def truncated(model: Path, folder: Path) -> Path:
    (folder / "short.tflite").write_bytes(model.read_bytes()[:50_000])
    return folder / "short.tflite"


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["none.tflite"], 1, "cannot read none.tflite: No such file or directory"),
        (["{truncated}"], 1, "lie outside the 50000 bytes of this damaged file"),
        (["{model}", "--delegate", "gpu"], 1, "unknown delegate 'gpu'"),
        (["{model}", "--delegate", "/nowhere/d.so"], 1, "delegate /nowhere/d.so: no such file"),
        (["{model}", "--delegate-option", "device"], 2, "'device' is not KEY=VALUE"),
        (["{model}", "--threads", "0"], 2, "'0': must be numbers from 1 to 256"),
        (["{model}", "--threads", "1,x"], 2, "'1,x': must be numbers from 1 to 256"),
        (["{model}", "--preprocess", "none.jpg"], 1, "none.jpg: no such file"),
        (["{model}", "--preprocessing", "lite"], 2, "--preprocessing is for --preprocess IMAGE"),
        (["{model}", "--delegate", "none", "--require-full-delegation"], 2, "--delegate none has none"),
        (["{model}", "--delegate", "edgetpu", "--profile"], 2, "must be xnnpack or none"),
        (["{model}", "--plot", "latency.gif"], 1, "suffix must be one of .png, .svg"),
    ],
)
def test_wrong_use_is_one_line(arguments: list[str], exit_code: int, message: str, model: Path, tmp_path: Path) -> None:
    places = {"model": model, "truncated": truncated(model, tmp_path)}
    result = benchmark(*(argument.format(**places) for argument in arguments), *FAST)
    assert result.exit_code == exit_code
    assert message in result.stderr
    assert result.stderr.splitlines()[-1].startswith("Error: ")


def test_no_runtime_is_installed(monkeypatch: pytest.MonkeyPatch, model: Path) -> None:
    monkeypatch.setattr(interpreter, "_RUNTIMES", {"a runtime": "no_such_runtime.interpreter"})
    with pytest.raises(interpreter.ModelError, match="no LiteRT runtime is installed: pip install ai-edge-litert"):
        interpreter.interpreter(model)
