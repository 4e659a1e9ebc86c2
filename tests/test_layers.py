"""The house of docs/architecture.md: what may import what, and what runs without TensorFlow."""

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import lite_toolkit
from lite_toolkit.conversion import pipeline
from lite_toolkit.devices import shipment

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "lite_toolkit"

# Each wing may import the modules on the ground floor and the wings before it.
# fmt: off
WINGS = (
    "images", "runtime", "board", "datasets", "networks", "weights", "tflite", "quantization", "edgetpu", "devices",
    "measurement", "conversion", "training", "bundle", "reports", "drawings", "page", "cli",
)
# fmt: on
DOORS = ("lite_toolkit", "lite_toolkit.__main__")  # of Python and of the shell: they lead everywhere
WORKSHOP = {  # what needs TensorFlow or its tools; all else does with numpy, Pillow, click and a LiteRT runtime
    "networks": {"backend", "builder"},
    "weights": {"checkpoints", "layouts", "loading"},
    "tflite": {"surgery"},
    "quantization": {
        *("boundary", "headroom", "mixed_precision", "moments", "operators", "parameters", "quantizer", "recording"),
        *("sensitivity", "walk", "writer"),
    },
    "measurement": {"layer_errors", "remedies"},
    "conversion": {
        *("expectation", "float_model", "input_scaling", "keras2", "keras_file", "origin", "pipeline", "saved_model"),
        "input_folding",
    },
}

MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
COMMANDS = {name.removeprefix("lite_toolkit.") for name in MODULES if name.startswith("lite_toolkit.cli.commands.")}
INTERPRETERS = ("ai_edge_litert.interpreter", "tflite_runtime", "tensorflow.lite")


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path: Path) -> Iterator[str]:
    """The dotted name of everything that a module imports, wherever the statement stands."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own(path: Path) -> set[str]:
    """The modules of the toolkit that a module imports; importing one of a package's runs the package's `__init__`."""
    found = set()
    for name in imported(path):
        parts = name.split(".")
        prefixes = [".".join(parts[: length + 1]) for length in range(1, len(parts))]
        found |= {prefix for prefix in prefixes if prefix in MODULES}
    return found


def importers(package: str) -> set[str]:
    """The modules that import `package` or something in it."""
    return {
        module.removeprefix("lite_toolkit.")
        for module, path in MODULES.items()
        if any(f"{name}.".startswith(f"{package}.") for name in imported(path))
    }


def wing(module: str) -> str:
    """The wing of a module; "" for those on the ground floor."""
    first = module.removeprefix("lite_toolkit").lstrip(".").partition(".")[0]
    return first if (PACKAGE / first).is_dir() and first else ""


def test_the_house_has_these_wings_in_this_order_in_the_document_too() -> None:
    assert {path.name for path in PACKAGE.iterdir() if any(path.glob("*.py"))} == set(WINGS)
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    assert tuple(re.findall(r"^\| `(\w+)/`", text, re.MULTILINE)) == WINGS
    assert len(list(PACKAGE.glob("*.py"))) <= 12


@pytest.mark.parametrize("module", [name for name in MODULES if name not in DOORS])
def test_no_import_runs_upwards(module: str) -> None:
    order = ("", *WINGS)
    above = order[: order.index(wing(module)) + 1]
    assert {name for name in own(MODULES[module]) - {"lite_toolkit"} if wing(name) not in above} == set()


@pytest.mark.parametrize("name", ["", *WINGS])
def test_no_wing_has_a_circle(name: str) -> None:
    inside = [module for module in MODULES if module not in DOORS and wing(module) == name]
    packages = {module: {module, module.rpartition(".")[0]} for module in inside}  # imported before the module
    graph = {module: own(MODULES[module]) & set(inside) - packages[module] for module in inside}
    assert set(TopologicalSorter(graph).static_order()) == set(inside)  # raises CycleError


@pytest.mark.parametrize("module", MODULES)
def test_every_module_says_what_it_is(module: str) -> None:
    assert ast.get_docstring(tree(MODULES[module]))


@pytest.mark.parametrize(
    ("package", "allowed"),
    [
        ("tensorflow", {"networks.backend", "conversion.float_model"}),
        ("keras", {"networks.backend"}),
        (
            "lite_toolkit.networks.backend",
            {
                *("networks.builder", "conversion.float_model"),
                *("conversion.keras2", "conversion.keras_file", "conversion.saved_model", "weights.checkpoints"),
                "conversion.input_folding",
            },
        ),
        ("tf_keras", {"conversion.keras2"}),
        ("ai_edge_quantizer", {"quantization.writer"}),
        # its flatbuffer tools
        (
            "ai_edge_litert",
            {"tflite.surgery", *(f"quantization.{one}" for one in ("boundary", "parameters", "writer"))},
        ),
        ("safetensors", {"weights.checkpoints"}),
        ("h5py", {"weights.checkpoints", "conversion.keras_file"}),
        ("huggingface_hub", {"weights.sources"}),
        (
            "matplotlib",
            {f"drawings.{name}" for name in ("accuracy", "network", "pictures", "svg")},
        ),
        ("jinja2", {"page.document"}),
        ("rich", {"cli.console"}),
        ("click", {"cli.console", "cli.main", *COMMANDS}),
        ("scipy", {"training.head"}),
        ("threadpoolctl", {"training.head"}),
        ("pickle", set()),
    ],
)
def test_every_dependency_has_its_owner(package: str, allowed: set[str]) -> None:
    assert importers(package) == allowed


def test_only_the_runtime_knows_an_interpreter() -> None:
    def knows(path: Path) -> bool:
        names = {node.attr for node in ast.walk(tree(path)) if isinstance(node, ast.Attribute)}
        texts = [node.value for node in ast.walk(tree(path)) if isinstance(node, ast.Constant)]
        mentioned = [text for text in texts if isinstance(text, str)] + list(imported(path))
        return "Interpreter" in names or any(text.startswith(INTERPRETERS) for text in mentioned)

    assert [module for module, path in MODULES.items() if knows(path)] == ["lite_toolkit.runtime.interpreter"]


def in_new_process(program: str, *arguments: Path) -> str:
    done = subprocess.run([sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_toolkit_imports_nothing_heavy() -> None:
    heavy = ["tensorflow", "keras", "ai_edge_litert", "tflite_runtime", "numpy", "PIL", "click", "rich"]
    program = f"import sys, lite_toolkit; print([name for name in {heavy} if name in sys.modules])"
    assert in_new_process(program) == "[]\n"


def test_every_public_name_resolves() -> None:
    pytest.importorskip("tensorflow", reason="some of the public names are TensorFlow's side")
    for name in lite_toolkit.__all__:
        assert getattr(lite_toolkit, name).__doc__
    with pytest.raises(AttributeError, match="module 'lite_toolkit' has no attribute 'frobnicate'"):
        lite_toolkit.frobnicate  # noqa: B018


BLOCKED = """
import importlib, sys
ALLOWED = {"lite_toolkit", "numpy", "PIL", "click", "ai_edge_litert", "tflite_runtime", *sys.stdlib_module_names}
class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in ALLOWED:
            raise ModuleNotFoundError(f"No module named {name!r}, on a board", name=name)
