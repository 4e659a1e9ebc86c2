"""What is sent to boards: the right modules, for old Pythons, as the same bytes."""

import ast
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from lite_toolkit import sending

PACKAGE = Path(sending.__file__).parent
SENT = (*sending.MODULES, "landing")


def imports(module: str) -> set[str]:
    """The modules of the toolkit that a module imports at run time."""
    found = set()
    for node in ast.walk(_at_run_time(module)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("lite_toolkit"):
            inside = node.module.partition(".")[2]
            found |= {inside} if inside else {alias.name for alias in node.names}
    return found


def _at_run_time(module: str) -> ast.Module:
    """The module without what only type checkers see."""

    class Drop(ast.NodeTransformer):
        def visit_If(self, node: ast.If) -> ast.AST | None:
            return None if ast.unparse(node.test) == "TYPE_CHECKING" else self.generic_visit(node)

    tree = ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))
    return ast.fix_missing_locations(Drop().visit(tree))


def test_all_that_the_runner_imports_is_sent_and_nothing_else() -> None:
    needed, waiting = {"__init__"}, ["runner"]
    while waiting:
        module = waiting.pop()
        if module not in needed:
            needed.add(module)
            waiting += imports(module)
    assert sorted(needed) == sorted(sending.MODULES)


@pytest.mark.parametrize("module", SENT)
def test_the_syntax_is_that_of_python_3_7(module: str) -> None:
    ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"), feature_version=(3, 7))


def test_the_standard_library_is_that_of_python_3_7(tmp_path: Path) -> None:
    pytest.importorskip("vermin", reason='needs vermin: pip install ".[dev]"')
    for module in SENT:
        (tmp_path / f"{module}.py").write_text(ast.unparse(_at_run_time(module)))
    options = ["--target=3.7-", "--no-parse-comments", "--no-tips", "-vvv", tmp_path]
    command = [sys.executable, "-c", "import vermin; vermin.main()", *options]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_annotations_are_never_evaluated() -> None:
    """Those of newer Pythons would fail on 3.7, though their syntax is right."""
    for module in SENT:
        tree = _at_run_time(module)
        annotated = any(getattr(node, "annotation", None) or getattr(node, "returns", None) for node in ast.walk(tree))
        future = any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body)
        simple = module in ("__init__", "errors")  # theirs are names of built-in types
        assert future or simple or not annotated, module


def test_it_is_the_same_bytes_each_time() -> None:
    assert sending.archive() == sending.archive()
    with zipfile.ZipFile(io.BytesIO(sending.archive())) as archive:
        entries = archive.infolist()
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
    assert {entry.compress_type for entry in entries} == {zipfile.ZIP_STORED}
    assert [entry.filename for entry in entries] == sorted(entry.filename for entry in entries)


def run(program: Path, *options: str) -> dict[str, object]:
    job = {"job": "doctor", "runtime": "ai-edge-litert", "delegate": "xnnpack", "delegate_options": {}, "files": {}}
    done = subprocess.run(
        [sys.executable, "-I", *options, program], input=json.dumps(job) + "\n", capture_output=True, text=True
    )
    event: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return event


def test_it_runs_by_itself(tmp_path: Path) -> None:
    program = tmp_path / "runner.pyz"
    program.write_bytes(sending.archive())
    assert run(program)["event"] == "result"


def test_what_is_missing_there_is_named(tmp_path: Path) -> None:
    program = tmp_path / "runner.pyz"
    program.write_bytes(sending.archive())
    event = run(program, "-S")  # without site-packages
    message = f"No module named 'numpy': install what is missing for {sys.executable}"
    assert event == {"event": "error", "message": message, "exit_code": 1}
