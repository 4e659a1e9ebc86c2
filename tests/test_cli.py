"""What a user of the command line sees: documents, exit codes, one line for each failure, and no half-made files."""

import contextlib
import dataclasses
import errno
import json
import os
import pickle
import pty
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
import fill
import numpy as np
import pytest
from click.testing import CliRunner, Result

from lite_toolkit.cli import console, main
from lite_toolkit.conversion import pipeline
from lite_toolkit.conversion.request import Request
from lite_toolkit.errors import LiteToolkitError, OutputError
from lite_toolkit.networks.architectures import ModelSpec, StageSpec
from lite_toolkit.progress import Steps
from lite_toolkit.quantization.recipes import default

T = TypeVar("T")

GOLDEN = Path(__file__).parent / "golden"
COMMAND = str(Path(sysconfig.get_path("scripts"), "lite-toolkit"))


def commands(group: click.Group, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    """The commands by their whole names, such as "edgetpu check"; a group is none itself."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


COMMANDS = dict(commands(main.main))
REPORTING = [name for name, command in COMMANDS.items() if any("--report" in param.opts for param in command.params)]
TINY = ModelSpec("tiny", (StageSpec("mbconv", 3, 2, 2, 8, 8, 1),), stem=8, head=16, activation="relu6")
FLOAT = ("convert", "--float32")
LITE0 = (*FLOAT, "--variant", "lite0")
SMALL = ("--weights", "none", "--input-size", "64")


def run(*arguments: str | Path) -> Result:
    """The command in this process."""
    return CliRunner().invoke(main.main, [str(argument) for argument in arguments])


def run_installed(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """The command as a shell runs it."""
    command = [COMMAND, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


def assert_refused(result: Result, *parts: str) -> None:
    """Exit code 1 and one line that holds `parts`; whatever else happened would be a traceback."""
    assert isinstance(result.exception, SystemExit), result.exception
    assert (result.exit_code, result.stdout) == (1, "")
    assert re.fullmatch(r"Error: .+\n", result.stderr), result.stderr
    for part in parts:
        assert part in result.stderr


def copying_compiler(folder: Path) -> Path:
    """A program that takes the last argument for a model and copies it, as the Edge TPU compiler would compile it."""
    program = folder / "edgetpu_compiler"
    program.write_text(
        f"#!{sys.executable}\nimport pathlib, shutil, sys\n"
        "print('Edge TPU Compiler version 16.0.384591198')\n"
        "if '-o' in sys.argv:\n"
        "    model, folder = pathlib.Path(sys.argv[-1]), pathlib.Path(sys.argv[sys.argv.index('-o') + 1])\n"
        "    shutil.copy(model, folder / f'{model.stem}_edgetpu.tflite')\n"
    )
    program.chmod(0o755)
    return program


def content(folder: Path) -> dict[str, bytes]:
    """Every file below `folder`, hidden ones too."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `.keras` classifier of 10 classes for 32 x 32 pixels, converted in a second."""
    pytest.importorskip("tensorflow", reason="converting needs TensorFlow")
    from lite_toolkit.networks.builder import build

    path = tmp_path_factory.mktemp("tiny") / "tiny.keras"
    build(TINY, classes=10, input_shape=(32, 32, 3)).save(path)
    return path


@pytest.fixture(scope="session")
def int8(convert: Callable[..., pipeline.Conversion]) -> Path:
    """An int8 model with its manifest."""
    return convert("lite0", "int8").files[0].path


@pytest.fixture(scope="session")
def state_dict() -> dict[str, np.ndarray]:
    """Every tensor of lite0 under timm's names."""
    tensors: dict[str, np.ndarray] = fill.state_dict("tf_efficientnet_lite0")
    return tensors


class TestHelp:
    def test_the_toolkit(self) -> None:
        done = run_installed("--help")
        assert (done.returncode, done.stderr) == (0, "")
        for name, command in main.main.commands.items():
            assert re.search(rf"^  {name} +{re.escape(str(command.help)[:20])}", done.stdout, re.MULTILINE)

    @pytest.mark.parametrize("flag", ["-h", "--help"])
    @pytest.mark.parametrize("name", COMMANDS)
    def test_every_command(self, name: str, flag: str) -> None:
        result = run(*name.split(), flag)
        assert result.exit_code == 0
        assert f"Usage: main {name} " in result.stdout

    @pytest.mark.parametrize("name", COMMANDS)
    def test_every_option_and_argument_is_explained(self, name: str) -> None:
        command = COMMANDS[name]
        assert command.help
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, parameter.name
                assert parameter.help.endswith("."), parameter.name
            else:
                assert str(parameter.name).upper() in command.help

    def test_the_version(self) -> None:
        assert re.fullmatch(r"lite-toolkit, version \d+\.\d+\.\d+\n", run_installed("--version").stdout)

    def test_help_and_tables_need_no_tensorflow(self) -> None:
        for arguments in (["--help"], ["convert", "--help"], ["variants"], ["describe", "lite4"]):
            program = f"from lite_toolkit.cli.main import main; main({arguments!r}, standalone_mode=False)"
            report = "; import sys; print('LOADED', [name for name in ('tensorflow', 'numpy') if name in sys.modules])"
            done = subprocess.run([sys.executable, "-c", program + report], capture_output=True, text=True)
            assert done.stdout.endswith("LOADED []\n"), done.stderr


class TestReports:
    @pytest.fixture
    def arguments(self, request: pytest.FixtureRequest, tmp_path: Path) -> list[str | Path]:
        """What a command needs; the models only for those that take one."""
        name: str = request.node.callspec.params["name"]
        if name in ("variants", "devices", "doctor"):
            return []
        if name == "describe":
            return ["lite2"]
        if name == "convert":
            return ["--model", request.getfixturevalue("tiny"), "--int8", "--output", tmp_path / "models"]
        if name == "validate":
            files = request.getfixturevalue("convert")("lite0", "float32", "int8").files
            return [*(file.path for file in files), "--data", request.getfixturevalue("photographs"), "--samples", "4"]
        if name == "edgetpu compile":
            return [
                request.getfixturevalue("int8"),
                "--compiler",
                copying_compiler(tmp_path),
                "--output",
                tmp_path / "o",
            ]
        if name == "compare":
            return 2 * [request.getfixturevalue("int8").with_suffix(".json")]
        if name == "data":
            return [request.getfixturevalue("labelled"), "--no-labels"]
        if name == "evaluate":
            return [request.getfixturevalue("int8"), "--data", request.getfixturevalue("labelled")]
        if name == "verify":
            bundle = tmp_path / "bundle"
            assert run("package", request.getfixturevalue("int8"), "--target", "python", "-o", bundle).exit_code == 0
            return [bundle]
        images = [request.getfixturevalue("photographs")] if name == "classify" else []
        return [request.getfixturevalue("int8"), *images]

    def test_every_command_reports_that_does_not_only_write_files(self) -> None:
        writing = {"metadata write", "metadata strip", "metadata extract", "package", "report"}
        assert COMMANDS.keys() - REPORTING == writing

    @pytest.mark.parametrize("name", REPORTING)
    def test_json_is_printed_and_saved_alike(self, tmp_path: Path, name: str, arguments: list[str | Path]) -> None:
        result = run(*name.split(), *arguments, "--json", "-o", tmp_path / "reports/report.json")
        assert result.exit_code == 0, result.stderr
        document = json.loads(result.stdout)
        assert (document["schema"], document["schema_version"]) == (f"lite-toolkit/{name.replace(' ', '-')}", 1)
        assert (tmp_path / "reports/report.json").read_text(encoding="utf-8") == result.stdout
        assert list(content(tmp_path / "reports")) == ["report.json"]

    def test_without_json_people_are_told(self, int8: Path, photographs: Path) -> None:
        told = {
            ("variants",): "timm/tf_efficientnet_lite4",
            ("describe", "lite2"): "lite2: 260×260",
            ("inspect", int8): "DEPTHWISE_CONV_2D 16",
            ("classify", int8, photographs): "picture29.jpg",
        }
        for arguments, part in told.items():
            result = run(*arguments)
            assert (result.exit_code, result.stderr) == (0, "")
            assert part in result.stdout
            assert "{" not in result.stdout

    def test_a_conversion_leaves_the_model_and_its_manifest(self, tmp_path: Path, tiny: Path) -> None:
        (tmp_path / "labels.txt").write_text("".join(f"label {index}\n" for index in range(10)))
        labels = ("--labels", tmp_path / "labels.txt")
        result = run("convert", "--model", tiny, "--int8", "--keep-float", *labels, "--output", tmp_path / "out")
        assert result.exit_code == 0, result.stderr
        names = [f"tiny-{form}.{suffix}" for form in ("float32", "int8") for suffix in ("json", "tflite")]
        assert sorted(content(tmp_path / "out")) == names
        manifest = json.loads((tmp_path / "out/tiny-int8.json").read_text())
        assert (manifest["schema"], manifest["schema_version"]) == ("lite-toolkit/manifest", 1)
        assert manifest["labels"] == [f"label {index}" for index in range(10)]

    def test_a_format_without_calibration_is_judged_on_the_samples_asked_for(
        self, tmp_path: Path, tiny: Path, photographs: Path
    ) -> None:
        images = ("--calibration-data", photographs, "--calibration-samples", "21")
        result = run("convert", "--float16", "--model", tiny, *images, "--output", tmp_path, "--json")
        (file,) = json.loads(result.stdout)["files"]
        assert file["manifest"]["held_out"]["comparison"]["images"] == 4  # a fifth of 21

    def test_every_recipe_is_calibrated_on_its_own_images(self, tmp_path: Path, tiny: Path, photographs: Path) -> None:
        few = tmp_path / "few.toml"
        few.write_text('format = "int8"\nsamples = 20\nseed = 3\n')
        images = ("--calibration-data", photographs)
        together, alone = tmp_path / "together", tmp_path / "alone"
        convert = ("convert", "--model", tiny, *images, "--output")
        assert run(*convert, together, "--recipe", few, "--int8", "--int16x8").exit_code == 0
        assert run(*convert, alone, "--recipe", few).exit_code == 0
        assert run(*convert, alone, "--int16x8").exit_code == 0
        assert content(together) == content(alone)
        counts = [json.loads(path.read_text())["calibration"] for path in sorted(together.glob("*.json"))]
        assert [one["calibration_images"] + one["held_out_images"] for one in counts] == [30, 20]

    def test_a_file_that_appears_during_a_conversion_is_kept(self, tmp_path: Path, tiny: Path) -> None:
        class Meanwhile(Steps):
            def track(self, items: Iterable[T], total: int) -> Iterable[T]:
                (tmp_path / "tiny-int8.tflite").write_text("somebody else's")
                return super().track(items, total)

        request = Request((default("int8"),), model=tiny, output=tmp_path)
        with pytest.raises(OutputError, match=r"tiny-int8\.tflite exists: pass --force"):
            pipeline.convert(request, Meanwhile())
        assert content(tmp_path) == {"tiny-int8.tflite": b"somebody else's"}
        pipeline.convert(dataclasses.replace(request, force=True), Meanwhile())
        assert content(tmp_path)["tiny-int8.tflite"][4:8] == b"TFL3"

    def test_labels_of_the_manifest_and_of_a_file(self, tmp_path: Path, tiny: Path, photographs: Path) -> None:
        labels, model = tmp_path / "labels.txt", tmp_path / "mine.tflite"
        labels.write_text("".join(f"label {index}\n" for index in range(10)))
        run(*FLOAT, "--model", tiny, "--labels", labels, "--output", model)
        classify = ("classify", model, photographs / "picture00.jpg", "--top", "10")
        assert "label 7" in run(*classify).stdout
        labels.write_text("".join(f"other {index}\n" for index in range(10)))
        told = run(*classify, "--labels", labels).stdout
        assert "other 7" in told
        assert "label 7" not in told


class TestUsage:
    """What cannot be meant exits with code 2 and touches nothing."""

    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            ("frobnicate", "No such command 'frobnicate'"),
            ("describe", "Missing argument 'VARIANT'"),
            ("describe lite0 --input-size 16", "16 is not in the range x>=32"),
            ("describe lite0 --classes 0", "0 is not in the range x>=1"),
            ("inspect", "Missing argument 'MODEL'"),
            ("classify model.tflite", "Missing argument 'IMAGES...'"),
            ("classify model.tflite image.jpg --top 0", "0 is not in the range x>=1"),
            ("convert --int8", "pass either --variant or --model"),
            ("convert --int8 --variant lite0 --model mine.keras", "pass either --variant or --model"),
        ],
    )
    def test_commands(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: str, reason: str) -> None:
        monkeypatch.chdir(tmp_path)
        result = run(*arguments.split())
        assert result.exit_code == 2
        assert result.stderr.startswith("Usage: ")
        assert reason in result.stderr
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            ("", "choose a format: --float32, --float16, --dynamic, --int8, --int16x8"),
            ("--int4", "No such option"),
            ("--int8 --io int16", "--io int16 does not go with int8, which has uint8, int8, float32"),
            ("--float16 --io uint8", "--io uint8 does not go with float16, which has no choice"),
            ("--int8 --int16x8 --io int8", "--io int8 does not go with int16x8"),
            ("--int8 --float16 --output a.tflite", "--output a.tflite is one file, but 2 formats are asked for"),
            ("--float16 --recipe int8", "recipe int8 makes int8: pass --int8"),
            ("--int8 --conventions jax", "'jax' is not one of"),
            ("--int8 -o a.tflite", "-o a.tflite saves the JSON report; --output a.tflite names the model"),
            ("--int8 -o lite0-int8.json", "-o lite0-int8.json is the place of the model's manifest"),
            ("--int8 --keep-float --output a -o a/lite0-float32.json", "-o a/lite0-float32.json is the place of the"),
        ],
    )
    def test_convert_a_variant(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: str, reason: str
    ) -> None:
        self.test_commands(tmp_path, monkeypatch, f"convert --variant lite0 {options}", reason)

    @pytest.mark.parametrize(
        "option", ["--weights imagenet", "--conventions pytorch", "--classes 3", "--activation softmax"]
    )
    def test_convert_a_model(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str) -> None:
        reason = f"{option.split()[0]} belongs to --variant: a model of your own has its own"
        self.test_commands(tmp_path, monkeypatch, f"convert --model mine.keras --int8 {option}", reason)


