"""Two reports side by side: ratios by hand, intervals against plain resampling, gates, hosts and damaged files."""

import contextlib
import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from lite_toolkit.cli import main
from lite_toolkit.conversion import pipeline
from lite_toolkit.documents import document
from lite_toolkit.errors import ReportError
from lite_toolkit.reports.comparison import compare, ratio_interval

Document = dict[str, Any]
ENVIRONMENT = {
    "board": "Raspberry Pi 4 Model B Rev 1.5",
    "cpu": None,
    "machine": "aarch64",
    "processors": 4,
    "governors": ["performance"],
    "system": "Linux",
    "os": "Debian GNU/Linux 12 (bookworm)",
    "kernel": "6.6.31",
    "runtime": "ai-edge-litert 2.3.0",
    "numpy": "2.4.6",
    "python": "3.11.2",
}


STATE = {"frequencies_khz": [], "temperatures_celsius": {}, "throttled": None}


def measurement(
    raw_ms: list[float], model: str = "a.tflite", threads: int = 1, delegate: str = "xnnpack", **changed: Any
) -> Document:
    shares = [{"delegate": "XNNPACK", "nodes": 60, "partitions": 1}]
    return {
        "model": model,
        "size_bytes": 5_000_000,
        "threads": threads,
        "threads_started": threads - 1,
        "delegate": delegate,
        "delegate_library": None,
        "delegate_library_version": None,
        "warm_up": {"steady": True, "raw_ms": [25.0]},
        "pipeline": None,
        "load_average": 0.1,
        "others_busy_processors": None,
        "before": STATE,
        "after": STATE,
        "sustained": [],
        "nodes": {"nodes": 62, "shares": shares, "kernels": {"QUANTIZE": 2}},
        "init_ms": 12.5,
        "first_ms": 9.5,
        "latency": {"raw_ms": raw_ms},
        "memory": {"before_bytes": 40_000_000, "peak_bytes": 65_000_000, "model_bytes": 25_000_000},
        "doubts": [],
    } | changed


def benchmark(*measurements: Document, **environment: Any) -> Document:
    content = {"environment": ENVIRONMENT | environment, "measurements": list(measurements), "profiles": []}
    return document("benchmark", {"device": "local", **content})


def evaluation(correct: int, images: int = 100, data: str = "validation") -> Document:
    top = [
        {"k": k, "correct_images": count, "images": images, "tied_images": 0}
        for k, count in ((1, correct), (5, images))
    ]
    content = {"device": "local", "model": {"file": "a.tflite", "sha256": "0" * 64}, "data": data, "top": top}
    content |= {"images": images, "ground_truth": {"source": "labels.csv", "offset": 0}, "preprocessing": {}}
    content |= dict.fromkeys(("unreadable_images", "classes", "confusions", "notes"), ())
    content |= {"reference": None, "pairing": None, "workers": 1, "resumed_images": 0, "seconds": {}}
    return document("evaluate", content | {"images_per_second": 100.0})


def validation(agreement_percent: float = 96.0, sqnr_db: float | None = 25.0) -> Document:
    figures = {"sqnr_db": sqnr_db, "kl_divergence_nats": 0.002, "largest_difference": 1.5, "scores": "logits"}
    shares = {"agreement_percent": agreement_percent, "top5_agreement_percent": 100.0}
    content = {"float": "f.tflite", "quantized": "a.tflite", "data": "50 photographs in p", "skipped_images": []}
    content |= {"preprocessing": {}, "comparison": {"images": 50, **shares, **figures}}
    return document("validate", {**content, "layers": [], "worst": []})


def devices(**reports: Document) -> Document:
    """The report of several devices."""
    kind = next(iter(reports.values()))["schema"].removeprefix("lite-toolkit/")
    found = [{**report, "device": name} for name, report in reports.items()]
    return document(f"{kind}-devices", {"devices": found, "failed": []})


SEVEN = [4.0, 1, 7, 2, 6, 3, 5]
TWICE = [2 * value for value in SEVEN]


