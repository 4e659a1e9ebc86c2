"""What a wheel holds, built from the checkout and from the source distribution."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import lite_toolkit

pytest.importorskip("hatchling", reason='building needs hatchling: pip install ".[dev]"')

ROOT = Path(__file__).resolve().parents[1]
DECLARATIVE = {"calibration": ["*.toml"], "devices": ["*.toml", "*.sh"], "labels": ["*.txt"]}


def build(root: Path, target: str, folder: Path) -> Path:
    """Build a "wheel" or "sdist" of the project in `root` into `folder`."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    subprocess.run(command, cwd=root, check=True, capture_output=True)
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked source distribution."""
    folder = tmp_path_factory.mktemp("sdist")
    with tarfile.open(build(ROOT, "sdist", folder)) as archive:
        archive.extractall(folder, filter="data")
    return folder / f"lite_toolkit-{lite_toolkit.__version__}"


@pytest.fixture(scope="module", params=["checkout", "sdist"])
def wheel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked wheel."""
    root = ROOT if request.param == "checkout" else request.getfixturevalue("sdist")
    folder = tmp_path_factory.mktemp("wheel")
    with zipfile.ZipFile(build(root, "wheel", folder)) as archive:
        archive.extractall(folder / "unpacked")
    return folder / "unpacked"


@pytest.mark.parametrize("name", DECLARATIVE)
def test_the_declarative_folders_are_inside(wheel: Path, name: str) -> None:
    expected = {
        path.relative_to(ROOT / name): path.read_bytes()
        for pattern in DECLARATIVE[name]
        for path in (ROOT / name).rglob(pattern)
    }
    inside = wheel / "lite_toolkit/_data" / name
    assert {path.relative_to(inside): path.read_bytes() for path in inside.rglob("*") if path.is_file()} == expected


def test_every_module_is_inside_and_nothing_else(wheel: Path) -> None:
    modules = {
        path.relative_to(ROOT) for kind in ("py", "template") for path in (ROOT / "lite_toolkit").rglob(f"*.{kind}")
    }
    inside = {path.relative_to(wheel) for path in wheel.rglob("*") if path.is_file()}
    rest = {path for path in inside - modules if "_data" not in path.parts}
    metadata = f"lite_toolkit-{lite_toolkit.__version__}.dist-info"
    names = {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"}
    assert modules <= inside
    templates = {Path("lite_toolkit/page", name) for name in ("macros.html", "page.css", "page.html")}
    assert rest == {Path("lite_toolkit/py.typed")} | templates | {Path(metadata, name) for name in names}


def test_the_recipes_are_found_in_an_installed_wheel(wheel: Path, tmp_path: Path) -> None:
    program = (
        "from lite_toolkit import shipped; from lite_toolkit.quantization import recipes; "
        "print(shipped.folder('calibration'), *recipes.names())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(wheel)},
        check=True,
        capture_output=True,
        text=True,
    )
    folder, *names = done.stdout.split()
    assert folder == str(wheel / "lite_toolkit/_data/calibration")
    assert names == sorted(path.stem for path in (ROOT / "calibration").glob("*.toml"))


def test_the_source_distribution_can_be_tested(sdist: Path) -> None:
    for name in ("README.md", "LICENSE", "pyproject.toml", "tests/conftest.py", "docs/architecture.md"):
        assert (sdist / name).read_bytes() == (ROOT / name).read_bytes()
    recipes = sorted((ROOT / "calibration").iterdir())
    assert [path.name for path in sorted((sdist / "calibration").iterdir())] == [path.name for path in recipes]
