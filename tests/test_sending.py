"""What is sent to boards: the right modules, for old Pythons, as the same bytes."""

import ast
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from lite_toolkit.devices import shipment

PACKAGE = Path(shipment.__file__).parents[1]
SENT = tuple(sorted(path.as_posix() for path in shipment.modules()))


def imports(path: str) -> set[str]:
    """The files of the toolkit that a file imports at run time, the `__init__` of their folders among them."""
    found = set()
    for node in ast.walk(_at_run_time(path)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("lite_toolkit"):
            for alias in node.names:
                inside = Path(*node.module.split(".")[1:], alias.name)
                modules = (
                    inside.with_suffix(".py"),
                    inside.parent.with_suffix(".py") if inside.parent.name else inside,
                )
                files = (*modules, *(folder / "__init__.py" for folder in (inside, *inside.parents)))
                found |= {file.as_posix() for file in files if (PACKAGE / file).is_file()}
    return found


def _at_run_time(path: str) -> ast.Module:
    """The module without what only type checkers see."""

    class Drop(ast.NodeTransformer):
        def visit_If(self, node: ast.If) -> ast.AST | None:
            return None if ast.unparse(node.test) == "TYPE_CHECKING" else self.generic_visit(node)

    tree = ast.parse((PACKAGE / path).read_text(encoding="utf-8"))
    return ast.fix_missing_locations(Drop().visit(tree))


def test_all_that_the_runner_imports_is_sent_and_nothing_else() -> None:
    """Each wing is sent whole: a module there that no job needs belongs elsewhere."""
    needed: set[str] = set()
    waiting = ["__init__.py", "board/runner.py", "board/landing.py"]
    while waiting:
        path = waiting.pop()
        if path not in needed:
            needed.add(path)
            waiting += imports(path)
    assert sorted(needed) == list(SENT)


@pytest.mark.parametrize("path", SENT)
def test_the_syntax_is_that_of_python_3_7(path: str) -> None:
    ast.parse((PACKAGE / path).read_text(encoding="utf-8"), feature_version=(3, 7))


def test_the_standard_library_is_that_of_python_3_7(tmp_path: Path) -> None:
    pytest.importorskip("vermin", reason='needs vermin: pip install ".[dev]"')
    for number, path in enumerate(SENT):
        (tmp_path / f"m{number}.py").write_text(ast.unparse(_at_run_time(path)))
    options = ["--target=3.7-", "--no-parse-comments", "--no-tips", "-vvv", tmp_path]
    command = [sys.executable, "-c", "import vermin; vermin.main()", *options]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_annotations_are_never_evaluated() -> None:
    """Those of newer Pythons would fail on 3.7, though their syntax is right."""
    for path in SENT:
        tree = _at_run_time(path)
        annotated = any(getattr(node, "annotation", None) or getattr(node, "returns", None) for node in ast.walk(tree))
        future = any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body)
        simple = path in ("__init__.py", "errors.py")  # theirs are names of built-in types
        assert future or simple or not annotated, path


def test_it_is_the_same_bytes_each_time() -> None:
    assert shipment.archive() == shipment.archive()
    with zipfile.ZipFile(io.BytesIO(shipment.archive())) as archive:
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
    program.write_bytes(shipment.archive())
    assert run(program)["event"] == "result"


def test_what_is_missing_there_is_named(tmp_path: Path) -> None:
    program = tmp_path / "runner.pyz"
    program.write_bytes(shipment.archive())
    event = run(program, "-S")  # without site-packages
    message = f"No module named 'numpy': install what is missing for {sys.executable}"
    assert event == {"event": "error", "message": message, "exit_code": 1}