class TestRefusals:
    """Bad input: one line, exit code 1, and nothing left behind."""

    @pytest.mark.parametrize("arguments", [["describe", "lite9"], ["convert", "--int8", "--variant", "lite9"]])
    def test_an_unknown_variant(self, arguments: list[str]) -> None:
        assert_refused(run(*arguments), "unknown variant 'lite9'", "lite0, lite1", "el")

    def test_describe_tells_what_is_published(self) -> None:
        found = json.loads(run("describe", "timm/efficientnet_b2a", "--json").stdout)
        assert (found["variant"], found["input_pixels"]) == ("efficientnet_b2a", [288, 288])
        assert (found["published_top1_percent"], found["published_top5_percent"]) == (80.61, 95.32)
        assert (found["published_crop_fraction"], found["published_interpolation"]) == (1.0, "bicubic")
        assert found["weights"] == "hf:timm/efficientnet_b2.ra_in1k"
        shown = run("describe", "timm/efficientnet_b2a").stdout
        assert "at 288 pixels: top-1 80.61 %, top-5 95.32 %, crop 1.0, bicubic resizing" in shown

    def test_describe_counts_the_layers_of_keras(self) -> None:
        assert "Keras layers: 237" in run("describe", "google/efficientnet-b0").stdout
        assert "Keras layers: 813" in run("describe", "b7").stdout
        assert json.loads(run("describe", "lite0", "--json").stdout)["keras_layers"] is None

    def test_an_unknown_variant_in_a_shell(self) -> None:
        done = run_installed("describe", "lite9")
        assert (done.returncode, done.stdout) == (1, "")
        assert re.fullmatch(r"Error: unknown variant 'lite9': .*\n", done.stderr)

    @pytest.mark.parametrize(
        ("written", "reason"),
        [
            (None, "does not exist"),
            (b"", "is empty"),
            (b"The quick brown fox jumps over the lazy dog.\n", "begins with b'The quick brown"),
            (slice(0, 20), ""),
            (slice(0, 1000), ""),
            (slice(0, -1), ""),
        ],
    )
    @pytest.mark.parametrize("file", ["tensors_legacy.pth", "tensors_zip.pth"])
    def test_weights_that_cannot_be_read(
        self, tmp_path: Path, file: str, written: bytes | slice | None, reason: str
    ) -> None:
        weights = tmp_path / file
        if written is not None:
            weights.write_bytes(written if isinstance(written, bytes) else (GOLDEN / file).read_bytes()[written])
        result = run(*LITE0, "--weights", weights, "--output", tmp_path / "out")
        assert_refused(result, str(weights), reason)
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize(
        ("wrapping", "reason"),
        [("bare", "the magic number is not torch's"), ("legacy", "system"), ("zip", "system")],
    )
    def test_a_checkpoint_that_runs_code_runs_nothing(self, tmp_path: Path, wrapping: str, reason: str) -> None:
        class Bomb:
            def __reduce__(self) -> Any:
                return os.system, (f"touch {tmp_path / 'ran'}",)

        bomb = pickle.dumps({"conv_stem.weight": Bomb()}, protocol=2)
        weights = tmp_path / "bomb.pth"
        if wrapping == "zip":
            with zipfile.ZipFile(weights, "w") as archive:
                archive.writestr("bomb/data.pkl", bomb)
        else:
            header = [0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}]
            before = b"".join(pickle.dumps(value, protocol=2) for value in header) if wrapping == "legacy" else b""
            weights.write_bytes(before + bomb)
        assert_refused(run(*LITE0, "--weights", weights, "--output", tmp_path / "out"), "bomb.pth", reason)
        assert list(content(tmp_path)) == ["bomb.pth"]
        pickle.loads(bomb)  # it would have
        assert (tmp_path / "ran").exists()

    @pytest.mark.parametrize(
        ("change", "parts"),
        [
            ({"conv_head.weight": None}, ["1 missing", "'conv_head.weight'"]),
            ({"bn2.running_var": None}, ["1 missing", "'bn2.running_var'"]),
            ({"head.bias": (4,)}, ["1 unexpected", "'head.bias'"]),
            ({"bn1.weight": (33,)}, ["1 of another shape", "'bn1.weight'", "(33,)", "(32,)"]),
            ({"classifier.weight": (1000, 1281)}, ["1 of another shape", "'classifier.weight'", "(1000, 1281)"]),
            ({"conv_stem.weight": None}, ["no known layout", "timm"]),
        ],
    )
    def test_a_state_dict_that_does_not_fit(
        self, tmp_path: Path, state_dict: dict[str, np.ndarray], change: dict[str, Any], parts: Sequence[str]
    ) -> None:
        save_file = pytest.importorskip("safetensors.numpy").save_file
        changed = state_dict | {name: shape and np.zeros(shape, np.float32) for name, shape in change.items()}
        kept = {name: value for name, value in changed.items() if value is not None}
        save_file(kept, tmp_path / "mine.safetensors")
        weights = ("--weights", tmp_path / "mine.safetensors", "--conventions", "tensorflow")
        assert_refused(run(*LITE0, *weights, "--output", tmp_path / "out"), "mine.safetensors", *parts)
        assert not (tmp_path / "out").exists()

    def test_weights_of_another_variant_are_recognised(self, tmp_path: Path, state_dict: dict[str, np.ndarray]) -> None:
        pytest.importorskip("safetensors.numpy").save_file(state_dict, tmp_path / "mine.safetensors")
        result = run(*FLOAT, "--variant", "lite1", "--weights", tmp_path / "mine.safetensors")
        assert_refused(result, "does not fit lite1", "; it fits lite0")

    @pytest.mark.parametrize(
        ("options", "parts"),
        [
            ("--calibration-data empty", ["empty: no image in this folder"]),
            ("--calibration-data nowhere", ["nowhere: no such file or folder"]),
            ("--calibration-data two.txt", ["two.txt: must be a folder of images, a .npy or a .npz file"]),
            ("--labels two.txt", ["2 labels for 1000 classes"]),
            ("--labels two.txt --classes 3", ["2 labels for 3 classes"]),
            ("--labels empty.txt", ["empty.txt holds no labels"]),
            ("--labels nowhere.txt", ["cannot read labels from nowhere.txt"]),
            ("--labels binary", ["binary is not a UTF-8 text file of labels"]),
            ("--recipe int4", ["unknown recipe 'int4'", "int8-minmax"]),
            ("--recipe nowhere.toml", ["cannot read nowhere.toml"]),
            ("--recipe bad.toml", ["bad.toml", "unknown key 'bits'", "granularity"]),
            ("--preprocessing nowhere.json", ["nowhere.json"]),
            ("--preprocessing two.txt", ["two.txt"]),
            ("--output two.txt", ["cannot write two.txt/lite0-int8.tflite", "two.txt is no folder"]),
            ("--output two.txt/model.tflite", ["cannot write two.txt/model.tflite", "two.txt is no folder"]),
            ("--output two.txt/deeper/still", ["cannot write two.txt/deeper/still/lite0-int8.tflite"]),
            ("-o two.txt/report.json", ["cannot write two.txt/report.json", "two.txt is no folder"]),
            ("-o pipe", ["pipe exists: pass --force"]),
            ("-o pipe --force", ["cannot write pipe: it is no regular file"]),
        ],
    )
    def test_options_of_convert(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: str, parts: Sequence[str]
    ) -> None:
        """Most have no --output: the files would go to this folder."""
        monkeypatch.chdir(tmp_path)
        Path("empty").mkdir()
        Path("empty.txt").touch()
        Path("two.txt").write_text("cat\ndog\n")
        Path("binary").write_bytes(b"\xff\xfe\x00")
        Path("bad.toml").write_text('format = "int8"\nbits = 4\n')
        os.mkfifo("pipe")
        before = content(tmp_path)
        assert_refused(run("convert", "--int8", "--variant", "lite0", *SMALL, *options.split()), *parts)
        assert content(tmp_path) == before
        assert Path("pipe").is_fifo()

    @pytest.mark.parametrize("written", [None, b"", b"no model\n", b"PK\x03\x04 no archive", slice(0, 5000)])
    def test_a_model_that_cannot_be_converted(self, tmp_path: Path, tiny: Path, written: bytes | slice | None) -> None:
        model = tmp_path / "mine.keras"
        if written is not None:
            model.write_bytes(written if isinstance(written, bytes) else tiny.read_bytes()[written])
        result = run(*FLOAT, "--model", model, "--output", tmp_path / "out")
        assert_refused(result, str(model))
        assert not (tmp_path / "out").exists()

    def test_a_size_that_the_model_does_not_take(self, tmp_path: Path, tiny: Path) -> None:
        result = run(*FLOAT, "--model", tiny, "--input-size", "64", "--output", tmp_path / "out")
        assert_refused(result, "tiny.keras takes 32x32 pixels, which --input-size 64 contradicts")

    @pytest.mark.parametrize("written", [None, b"", b"no model\n", b"\x1c\0\0\0TFL3", slice(0, 20_000)])
    @pytest.mark.parametrize("command", ["inspect", "classify"])
    def test_a_tflite_file_that_cannot_be_read(
        self, tmp_path: Path, int8: Path, photographs: Path, command: str, written: bytes | slice | None
    ) -> None:
        model = tmp_path / "mine.tflite"
        if written is not None:
            model.write_bytes(written if isinstance(written, bytes) else int8.read_bytes()[written])
        result = run(command, model, *([photographs] if command == "classify" else []))
        assert_refused(result, str(model))

    @pytest.mark.parametrize(
        ("arguments", "parts"),
        [
            (["--labels", "two.txt"], ["2 labels for a model of 1000 classes"]),
            (["--preprocessing", "nowhere.json"], ["nowhere.json"]),
            (["empty"], ["empty: no image in this folder"]),
        ],
    )
    def test_options_of_classify(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        int8: Path,
        photographs: Path,
        arguments: list[str],
        parts: Sequence[str],
    ) -> None:
        monkeypatch.chdir(tmp_path)
        Path("two.txt").write_text("cat\ndog\n")
        Path("empty").mkdir()
        assert_refused(run("classify", int8, photographs, *arguments), *parts)

    @pytest.mark.parametrize(
        "damage",
        [
            {"labels": 5},
            {"labels": [1] * 1000},
            {"labels": ["too", "few"]},
            {"preprocessing": {}},
            {"preprocessing": None},
            {"schema_version": 99},
        ],
    )
    def test_a_damaged_manifest(self, tmp_path: Path, int8: Path, photographs: Path, damage: dict[str, Any]) -> None:
        model = tmp_path / "mine.tflite"
        shutil.copy(int8, model)
        manifest = json.loads(int8.with_suffix(".json").read_text()) | damage
        model.with_suffix(".json").write_text(json.dumps(manifest))
        assert_refused(run("classify", model, photographs), next(iter(damage)).partition("_")[0])

    def test_images_that_cannot_be_read_are_named_after_the_others(
        self, tmp_path: Path, int8: Path, photographs: Path
    ) -> None:
        (tmp_path / "bad.png").write_bytes(b"no image")
        result = run("classify", int8, tmp_path / "bad.png", photographs / "picture00.jpg", tmp_path / "nowhere.png")
        assert result.exit_code == 1
        assert "picture00.jpg" in result.stdout
        first, second, last = result.stderr.splitlines()
        assert first.startswith(f"warning: {tmp_path / 'bad.png'}: ")
        assert second == f"warning: {tmp_path / 'nowhere.png'}: no such file"
        assert last == "Error: 2 of 3 images could not be read"


