"""Verifying bundles: files that were changed, machines that compute something else, and bundles that are a trap."""

import hashlib
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from lite_toolkit import outputs
from lite_toolkit.board import golden
from lite_toolkit.bundle import contents, packing, parity
from lite_toolkit.cli import main
from lite_toolkit.conversion import pipeline
from lite_toolkit.errors import JobError, ReportError, TamperedError, UsageError
from lite_toolkit.runtime import children


def verify(bundle: Path, *options: str | Path) -> Result:
    return CliRunner().invoke(main.main, ["verify", str(bundle), *map(str, options)])


@pytest.fixture(scope="module")
def original(convert: Callable[..., pipeline.Conversion], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles") / "lite0"
    packing.package(packing.Request(convert("lite0", "int8").files[0].path, ("ios",), folder))
    return folder


@pytest.fixture
def bundle(original: Path, tmp_path: Path) -> Path:
    """One to change."""
    return Path(shutil.copytree(original, tmp_path / "bundle"))


def describe(bundle: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change `bundle.json`, and hash it and the files again, as somebody with bad intentions would."""
    path = bundle / "bundle.json"
    found = json.loads(path.read_text())
    for entry in found["files"]:
        data = (bundle / entry["path"]).read_bytes()
        entry |= {"size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    change(found)
    del found["sha256"]
    found["sha256"] = hashlib.sha256(outputs.to_json(found).encode()).hexdigest()
    path.write_text(outputs.to_json(found))


def nothing(found: dict[str, Any]) -> None:
    """Leave it."""


def test_a_bundle_holds_where_it_was_made(original: Path) -> None:
    done = verify(original, "--json")
    report = json.loads(done.stdout)
    assert (done.exit_code, report["schema"], report["device"], report["good"]) == (
        0,
        "lite-toolkit/verify",
        "local",
        True,
    )
    assert [stage["name"] for stage in report["stages"]] == ["decode", "resize", "quantize", "kernel", "whole"]
    assert [stage["differing"] for stage in report["stages"]] == [0] * 5
    assert [stage["values"] for stage in report["stages"]] == [3, *[3 * 64 * 64 * 3] * 2, *[3 * 1000] * 2]


@pytest.mark.usefixtures("ai_edge_litert")
def test_other_kernels_are_within_the_tolerance(original: Path) -> None:
    """It was set by them."""
    report = json.loads(verify(original, "--json", "--delegate", "none", "--threads", "2").stdout)
    kernel = report["stages"][3]
    assert 0 < kernel["largest_steps"] <= kernel["tolerance_steps"]


def test_a_board_verifies_the_same(original: Path, board: Path) -> None:
    profile = board / "board.toml"
    profile.write_text(f'title = "A board"\nhost = "board"\npython = "{sys.executable}"\n')
    done = verify(original, "--device", profile, "--json")
    report = json.loads(done.stdout)
    assert (done.exit_code, report["device"], report["good"]) == (0, "board", True)
    assert list((board / "tmp").iterdir()) == []


GOOD = {name: {"values": 1, "differing": 0, "largest": 0.0} for name in golden.STAGES}


def answering(stages: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the process of the job answer this."""
    line = json.dumps({"event": "result", "runtime": "x", "stages": stages})
    monkeypatch.setattr(children, "command", lambda module: [sys.executable, "-c", f"print({line!r})"])


@pytest.mark.parametrize(
    "wrong",
    [
        {"values": -1},
        {"differing": 2},
        {"differing": -1},
        {"largest": -1},
        {"largest": "nan"},
        {"largest": None},
        {"largest": 1e300},
        {"more": 1},
    ],
)
def test_an_answer_of_nonsense_is_one_line(
    original: Path, wrong: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    answering([GOOD, GOOD, GOOD | {"resize": GOOD["resize"] | wrong}], monkeypatch)
    with pytest.raises(JobError, match=r"^this machine answered what cannot be: stages\[2\]\.resize") as caught:
        parity.compare(parity.Request(contents.read(original)))
    assert str(caught.value).isprintable()


def test_an_answer_for_too_few_images_is_one_line(original: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answering([GOOD, GOOD], monkeypatch)
    with pytest.raises(JobError, match=r"^this machine answered for 2 golden images: must be 3$"):
        parity.compare(parity.Request(contents.read(original)))


def test_a_damaged_bundle_is_not_computed(bundle: Path) -> None:
    (bundle / "README.md").unlink()
    with pytest.raises(TamperedError, match=r"README\.md is missing"):
        parity.compare(parity.Request(contents.read(bundle)))


@pytest.mark.parametrize("threads", [0, 257])
def test_threads_are_checked_without_a_command_line_too(original: Path, threads: int) -> None:
    with pytest.raises(UsageError, match=f"--threads {threads}: must be from 1 to 256"):
        parity.Request(contents.read(original), threads)


def test_a_tampered_byte_is_told_by_its_file(bundle: Path) -> None:
    listed = contents.read(bundle)
    paths = [file.path for file in listed.files]
    assert {"model.tflite", "model.json", "README.md", "Classifier.swift", "golden/1-output.bin"} <= set(paths)
    for path in paths:
        data = (bundle / path).read_bytes()
        middle = len(data) // 2
        (bundle / path).write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])
        assert contents.damaged(listed) == {path: "has another sha256"}
        (bundle / path).write_bytes(data)
    assert contents.damaged(listed) == {}


@pytest.mark.parametrize("at", [0, 1, 40, 300, 2000, -3, -1])
def test_a_tampered_byte_of_bundle_json_is_told(bundle: Path, at: int) -> None:
    path = bundle / "bundle.json"
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    done = verify(bundle)
    assert (done.exit_code, done.stdout) == (3, "")
    assert done.stderr == f"Error: {path} was changed after it was written\n"


def test_damage_is_reported_and_exits_with_3(bundle: Path, tmp_path: Path) -> None:
    (bundle / "README.md").unlink()
    (bundle / "model.json").write_text("{}")
    (bundle / "golden/0.png").rename(tmp_path / "elsewhere.png")
    (bundle / "golden/0.png").symlink_to(tmp_path / "elsewhere.png")
    done = verify(bundle, "--json")
    problems = {one["path"]: one["problem"] for one in json.loads(done.stdout)["damaged"]}
    assert done.exit_code == 3
    assert problems.pop("model.json").startswith("has 2 bytes instead of ")
    assert problems == {"README.md": "is missing", "golden/0.png": "is a link"}
    assert "README.md is missing" in done.stderr


def test_a_report_does_not_replace_what_it_is_about(bundle: Path) -> None:
    before = (bundle / "model.tflite").read_bytes()
    done = verify(bundle, "-o", bundle / "model.tflite", "--force")
    assert done.exit_code == 2
    assert "lies in the bundle" in done.output
    assert (bundle / "model.tflite").read_bytes() == before


def test_a_folder_that_is_a_link_is_damage(bundle: Path, tmp_path: Path) -> None:
    (bundle / "golden").rename(tmp_path / "elsewhere")
    (bundle / "golden").symlink_to(tmp_path / "elsewhere")
    assert set(contents.damaged(contents.read(bundle)).values()) == {"is a link"}


def test_a_bundle_is_found_through_a_link(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to("bundle")
    assert contents.damaged(contents.read(tmp_path / "current")) == {}


def test_what_the_bundle_does_not_list_is_damage(bundle: Path, tmp_path: Path) -> None:
    (bundle / "classifier.py").write_text("import os")
    (bundle / "golden/.hidden").symlink_to(tmp_path)
    (bundle / "more/deep").mkdir(parents=True)
    (bundle / "\x1b[2J").write_text("")
    done = verify(bundle, "--json")
    problems = {one["path"]: one["problem"] for one in json.loads(done.stdout)["damaged"]}
    assert done.exit_code == 3
    assert problems == dict.fromkeys(("classifier.py", "golden/.hidden", "more", "\ufffd[2J"), "is not listed")


def other_pixels(bundle: Path) -> None:
    path = bundle / "golden/1.png"
    Image.fromarray(255 - np.asarray(Image.open(path))).save(path)


def other_tensor(name: str, by: int) -> Callable[[Path], None]:
    def change(bundle: Path) -> None:
        path = bundle / f"golden/2-{name}.bin"
        values = np.fromfile(path, np.uint8)
        values[7] = values[7] + by if values[7] < 128 else values[7] - by
        values.tofile(path)

    return change


def preprocessed(**changes: object) -> Callable[[Path], None]:
    return lambda bundle: describe(bundle, lambda found: found["preprocessing"].update(changes))


@pytest.mark.usefixtures("ai_edge_litert")  # with one kind of kernels nothing but equal scores is allowed
@pytest.mark.parametrize(
    ("change", "broken"),
    [
        (other_pixels, {"decode", "resize"}),  # a decoder that inverts is not told from a resize that does
        (preprocessed(interpolation="nearest"), {"resize"}),
        (preprocessed(crop_fraction=0.9), {"resize"}),
        (preprocessed(mean=[120.0] * 3), {"quantize"}),
        (other_tensor("output", 100), {"kernel"}),
        (other_tensor("input", 1), set()),  # one step is allowed
        (other_tensor("input", 2), {"quantize"}),
    ],
)
def test_a_difference_is_told_by_its_stage(bundle: Path, change: Callable[[Path], None], broken: set[str]) -> None:
    change(bundle)
    describe(bundle, nothing)
    done = verify(bundle, "--json")
    stages = {stage["name"]: stage for stage in json.loads(done.stdout)["stages"]}
    assert {name for name, stage in stages.items() if not stage["good"]} == broken
    assert done.exit_code == (3 if broken else 0)
    assert ("golden vectors are off on local at" in done.stderr) is bool(broken)


def test_how_much_differs(bundle: Path) -> None:
    other_tensor("output", 100)(bundle)
    describe(bundle, nothing)
    kernel = json.loads(verify(bundle, "--json").stdout)["stages"][3]
    assert (kernel["differing"], kernel["values"], kernel["largest_steps"]) == (1, 3000, 100.0)
    assert kernel["differing_percent"] == pytest.approx(1 / 30)


def edit(*keys: str | int, to: object) -> Callable[[dict[str, Any]], None]:
    def change(found: Any) -> None:
        *path, last = keys
        for key in path:
            found = found[key]
        found[last] = to

    return change


HASH = "0" * 64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        *(
            (edit("files", 0, "path", to=path), "must be a text of a path within the folder")
            for path in (
                "../../etc/passwd",
                "/etc/passwd",
                "C:\\x",
                "a/../b",
                "golden//0.png",
                ".hidden",
                "",
                "a\nb",
                7,
            )
        ),
        (edit("files", 0, "size_bytes", to=-1), "files[0].size_bytes -1: must be a whole number from 0 to"),
        (edit("files", 0, "size_bytes", to=1 << 40), "files[0].size_bytes 1099511627776: must be"),
        (edit("files", 0, "sha256", to="x"), "files[0].sha256 'x': must be a text of 64 digits"),
        (edit("files", 0, "more", to=1), "files[0]: unknown key 'more': choose from path, size_bytes, sha256"),
        (edit("files", to=[]), "files: 'model.tflite' is not listed"),
        (edit("files", 1, to={"path": "README.md", "size_bytes": 0, "sha256": HASH}), "a path is named twice"),
        (edit("golden", "vectors", to=[]), "golden.vectors []: must be a list of 1 to 100"),
        (edit("golden", "vectors", 0, "image", to="secret.png"), "files: 'secret.png' is not listed"),
        (edit("golden", "input_step", to=0), "golden.input_step 0: must be a finite number from 1e-30"),
        (
            edit("golden", "tolerance_steps", to={"kernel": 1}),
            "tolerance_steps {'kernel': 1}: must be an object of decode",
        ),
        (edit("golden", to=None), "golden None: must be an object of runtime, input_step"),
        (edit("preprocessing", "height", to=10**9), "preprocessing: height 1000000000: must be"),
        (edit("schema", to="lite-toolkit/manifest"), "schema 'lite-toolkit/manifest': must be lite-toolkit/bundle"),
        (edit("schema_version", to=2), "schema_version 2: must be 1"),
    ],
)
def test_a_bundle_json_that_is_a_trap_is_one_line(
    bundle: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    describe(bundle, change)
    done = verify(bundle)
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert message in done.stderr


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (None, ReportError, "is no bundle: it has no bundle.json"),
        (b" " * (contents.LARGEST_DESCRIPTION + 1), ReportError, "at most 1,048,576 are allowed"),
        (b"[" * 100_000, TamperedError, "was changed after it was written"),
        (b"\xff", TamperedError, "was changed"),
        (b'{"sha256": NaN}', TamperedError, "was changed"),
        (b"[1]", TamperedError, "was changed"),
    ],
)
def test_what_is_no_bundle_is_one_line(
    tmp_path: Path, content: bytes | None, error: type[Exception], message: str
) -> None:
    if content is not None:
        (tmp_path / "bundle.json").write_bytes(content)
    with pytest.raises(error, match=message) as caught:
        contents.read(tmp_path)
    assert str(caught.value).isprintable()


def test_golden_files_that_do_not_fit_are_one_line(bundle: Path) -> None:
    (bundle / "golden/0-input.bin").write_bytes(b"short")
    describe(bundle, nothing)
    done = verify(bundle)
    assert done.exit_code == 1
    assert "0-input.bin has 5 bytes: serving_default_image:0 takes 12288" in done.stderr
