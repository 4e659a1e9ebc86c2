"""The rules of docs/architecture.md: what may import what, and what runs without TensorFlow."""

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import lite_toolkit
from lite_toolkit import pipeline

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "lite_toolkit"

MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
# The board's: these and what they import run with numpy, Pillow, click and a LiteRT runtime alone.
# fmt: off
BOARD_SIDE = (
    "bundle.contents", "bundle.packing", "bundle.parity", "golden",
    "edgetpu.compilation", "edgetpu.forecast", "edgetpu.log", "edgetpu.metadata",
    "accuracy", "architectures", "benchmark", "checkup", "children", "classification", "companions", "comparison",
    "costs", "data", "delegates",
    "devices", "distribution", "doctor", "errors", "evaluation", "flatbuffer", "graph", "ground_truth", "host",
    "images", "inference", "inspection", "intervals", "jobs", "journal", "labels", "landing", "latency", "manifest",
    "metadata", "operator_times", "outputs", "partition", "preprocessing", "published", "recipes", "rehearsal",
    "report", "representative", "resizing", "runner", "runtime", "saved_document", "saved_reports", "schema",
    "sending", "ssh", "stability", "steps", "streams", "synthetic", "text", "validation",
)
# fmt: on
COMMANDS = {name.removeprefix("lite_toolkit.") for name in MODULES if name.startswith("lite_toolkit.commands.")}
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


def documented_order() -> list[str]:
    """The modules in the order of the table in docs/architecture.md."""
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    files = re.findall(r"`([\w/]+)\.py`", "".join(line for line in text.splitlines() if line.startswith("| `")))
    return [f"lite_toolkit.{file.replace('/', '.')}".removesuffix(".__init__") for file in files]


def has_code(path: Path) -> bool:
    return len(tree(path).body) > 1


def test_the_order_names_every_module_once() -> None:
    order = documented_order()
    assert len(order) == len(set(order))
    assert set(order) == {name for name, path in MODULES.items() if has_code(path)} - {"lite_toolkit"}


@pytest.mark.parametrize("module", [name for name in MODULES if name != "lite_toolkit"])
def test_nothing_upstream_imports_downstream(module: str) -> None:
    order = [name for name, path in MODULES.items() if not has_code(path)] + documented_order()
    above = order[: order.index(module)]
    packages = {module, module.rpartition(".")[0]}  # a module's own package was imported before it
    assert own(MODULES[module]) - packages - set(above) == set()


@pytest.mark.parametrize("module", MODULES)
def test_every_module_says_what_it_is(module: str) -> None:
    assert ast.get_docstring(tree(MODULES[module]))


@pytest.mark.parametrize(
    ("package", "allowed"),
    [
        ("tensorflow", {"backend", "conversion"}),
        ("keras", {"backend"}),
        (
            "lite_toolkit.backend",
            {"builder", "conversion", "quantization.operators", "quantization.walk", "weights.checkpoints"},
        ),
        ("ai_edge_quantizer", {"quantization.writer"}),
        ("ai_edge_litert", {"isolation", "quantization.boundary", "quantization.writer"}),  # its flatbuffer tools
        ("safetensors", {"weights.checkpoints"}),
        ("h5py", {"weights.checkpoints"}),
        ("huggingface_hub", {"weights.sources"}),
        ("matplotlib", {"diagram", "latency_plot", "page.drawing", "page.svg", "pictures", "plot"}),
        ("jinja2", {"page.document"}),
        ("rich", {"console"}),
        ("click", {"cli", "console", *COMMANDS}),
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

    assert [module for module, path in MODULES.items() if knows(path)] == ["lite_toolkit.runtime"]


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


@pytest.mark.parametrize("module", BOARD_SIDE)
def test_the_board_side_imports_nothing_else(module: str) -> None:
    in_new_process(BLOCKED + f"importlib.import_module('lite_toolkit.{module}')")


def test_the_board_side_works_with_nothing_else(convert: Callable[..., pipeline.Conversion], photographs: Path) -> None:
    program = """
from pathlib import Path
from lite_toolkit.classification import Classifier, expand
from lite_toolkit.inspection import inspect
from lite_toolkit.representative import load_representative
from lite_toolkit.runtime import runtime_version
from lite_toolkit.validation import scores
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