class TestFiles:
    """What stood there stays, and what is new is whole."""

    @pytest.mark.parametrize("existing", ["tiny-float32.tflite", "tiny-float32.json", "report.json"])
    def test_existing_files_are_kept_unless_forced(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny: Path, existing: str
    ) -> None:
        monkeypatch.chdir(tmp_path)
        Path(existing).write_bytes(b"precious")
        arguments = (*FLOAT, "--model", tiny, "-o", "report.json")
        assert_refused(run(*arguments), f"{existing} exists: pass --force to replace it")
        assert content(tmp_path) == {existing: b"precious"}
        assert run(*arguments, "--force").exit_code == 0
        assert len(content(tmp_path)) == 3
        assert Path(existing).read_bytes() != b"precious"

    @pytest.mark.parametrize(
        "failing", ["tiny-float32.tflite", "tiny-float16.json", "tiny-float16.tflite", "report.json"]
    )
    def test_a_full_disk_leaves_nothing_half_written(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny: Path, failing: str
    ) -> None:
        write = Path.write_bytes

        def fill_up(path: Path, written: Any) -> int:
            if not path.name.startswith(f".{failing}."):
                return write(path, written)
            write(path, bytes(written)[: len(written) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(Path, "write_bytes", fill_up)
        out = tmp_path / "out"
        report = ("-o", out / "report.json")
        result = run(*FLOAT, "--float16", "--model", tiny, "--output", out, *report)
        assert_refused(result, f"cannot write {out / failing}: No space left on device")
        models = {f"tiny-{form}.{suffix}" for form in ("float16", "float32") for suffix in ("tflite", "json")}
        assert content(out).keys() == (models if failing == "report.json" else set())

    def test_a_link_does_not_lead_out_of_the_folder(self, tmp_path: Path) -> None:
        (tmp_path / "target").write_bytes(b"precious")
        (tmp_path / "report.json").symlink_to(tmp_path / "target")
        assert run("variants", "-o", tmp_path / "report.json", "--force").exit_code == 0
        assert (tmp_path / "target").read_bytes() == b"precious"


MISSING = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {packages!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
from lite_toolkit.cli.main import main
main()
"""


@pytest.mark.parametrize(
    ("packages", "arguments", "extra"),
    [
        (["tensorflow"], [*LITE0, *SMALL], "tensorflow is not installed: .*[convert]"),
        (["keras", "tensorflow"], [*LITE0, *SMALL], "keras is not installed: .*[convert]"),
        (["huggingface_hub"], [*LITE0, "--weights", "hf:a/b"], "huggingface_hub is not installed: .*[convert]"),
        (["platformdirs"], [*LITE0, "--weights", "hf:a/b"], "platformdirs is not installed: .*[convert]"),
        (["safetensors"], [*LITE0, "--weights", "a.safetensors"], "safetensors is not installed: .*[convert]"),
        (["matplotlib"], ["describe", "lite0", "--diagram", "a.png"], "matplotlib is not installed: .*[report]"),
    ],
)
def test_a_missing_package_names_what_to_install(
    tmp_path: Path, packages: list[str], arguments: list[str], extra: str
) -> None:
    (tmp_path / "a.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    program = MISSING.format(packages=packages)
    done = subprocess.run([sys.executable, "-c", program, *arguments], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: ")
    assert len(done.stderr.splitlines()) == 1
    for part in extra.split(".*"):
        assert part in done.stderr
    assert list(content(tmp_path)) == ["a.safetensors"]


def test_a_missing_runtime_names_what_to_install(int8: Path, photographs: Path) -> None:
    program = MISSING.format(packages=["ai_edge_litert", "tflite_runtime", "tensorflow"])
    command = [sys.executable, "-c", program, "classify", int8, photographs / "picture00.jpg"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: no LiteRT runtime is installed: pip install ai-edge-litert")


@pytest.mark.parametrize("odd", ["\x1b]52;c;aGk=\x07", "\x1b[2J", "\u202e", "\x9b31m"])
def test_names_of_others_are_no_orders_to_a_terminal(odd: str, capsys: pytest.CaptureFixture[str]) -> None:
    console.print_table(f"about {odd}", (odd, ">n"), [(f"a {odd} b [bold]", "1")])
    console.print_facts([(f"name {odd}", odd)])
    console.warn(odd)
    shown = "".join(capsys.readouterr())
    assert not set(odd) & {"\x07", "\x1b", "\x9b", "\u202e"} & set(shown)
    assert "[bold]" in shown
    assert run("inspect", f"{odd}.tflite").stderr.rstrip("\n").isprintable()


def test_ctrl_c_while_modules_are_loaded() -> None:
    program = """
import sys
class Interrupted:
    def find_spec(self, name, path=None, target=None):
        if name == "click":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupted())
from lite_toolkit.__main__ import main
main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


class TestStreams:
    """What reaches standard error, and what a signal or a closed pipe does."""

    @pytest.fixture(autouse=True)
    def tensorflow(self) -> None:
        pytest.importorskip("tensorflow", reason="converting needs TensorFlow")

    def test_only_the_warning_reaches_standard_error(self, tmp_path: Path, photographs: Path) -> None:
        """One corrupt image among good ones; TensorFlow, MLIR and XNNPACK would report much more."""
        shutil.copytree(photographs, tmp_path / "images")
        (tmp_path / "images/corrupt.jpg").write_bytes((photographs / "picture00.jpg").read_bytes()[:100])
        options = ("--calibration-data", tmp_path / "images", "--output", tmp_path / "out")
        done = run_installed("convert", "--int8", "--variant", "lite0", *SMALL, *options)
        assert done.returncode == 0, done.stderr
        assert re.fullmatch(r"warning: skipped corrupt\.jpg: .+\n", done.stderr)
        assert "24 of 30 photographs in" in done.stdout
        assert sorted(content(tmp_path / "out")) == ["lite0-int8.json", "lite0-int8.tflite"]

    def test_progress_is_shown_on_a_terminal(self, tmp_path: Path, tiny: Path) -> None:
        terminal, stderr = pty.openpty()
        command = [COMMAND, "convert", "--int8", "--model", str(tiny), "--output", str(tmp_path)]
        environment = os.environ | {"TERM": "xterm", "COLUMNS": "120"}
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True, env=environment) as process:
            os.close(stderr)
            shown = read_terminal(terminal)
            assert process.stdout is not None
            printed = process.stdout.read()
        assert process.returncode == 0
        for step in ("build", "images", "convert", "quantize", "validate"):
            assert step in shown
        assert "\x1b[2K" in shown  # and it is wiped at the end
        assert "tiny-int8.tflite" in printed
        assert "\x1b" not in printed

    @pytest.mark.parametrize("delay", [0.6, 1.2, 2.0, 6.0])  # TensorFlow is imported; images are made
    def test_control_c_ends_with_one_line_and_no_file(self, tmp_path: Path, delay: float) -> None:
        options = ("--calibration-samples", "9000", "--output", str(tmp_path / "out"))
        command = [COMMAND, "convert", "--int8", "--variant", "lite0", *SMALL, *options]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            time.sleep(delay)
            process.send_signal(signal.SIGINT)
            printed, reported = process.communicate(timeout=30)
        assert (process.returncode, printed, reported) == (130, "", "interrupted\n")
        assert not content(tmp_path)

    @pytest.mark.parametrize(
        ("handler", "meanwhile", "code", "reported"),
        [
            (signal.default_int_handler, 0, 130, "interrupted\n"),
            (signal.default_int_handler, 60, 130, "interrupted\n"),
            (signal.SIG_IGN, 0, 1, "Error: something else\n"),
        ],
    )
    def test_an_interrupt_that_native_code_swallowed(
        self, monkeypatch: pytest.MonkeyPatch, tiny: Path, handler: Any, meanwhile: float, code: int, reported: str
    ) -> None:
        """TensorFlow has raised something else instead, or gone on; a background job ignores the signal."""
        went_on: list[float] = []

        def convert(*_: Any) -> None:
            with contextlib.suppress(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)
            time.sleep(meanwhile)
            went_on.append(meanwhile)
            raise LiteToolkitError("something else")

        monkeypatch.setattr(pipeline, "convert", convert)
        before = signal.signal(signal.SIGINT, handler)
        try:
            result = run(*FLOAT, "--model", tiny)
            assert went_on == ([] if meanwhile else [0])
            assert signal.getsignal(signal.SIGINT) is handler
            assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL
        finally:
            signal.signal(signal.SIGINT, before)
        assert (result.exit_code, result.stderr) == (code, reported)

    @pytest.mark.parametrize("arguments", [["variants"], ["variants", "--json"], ["describe", "b7"], ["--help"]])
    def test_a_closed_pipe_is_no_error_to_report(self, arguments: list[str]) -> None:
        """`lite-toolkit variants | head -1`, with a head that is gone before the first byte."""
        reading, writing = os.pipe()
        os.close(reading)
        done = subprocess.run([COMMAND, *arguments], stdout=writing, stderr=subprocess.PIPE, text=True)
        os.close(writing)
        assert done.stderr == ""

    def test_a_full_disk_below_standard_output_is_one_line(self) -> None:
        with Path("/dev/full").open("w") as full:
            done = subprocess.run([COMMAND, "variants"], stdout=full, stderr=subprocess.PIPE, text=True)
        assert (done.returncode, done.stderr) == (1, "Error: No space left on device\n")


def read_terminal(terminal: int) -> str:
    """Everything that is written to a pseudo-terminal until its other side closes."""
    shown = b""
    try:
        while part := os.read(terminal, 1 << 16):
            shown += part
    except OSError as error:
        if error.errno != errno.EIO:  # what Linux answers once the other side is closed
            raise
    finally:
        os.close(terminal)
    return shown.decode()