class Side:
    """A and B as files, and the command on them."""

    def __init__(self, folder: Path) -> None:
        self.a, self.b = folder / "A.json", folder / "B.json"

    def write(self, a: Document, b: Document) -> None:
        self.a.write_text(json.dumps(a), encoding="utf-8")
        self.b.write_text(json.dumps(b), encoding="utf-8")

    def run(self, a: Document, b: Document, *options: str) -> Result:
        self.write(a, b)
        return CliRunner().invoke(main.main, ["compare", str(self.a), str(self.b), *options])

    def report(self, a: Document, b: Document, *options: str) -> Document:
        result = self.run(a, b, *options, "--json")
        assert result.exit_code == 0, result.stderr
        found: Document = json.loads(result.stdout)
        return found

    def latencies(self, a: Document, b: Document) -> list[Document]:
        found: list[Document] = self.report(a, b)["devices"][0]["latencies"]
        return found


@pytest.fixture
def side(tmp_path: Path) -> Side:
    return Side(tmp_path)


def assert_refused(result: Result, *parts: str) -> None:
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    for part in parts:
        assert part in result.stderr


class TestLatency:
    def test_the_ratio_is_that_of_the_medians(self, side: Side) -> None:
        (found,) = side.latencies(benchmark(measurement(SEVEN)), benchmark(measurement([*TWICE, 100.0])))
        assert (found["a"]["latency"]["p50_ms"], found["b"]["latency"]["p50_ms"]) == (4, 9)
        assert found["ratio"] == 2.25
        assert found["a"]["latency"]["p90_ms"] == pytest.approx(6.4)  # place 5.4 of 1, 2, ... 7
        assert (found["a"]["delegated_nodes"], found["a"]["nodes"]) == (60, 62)

    def test_a_report_beside_itself(self, side: Side) -> None:
        report = benchmark(measurement(SEVEN), measurement(TWICE, threads=2))
        for found in side.latencies(report, report):
            assert found["ratio"] == 1
            assert found["low_ratio"] < 1 < found["high_ratio"]
            assert found["direction"] == "unclear"

    @pytest.mark.parametrize("count", [6, 7, 50, 51])
    def test_the_interval_is_that_of_plain_resampling(self, count: int) -> None:
        generator = np.random.default_rng(1)
        runs = [generator.integers(1_000_000, 2_000_000, count) for _ in "ab"]
        medians = [np.median(generator.choice(side, (40_000, count)), axis=1) for side in runs]
        expected = np.percentile(medians[1] / medians[0], (2.5, 97.5))
        assert ratio_interval(runs[0].tolist(), runs[1].tolist()) == pytest.approx(expected, rel=0.01)

    def test_the_interval_holds_the_true_ratio_as_often_as_it_says(self) -> None:
        generator = np.random.default_rng(2)
        held = 0
        for _ in range(300):
            a, b = (1e6 * scale * generator.lognormal(0, 0.1, 60) for scale in (1, 1.1))
            low, high = ratio_interval(a.astype(int).tolist(), b.astype(int).tolist())
            held += low <= 1.1 <= high
        assert 0.92 <= held / 300 <= 0.99

    def test_equal_inputs_give_equal_intervals(self) -> None:
        a, b = [1, 2, 3, 4, 5, 6], [2, 3, 4, 5, 6, 7]
        assert ratio_interval(a, b) == ratio_interval(a, b)