sys.meta_path.insert(0, Nothing())
"""


def lean(name: str) -> list[str]:
    """The modules of a wing that must do without TensorFlow."""
    without = {f"lite_toolkit.{name}.{module}" for module in WORKSHOP.get(name, ())}
    return [module for module in MODULES if wing(module) == name and module not in without]


@pytest.mark.parametrize("name", [name for name in WINGS if name not in ("drawings", "page", "cli")])
def test_a_wing_runs_on_a_board(name: str) -> None:
    in_new_process(BLOCKED + f"for name in {lean(name)}: importlib.import_module(name)")


def test_what_is_sent_to_boards_needs_nothing_else() -> None:
    sent = {f"lite_toolkit/{path.as_posix()}" for path in shipment.modules()}
    for path in sent:
        needed = {MODULES[name].relative_to(ROOT).as_posix() for name in own(ROOT / path)}
        if path != "lite_toolkit/__init__.py":  # a door: it leads to the rest only where that is asked for
            assert needed <= sent


def test_the_board_side_works_with_nothing_else(convert: Callable[..., pipeline.Conversion], photographs: Path) -> None:
    program = """
from pathlib import Path
from lite_toolkit.measurement.classification import Classifier, expand
from lite_toolkit.tflite.inspection import inspect
from lite_toolkit.datasets.representative import load_representative
from lite_toolkit.runtime.interpreter import runtime_version
from lite_toolkit.measurement.validation import scores
model, photographs = map(Path, sys.argv[1:])
classifier = Classifier(model)
predictions = list(classifier.classify(expand([photographs]), 3))
dataset = load_representative(photographs, classifier.preprocessing, 5, 0)
synthetic = load_representative(None, classifier.preprocessing, 2, 0)
shapes = scores(model, dataset.calibration).shape, scores(model, synthetic.calibration).shape
print(len(predictions), len(predictions[0].top), *shapes, inspect(model).float_operators)
print(runtime_version())
"""
    model = convert("lite0", "int8").files[0].path
    first, version = in_new_process(BLOCKED + program, model, photographs).splitlines()
    assert first == "30 3 (5, 1000) (2, 1000) {}"
    assert re.fullmatch(r"(ai-edge-litert|tflite-runtime) [\d.]+", version)
