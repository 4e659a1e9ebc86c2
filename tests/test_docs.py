"""The documents say what the code does: commands, options, recipes and links."""

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import click
import pytest

from lite_toolkit.cli import main
from lite_toolkit.devices import profiles
from lite_toolkit.quantization import recipes

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
RECIPES = (ROOT / "calibration/README.md").read_text(encoding="utf-8")
DEVICES = (ROOT / "devices/README.md").read_text(encoding="utf-8")
DOCUMENTS = sorted(
    path
    for pattern in (
        "*.md",
        ".github/**/*.md",
        "docs/**/*.md",
        "calibration/*.md",
        "devices/*.md",
        "labels/*.md",
        "benchmarks/**/*.md",
    )
    for path in ROOT.glob(pattern)
)


def commands(group: click.Group, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    """The commands by their whole names, such as "edgetpu check"; a group is none itself."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


COMMANDS = dict(commands(main.main))
OPTIONS = [
    (name, option)
    for name, command in COMMANDS.items()
    for parameter in command.params
    if isinstance(parameter, click.Option)
    for option in parameter.opts
]


def section(command: str) -> str:
    """What the README says of one command: from its heading to the next."""
    found = re.search(rf"^### `lite-toolkit {command}\b.*?(?=^##|\Z)", README, re.DOTALL | re.MULTILINE)
    assert found, f"the README has no heading of `lite-toolkit {command}`"
    return found[0]


def shared_by_all() -> str:
    """What it says of all commands: before the first."""
    return README.partition("## Commands")[2].partition("### ")[0]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_readme_names_every_command(name: str) -> None:
    arguments = [parameter for parameter in COMMANDS[name].params if isinstance(parameter, click.Argument)]
    heading = section(name).splitlines()[0]
    for argument in arguments:
        assert str(argument.name).upper().removesuffix("S") in heading


@pytest.mark.parametrize(("name", "option"), OPTIONS)
def test_the_readme_names_every_option(name: str, option: str) -> None:
    assert re.search(rf"`{option}[` ]", section(name) + shared_by_all())


def test_the_readme_names_no_other_option() -> None:
    known = {option for _, option in OPTIONS}
    assert set(re.findall(r"`(--[\w-]+)", README)) - known <= {"--help"}


def test_ci_runs_what_the_readme_says() -> None:
    (line,) = re.findall(r"^pip install .*pytest.*", README, re.MULTILINE)
    steps = (ROOT / ".ci/run").read_text(encoding="utf-8").replace("--quiet ", "").splitlines()
    assert set(line.split(" && ")) <= set(steps)


def test_pytest_runs_without_the_plugin_for_several_processes() -> None:
    """On a board there is none, and a debugger needs the test's own terminal."""
    command = [sys.executable, "-m", "pytest", "-p", "no:xdist", "--collect-only", "-q", "tests/test_intervals.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", recipes.names())
def test_every_recipe_is_decoded(name: str) -> None:
    assert f"| `{name}` |" in RECIPES


def test_no_other_recipe_is_decoded() -> None:
    keys = [field.name for field in fields(recipes.Recipe)]
    assert set(re.findall(r"^\| `([\w-]+)` \|", RECIPES, re.MULTILINE)) <= {*recipes.names(), *keys}


@pytest.mark.parametrize("key", [field.name for field in fields(recipes.Recipe) if field.name != "name"])
def test_every_key_of_a_recipe_is_decoded(key: str) -> None:
    assert f"| `{key}` |" in RECIPES


@pytest.mark.parametrize("form", recipes.FORMATS)
def test_every_format_is_decoded(form: str) -> None:
    assert f"`{form}`" in RECIPES


@pytest.mark.parametrize("name", profiles.names())
def test_every_device_is_decoded(name: str) -> None:
    device = profiles.load(name)
    (row,) = re.findall(rf"^\| `{name}` \|.*", DEVICES, re.MULTILINE)
    assert (device.provisioning or "| |") in row


def test_every_key_of_a_device_is_decoded_and_no_other() -> None:
    keys = {field.name for field in fields(profiles.Profile)} - {"name"}
    assert set(re.findall(r"^\| `([\w-]+)` \|", DEVICES, re.MULTILINE)) == keys | set(profiles.names())


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_modules_and_programs_that_are_named_are_there(document: Path) -> None:
    package = ROOT / "lite_toolkit"
    wings = "|".join(path.name for path in package.iterdir() if (path / "__init__.py").is_file())
    text = document.read_text(encoding="utf-8")
    for name in re.findall(rf"(?<![\w/.-])(?:lite_toolkit/)?((?:{wings})/[\w/]+)(?![\w/]|\.\w)", text):
        assert (package / name).is_dir() or (package / f"{name}.py").is_file(), name
    for name in re.findall(r"\b(?:lite_toolkit|benchmarks|tests)/\w+\.py", text):
        assert (ROOT / name).is_file(), name


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text)
    for target in targets:
        file, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        path = document.parent / file if file else document
        assert path.exists(), f"{target} in {document}"
        headings = re.findall(r"^#+ (.+)", path.read_text(encoding="utf-8"), re.MULTILINE) if anchor else []
        assert not anchor or anchor in [slug(heading) for heading in headings]


def slug(heading: str) -> str:
    """The anchor that GitHub makes of a heading."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