class TestMatching:
    def test_threads_and_delegates_belong_together(self, side: Side) -> None:
        ours = [measurement(SEVEN, threads=1), measurement(SEVEN, threads=2), measurement(SEVEN, delegate="none")]
        theirs = [measurement(SEVEN, delegate="none"), measurement(SEVEN, threads=2), measurement(SEVEN, threads=4)]
        report = side.report(benchmark(*ours), benchmark(*theirs))
        (found,) = report["devices"]
        assert [(one["threads"], one["delegate"]) for one in found["latencies"]] == [(2, "xnnpack"), (1, "none")]
        assert found["notes"] == [
            "Only A has measurement a.tflite (threads 1, xnnpack).",
            "Only B has measurement a.tflite (threads 4, xnnpack).",
        ]

    @pytest.mark.parametrize(
        ("theirs", "pairs"),
        [
            (["y", "x"], [("x", "x"), ("y", "y")]),
            (["y"], [("y", "y")]),
            (["v", "w"], [("x", "v"), ("y", "w")]),
            (["v", "x"], [("x", "x")]),
        ],
    )
    def test_models(self, side: Side, theirs: list[str], pairs: list[tuple[str, str]]) -> None:
        reports = [benchmark(*(measurement(SEVEN, model=name) for name in names)) for names in (["x", "y"], theirs)]
        assert [(one["a"]["model"], one["b"]["model"]) for one in side.latencies(*reports)] == pairs

    @pytest.mark.parametrize(
        ("theirs", "reason"),
        [
            ([measurement(SEVEN, threads=3)], "B has a.tflite (threads 3, xnnpack)"),
            ([measurement(SEVEN, model="b"), measurement(SEVEN, model="c")], "no measurement of A has the model"),
            ([measurement(SEVEN), measurement(TWICE)], "a.tflite (threads 1, xnnpack) was measured twice"),
            ([measurement(SEVEN[:5])], "has 5 runs: an interval of 95% needs 6"),
            ([], "B has none"),
        ],
    )
    def test_what_cannot_be_matched(self, side: Side, theirs: list[Document], reason: str) -> None:
        assert_refused(side.run(benchmark(measurement(SEVEN)), benchmark(*theirs)), reason)

    def test_devices_by_name(self, side: Side) -> None:
        ours = devices(pi=benchmark(measurement(SEVEN)), coral=benchmark(measurement(SEVEN)))
        theirs = devices(jetson=benchmark(measurement(SEVEN)), pi=benchmark(measurement(TWICE)))
        report = side.report(ours, theirs)
        assert [(one["device"], one["latencies"][0]["ratio"]) for one in report["devices"]] == [("pi", 2)]
        assert report["notes"] == ["Only A has device coral.", "Only B has device jetson."]
        slower = devices(pi=benchmark(measurement([10 * value for value in SEVEN])))
        result = side.run(ours, slower, "--max-latency-regression", "50%")
        assert "a.tflite, threads 1, xnnpack on pi is 900.0% higher, more than 50%" in result.stderr
        del theirs["devices"][1]
        assert_refused(side.run(ours, theirs), "no device in common: they have pi, coral and jetson")

    def test_two_kinds(self, side: Side) -> None:
        result = side.run(evaluation(90), benchmark(measurement(SEVEN)))
        assert_refused(result, "A.json is of kind evaluate", "B.json of kind benchmark")


class TestHosts:
    @pytest.mark.parametrize(
        ("name", "value", "told"),
        [
            ("board", None, "board (Raspberry Pi 4 Model B Rev 1.5 and null)"),
            ("cpu", "AMD EPYC", "cpu (null and AMD EPYC)"),
            ("machine", "armv7l", "machine (aarch64 and armv7l)"),
            ("processors", 2, "processors (4 and 2)"),
            ("os", "Debian GNU/Linux 11 (bullseye)", "os (Debian GNU/Linux 12 (bookworm) and Debian"),
        ],
    )
    def test_different_ones_are_refused(self, side: Side, name: str, value: object, told: str) -> None:
        reports = benchmark(measurement(SEVEN)), benchmark(measurement(SEVEN), **{name: value})
        assert_refused(side.run(*reports), "different hosts", told, "--across-hosts")
        (found,) = side.report(*reports, "--across-hosts")["devices"]
        assert any(told in note for note in found["notes"])

    def test_another_state_or_version_is_a_note(self, side: Side) -> None:
        other = benchmark(measurement(SEVEN), governors=["ondemand"], runtime="ai-edge-litert 2.4.0")
        (found,) = side.report(benchmark(measurement(SEVEN)), other)["devices"]
        (note,) = found["notes"]
        assert "governors (performance and ondemand)" in note
        assert "runtime (ai-edge-litert 2.3.0 and ai-edge-litert 2.4.0)" in note

    def test_what_a_machine_is_called_is_cut_and_cleaned(self, side: Side) -> None:
        other = benchmark(measurement(SEVEN), cpu="\x1b[2J\u200b" + "x" * 1_000_000, surplus="y" * 1_000_000)
        result = side.run(benchmark(measurement(SEVEN)), other)
        assert_refused(result, "cpu (null and \ufffd[2J\ufffdxxx", "x…)")
        assert len(result.stderr) < 600

    def test_doubts_are_passed_on(self, side: Side) -> None:
        doubtful = benchmark(measurement(SEVEN, doubts=["the times drift"]))
        (found,) = side.report(benchmark(measurement(SEVEN)), doubtful)["devices"]
        assert found["notes"] == ["By the reports themselves, 0 measurements of A and 1 of B are doubtful."]


