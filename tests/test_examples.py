"""Every example of the documents runs: Python as it stands, and commands on small files of the names that they name."""

import contextlib
import importlib
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import click
import pytest
from click.testing import CliRunner, Result

from lite_toolkit.cli.main import main
from lite_toolkit.weights.configurations import named

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("", ".github", "docs", "calibration", "devices", "labels")
TEXTS = [path.read_text("utf-8") for folder in FOLDERS for path in sorted((ROOT / folder).glob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
BLOCKS = [found for text in TEXTS for found in BLOCK.findall(text)]

CONVERSION = "convert --variant lite2 --int8 --calibration-data photographs"
SMALL = {
    "convert": "--weights none --input-size 64 --recipe int8-minmax --keep-float",
    "benchmark": "--runs 3 --seconds 0.01 --threads 1",
    "data": "--no-labels",
}
# These parse only: they need a board or real weights, or take minutes.
LARGE = re.compile(r"--device|--variant lite2 --int8$|--model flowers.keras")
DEEPLAB = "edgetpu check deeplabv3_mnv2_dm05_pascal_quant.tflite"


def lines() -> list[str]:
    """The toolkit's command lines: in blocks, behind a prompt, a comment's sign or another command; and in sentences,
    where they name a file."""
    inside = [line for _, block in BLOCKS for line in block.replace("\\\n", " ").splitlines()]
    found = [match[1] for line in inside if (match := re.search(r"(?:^|\$ |&& |# )lite-toolkit (.*)", line))]
    said = [" ".join(code.split()) for text in TEXTS for code in re.findall(r"`lite-toolkit ([^`]+)`", text)]
    return found + [code for code in said if re.search(r"\w\.\w", code)]


def transcript(line: str) -> str:
    """What the documents show that a command prints."""
    (shown,) = [block.partition("\n")[2] for _, block in BLOCKS if block.startswith(f"$ lite-toolkit {line}\n")]
    return shown


def blocks(language: str) -> list[str]:
    return [block for name, block in BLOCKS if name == language]


def run(folder: Path, line: str) -> Result:
    command = shlex.split(f"{line} {SMALL.get(line.split()[0], '')}")
    with contextlib.chdir(folder):
        return CliRunner().invoke(main, command, env={"COLUMNS": "200"})


def succeed(folder: Path, line: str) -> str:
    done = run(folder, line)
    assert done.exit_code == 0, f"{line}\n{done.output}"
    return done.stdout


@pytest.fixture(scope="module")
def folder(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs and a table of classes."""
    folder = tmp_path_factory.mktemp("examples")
    shutil.copytree(photographs, folder / "photographs")
    shutil.copy(photographs / "picture00.jpg", folder / "panda.jpg")
    (folder / "classes.tsv").write_text("index\twnid\n" + "".join(f"{n}\tn{n:08}\n" for n in range(1000)))
    (folder / "validation").mkdir()
    for number, picture in enumerate(sorted(photographs.iterdir())[:5]):
        shutil.copy(picture, folder / f"validation/n{number:08}_{picture.name}")
        (folder / f"flowers/kind{number}").mkdir(parents=True)
        shutil.copy(picture, folder / f"flowers/kind{number}")
        shutil.copy(photographs / f"picture{number + 5:02}.jpg", folder / f"flowers/kind{number}")
    return folder


@pytest.fixture(scope="module")
def converted(folder: Path) -> str:
    """What the example's conversion prints; its models are there under both networks' names."""
    printed = succeed(folder, CONVERSION)
    for made in list(folder.glob("lite2-*")):
        shutil.copy(made, folder / made.name.replace("lite2", "lite0"))
    return printed


@pytest.fixture(scope="module")
def measured(folder: Path, converted: str) -> None:
    """The results that examples read."""
    succeed(folder, "benchmark lite0-int8.tflite -o benchmark.json")
    succeed(folder, "evaluate lite0-int8.tflite --data validation --class-index classes.tsv -o evaluation.json")
    for name in ("before", "after"):
        shutil.copy(folder / "benchmark.json", folder / f"{name}.json")


@pytest.mark.parametrize("line", lines())
def test_the_command_parses(line: str) -> None:
    words, command, parent = shlex.split(line, comments=True), main, click.Context(main, **main.context_settings)
    while isinstance(command, click.Group):
        command = command.commands[words.pop(0)]
    command.make_context("", words, parent)  # parses and checks, and does not run


def test_there_are_commands_to_try() -> None:
    assert CONVERSION in lines()


@pytest.mark.parametrize(
    "line", [line for line in lines() if line not in (CONVERSION, DEEPLAB) and not LARGE.search(line)]
)
def test_the_command_runs(folder: Path, measured: None, line: str) -> None:
    succeed(folder, line)


def test_the_conversion_prints_the_rows_that_are_shown(converted: str) -> None:
    def rows(text: str) -> list[str]:
        return list(dict.fromkeys(re.findall(r"^\w+(?: \w+)*(?=  )", text, re.MULTILINE)))

    assert rows(converted) == rows(transcript(CONVERSION))


def test_the_forecast_is_the_one_that_is_shown(shared: Path) -> None:
    assert succeed(shared / "edgetpu/pairs", DEEPLAB).rstrip() == transcript(DEEPLAB).rstrip()


@pytest.mark.parametrize("code", blocks("python"))
def test_the_python_code_runs(folder: Path, imagenet_lite0: str, code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (folder / "flowers.keras").is_file()


@pytest.mark.parametrize("block", [block for block in blocks("") if block.startswith("Host ")])
def test_openssh_takes_the_configuration(tmp_path: Path, block: str) -> None:
    if not shutil.which("ssh"):
        pytest.skip("needs OpenSSH's ssh")
    (tmp_path / "config").write_text(block)
    command = ["ssh", "-G", "-F", tmp_path / "config", block.split()[1]]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    for key, value in re.findall(r"^ +(\w+) (\S+)", block, re.MULTILINE):
        assert f"{key.lower()} {value}" in shown


@pytest.mark.parametrize("block", blocks("json"))
def test_the_preprocessing_is_one(tmp_path: Path, block: str) -> None:
    """Of all keys: what is shown is what a file may say."""
    (tmp_path / "own.json").write_text(block)
    spec = named(str(tmp_path / "own.json"))(64)
    assert json.loads(block).items() <= spec.to_json().items()
    assert json.loads(block).keys() | {"height", "width"} == spec.to_json().keys()


def test_no_kind_of_block_is_left_out() -> None:
    assert {language for language, _ in BLOCKS} <= {"sh", "text", "python", "json", ""}


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda path: path.stem)
def test_the_benchmark_uses_what_is_there(path: Path) -> None:
    """Nobody runs them for weeks, and linters do not look into modules."""
    text = path.read_text("utf-8")
    if "tensorflow" in text:
        pytest.importorskip("tensorflow")
    for module, names in re.findall(r"^ *from (lite_toolkit[\w.]*) import (.+)", text, re.MULTILINE):
        for name, alias in re.findall(r"(\w+)(?: as (\w+))?", names):
            found = getattr(importlib.import_module(module), name, None) or importlib.import_module(f"{module}.{name}")
            used = re.findall(rf"\b{alias or name}\.(\w+)\(", text) if isinstance(found, ModuleType) else []
            assert all(hasattr(found, attribute) for attribute in used), (module, name, used)