class TestRates:
    def test_an_evaluation(self, side: Side) -> None:
        report = side.report(evaluation(56, 70, "one"), evaluation(48, 80, "other"))
        (found,) = report["devices"]
        top1, top5 = found["rates"]
        assert top1["change_points"] == pytest.approx(-20)
        # Newcombe, Statistics in Medicine 17 (1998), 873-890, table II: 56/70 - 48/80, method 10.
        assert (top1["low_points"], top1["high_points"]) == pytest.approx((-33.39, -5.24), abs=0.005)
        assert (top1["direction"], top5["direction"]) == ("lower", "unclear")
        assert found["notes"] == ["The images differ: 70 of one in A, 80 of other in B."]

    def test_a_validation(self, side: Side) -> None:
        (found,) = side.report(validation(96.0), validation(100.0, sqnr_db=None))["devices"]
        agreement, _ = found["rates"]
        assert (agreement["a"]["correct_images"], agreement["b"]["correct_images"]) == (48, 50)
        assert agreement["change_points"] == pytest.approx(4)
        assert (found["quantized"]["a"]["sqnr_db"], found["quantized"]["b"]["sqnr_db"]) == (25, None)
        assert found["notes"] == []

    def test_manifests_tell_sizes(self, side: Side, convert: Callable[..., pipeline.Conversion]) -> None:
        (model,) = convert("lite0", "int8").files
        manifest = json.loads(model.path.with_suffix(".json").read_text())
        (found,) = side.report(manifest, manifest)["devices"]
        assert found["quantized"]["a"]["size_bytes"] == model.path.stat().st_size
        assert [one["name"] for one in found["rates"]] == ["agreement", "top-5 agreement"]


class TestGates:
    @pytest.mark.parametrize(
        ("runs", "limit", "code"),
        [
            ([1.05 * value for value in 60 * [0.99, 1, 1.01]], "4", 3),
            ([1.05 * value for value in 60 * [0.99, 1, 1.01]], "4%", 3),
            ([1.05 * value for value in 60 * [0.99, 1, 1.01]], "6%", 0),
            (np.linspace(0.55, 1.55, 61).tolist(), "4%", 0),  # 5% within much noise
            ([0.95 * value for value in 60 * [0.99, 1, 1.01]], "0", 0),
        ],
    )
    def test_latency(self, side: Side, runs: list[float], limit: str, code: int) -> None:
        before = benchmark(measurement(60 * [0.99, 1, 1.01]))
        result = side.run(before, benchmark(measurement(runs)), "--max-latency-regression", limit)
        assert result.exit_code == code, result.stderr
        assert "B / A" in result.stdout
        assert ("is 5.0% higher, more than 4%" in result.stderr) == (code == 3)

    @pytest.mark.parametrize(
        ("reports", "name"),
        [((evaluation(90), evaluation(87)), "top-1"), ((validation(96), validation(92)), "agreement")],
    )
    def test_drops(self, side: Side, reports: tuple[Document, Document], name: str) -> None:
        result = side.run(*reports, "--max-drop", "2", "-o", str(side.a.with_name("compared.json")))
        assert result.exit_code == 3
        assert f"{name} is " in result.stderr
        assert "points lower, more than 2" in result.stderr
        saved = json.loads(side.a.with_name("compared.json").read_text())
        assert len(saved["missed_gates"]) == 1
        assert side.run(*reports, "--max-drop", "4").exit_code == 0
        assert side.run(*reversed(reports), "--max-drop", "0").exit_code == 0

    @pytest.mark.parametrize(
        ("report", "option"),
        [(evaluation(90), "--max-latency-regression"), (benchmark(measurement(SEVEN)), "--max-drop")],
    )
    def test_one_of_another_kind_is_wrong_usage(self, side: Side, report: Document, option: str) -> None:
        result = side.run(report, report, option, "5")
        assert result.exit_code == 2
        assert f"{option} is for reports of" in result.stderr

    @pytest.mark.parametrize("limit", ["-1", "nan", "inf", "5 percent", "%"])
    def test_what_is_no_percentage(self, side: Side, limit: str) -> None:
        report = benchmark(measurement(SEVEN))
        result = side.run(report, report, f"--max-latency-regression={limit}")
        assert result.exit_code == 2
        assert "must be a percentage from 0" in result.stderr


def parts(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The places of everything in a document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, inner in items for place in parts(inner, (*path, key)))]


class TestDamage:
    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"", "is no JSON file"),
            (b"\xff\xfe", "is no JSON file"),
            (b"[" * 100_000, "is no JSON file"),
            (b"[1, 2]", "has schema None: must be lite-toolkit/ and one of benchmark, benchmark-devices, evaluate"),
            (b'{"schema": ["lite-toolkit/benchmark"]}', "has schema ['lite-toolkit/benchmark']"),
            (b'{"schema": "lite-toolkit/inspect", "schema_version": 1}', "has schema 'lite-toolkit/inspect'"),
            (b'{"schema": "lite-toolkit/benchmark", "schema_version": 2}', "has schema version 2: must be 1"),
            (b'{"schema": "lite-toolkit/benchmark", "schema_version": 1}', "toolkit_version None: must be a text"),
        ],
    )
    def test_other_files(self, side: Side, content: bytes, reason: str) -> None:
        side.write(benchmark(measurement(SEVEN)), {})
        side.b.write_bytes(content)
        result = CliRunner().invoke(main.main, ["compare", str(side.a), str(side.b)])
        assert_refused(result, "B.json", reason)

    @pytest.mark.parametrize(
        ("place", "value", "reason"),
        [
            (("latency", "raw_ms", 3), float("nan"), "measurements[0].latency.raw_ms[3] nan: must be a finite number"),
            (("latency", "raw_ms", 3), 10**400, "measurements[0].latency.raw_ms[3] 1000"),
            (("latency", "raw_ms", 3), 0, "measurements[0].latency.raw_ms[3] 0: must be a finite number above 0"),
            (("threads",), True, "measurements[0].threads True: must be a whole number from 0"),
            (("memory", "peak_bytes"), -1, "measurements[0].memory.peak_bytes -1: must be a whole number from 0"),
            (("model",), None, "measurements[0].model None: must be a text"),
            (("nodes", "shares"), {}, "measurements[0].nodes.shares {}: must be a list"),
        ],
    )
    def test_the_place_of_the_damage_is_told(self, side: Side, place: tuple[Any, ...], value: Any, reason: str) -> None:
        damaged = benchmark(measurement(list(SEVEN)))
        inner = damaged["measurements"][0]
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = value
        assert_refused(side.run(benchmark(measurement(SEVEN)), damaged), "B.json is damaged: ", reason)

    def test_a_float_model_was_not_quantized(self, side: Side) -> None:
        endpoint = {"name": "x", "shape": [1], "dtype": "float32"}
        content = {
            "model": {"file": "f.tflite", "sha256": "0" * 64, "size_bytes": 1, "format": "float32", "scores": "logits"},
            "weights": {"source": "none (random)", "sha256": None},
            "recipe": {"name": "float32", "format": "float32"},
            **dict.fromkeys(("variant", "calibration", "held_out")),
            **dict.fromkeys(("input", "output"), endpoint),
        }
        manifest = document("manifest", {**content, "versions": {}})
        assert_refused(side.run(manifest, manifest), "has no held-out images")

    @pytest.mark.parametrize(
        "value",
        ids=lambda value: str(value)[:9],
        argvalues=[None, [], {}, "text", -1, 0.5, float("inf"), 10**400, [[]], {"k": 1}],
    )
    @pytest.mark.parametrize(
        "report",
        [benchmark(measurement(SEVEN)), devices(pi=evaluation(90)), validation()],
        ids=lambda one: one["schema"],
    )
    def test_whatever_stands_anywhere_is_read_or_refused(self, side: Side, report: Document, value: Any) -> None:
        for place in parts(report)[1:]:
            damaged = copy.deepcopy(report)
            inner = damaged
            for key in place[:-1]:
                inner = inner[key]
            inner[place[-1]] = value
            side.write(report, damaged)
            with contextlib.suppress(ReportError):
                compare(side.a, side.b, across_hosts=True)
