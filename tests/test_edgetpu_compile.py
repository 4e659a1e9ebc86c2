"""`lite-toolkit edgetpu compile` with a program that stands in for the compiler, which is not free to share."""

import hashlib
import io
import json
import os
import shutil
import sys
import textwrap
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from lite_toolkit.cli.main import main
from lite_toolkit.conversion import pipeline
from lite_toolkit.edgetpu.restoring import restore
from lite_toolkit.errors import ModelError
from lite_toolkit.tflite import manifest, metadata
from lite_toolkit.tflite.graph import read_graph
from lite_toolkit.tflite.inspection import inspect
from lite_toolkit.tflite.metadata import Metadata
from lite_toolkit.tflite.metadata import files as metadata_files
from lite_toolkit.tflite.metadata.contradictions import contradictions

VERSION = "16.0.384591198"
SECTION = """
Input model: {model}
Input size: 2.88MiB
Output model: {output}
Output size: 3.10MiB
On-chip memory used for caching model parameters: 3.86MiB
On-chip memory remaining for caching model parameters: 3.83MiB
Off-chip memory used for streaming uncached model parameters: 0.00B
Number of Edge TPU subgraphs: 1
Total number of operations: 3
Operation log: {output}.log

Operator                       Count      Status

QUANTIZE                       2          Mapped to Edge TPU
FULLY_CONNECTED                1          Mapped to Edge TPU
"""

Make = Callable[..., Path]


@pytest.fixture
def stand_in(tmp_path: Path) -> Make:
    """Makes a compiler: `body` is what it does with `models`, `folder`, `options` and `compiled(model, name)`."""

    def make(body: str, compiled: Path | None = None, version: str = VERSION) -> Path:
        program = tmp_path / "bin" / "edgetpu_compiler"
        program.parent.mkdir()
        program.write_text(
            f"#!{sys.executable}\n"
            "import pathlib, shutil, subprocess, sys, time\n"
            f"SECTION = {SECTION!r}\n"
            f"print('Edge TPU Compiler version {version}', flush=True)\n"
            "if sys.argv[1:] == ['--version']:\n    sys.exit()\n"
            "options = sys.argv[1:]\n"
            "folder = pathlib.Path(options[options.index('-o') + 1])\n"
            "models = [pathlib.Path(name) for name in options if name.endswith('.tflite')]\n"
            "def compiled(model, name):\n"
            f"    shutil.copy({str(compiled)!r} if {compiled is not None} else model, folder / name)\n"
            "    print(SECTION.format(model=model, output=folder / name))\n"
            "def succeed():\n"
            "    for model in models:\n        compiled(model, model.stem + '_edgetpu.tflite')\n"
            "    print('Compilation succeeded!')\n" + textwrap.dedent(body)
        )
        program.chmod(0o755)
        return program

    return make


@pytest.fixture
def model(tmp_path: Path, convert: Callable[..., pipeline.Conversion]) -> Path:
    """A model of ours and its manifest, in a folder of their own."""
    path = convert("lite0", "int8").files[0].path
    folder = tmp_path / "models"
    folder.mkdir()
    for source in (path, manifest.path_of(path)):
        shutil.copy(source, folder)
    return folder / path.name


def run(*arguments: object) -> Any:
    return CliRunner().invoke(main, ["edgetpu", "compile", *map(str, arguments)])


def test_success(stand_in: Make, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run(model, "--compiler", stand_in("succeed()"), "--output", out, "--json")
    assert done.exit_code == 0, done.output
    written = out / f"{model.stem}_edgetpu.tflite"
    assert sorted(out.iterdir()) == [written.with_suffix(".json"), written]
    document = json.loads(done.stdout)
    assert document["compiler"] == {"version": VERSION, "seconds": None, "other": []}
    (told,) = document["models"]
    assert told["forecast"]["file"] == model.name
    assert told["result"]["logs"][0]["cached_bytes"] == round(3.86 * 2**20)
    described = manifest.read(written)
    assert described is not None
    source = manifest.read(model)
    assert source is not None
    assert described["model"]["sha256"] == hashlib.sha256(written.read_bytes()).hexdigest()
    assert described["preprocessing"] == source["preprocessing"]
    assert described["edgetpu"]["compiler"] == VERSION
    assert described["edgetpu"]["source"] == {"file": model.name, "sha256": source["model"]["sha256"]}
    assert described["edgetpu"]["log"]["mapped"] == 3


def test_equal_inputs_give_equal_files(stand_in: Make, model: Path, tmp_path: Path) -> None:
    compiler = stand_in("succeed()")
    for name in ("first", "second"):
        assert run(model, "--compiler", compiler, "--output", tmp_path / name).exit_code == 0
    written = [{path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("first", "second")]
    assert written[0] == written[1] != {}


def test_a_real_pair(stand_in: Make, shared: Path, tmp_path: Path) -> None:
    pair = shared / "edgetpu/pairs/libr_dense_256"
    compiler = stand_in("succeed()", compiled=pair.with_name(f"{pair.name}_edgetpu.tflite"))
    done = run(pair.with_suffix(".tflite"), "--compiler", compiler, "--output", tmp_path, "--json")
    (told,) = json.loads(done.stdout)["models"]
    assert told["result"]["differences"] == []
    assert told["result"]["files"][0]["cached_bytes"] == told["forecast"]["parameters_bytes"] == 67_584
    written = inspect(tmp_path / "libr_dense_256_edgetpu.tflite")
    assert written.metadata == ("min_runtime_version", "CONVERSION_METADATA")
    assert list(tmp_path.glob("*.json")) == []  # the source has no manifest


def test_partial_mapping_and_a_wrong_forecast(stand_in: Make, shared: Path, tmp_path: Path) -> None:
    pairs = shared / "edgetpu/pairs"
    compiled = pairs / "deeplabv3_mnv2_dm05_pascal_quant_edgetpu.tflite"
    done = run(
        *(pairs / "mobilenet_v1_0.25_128_quant.tflite", "--output", tmp_path),
        *("--compiler", stand_in("print('New words'); succeed()", compiled=compiled)),
    )
    assert done.exit_code == 0
    assert "RESIZE_BILINEAR: 3 on the CPU, 0 forecast" in done.stdout
    assert "parameters: +199,808 bytes against the forecast" in done.stdout
    assert "New words" in done.stdout


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "print('Compilation failed due to large activation tensors in model.'); sys.exit(1)",
            "large activation tensors",
        ),
        ("print('Invalid model: x'); print('Model not quantized')", "Invalid model: x Model not quantized"),
        ("succeed(); sys.exit(3)", "ended with code 3"),
        ("import os; os.abort()", "ended with code -6"),
        ("print('Compilation succeeded!')", "wrote no "),
        ("(folder / (models[0].stem + '_edgetpu.tflite')).write_text('half'); print('done')", "not a .tflite file"),
    ],
    ids=["failure", "refusal", "code", "crash", "missing", "damaged"],
)
def test_failures_leave_nothing_behind(stand_in: Make, model: Path, tmp_path: Path, body: str, message: str) -> None:
    done = run(model, "--compiler", stand_in(body), "--output", tmp_path / "out")
    assert (done.exit_code, message in done.stderr) == (1, True), done.output
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_timeout_ends_the_compiler_and_its_children(stand_in: Make, model: Path, tmp_path: Path) -> None:
    alive = tmp_path / "child"
    child = f"import pathlib, time\nwhile True: pathlib.Path({str(alive)!r}).touch(); time.sleep(0.05)"
    compiler = stand_in(f"subprocess.Popen([sys.executable, '-c', {child!r}]); time.sleep(60)")
    done = run(model, "--compiler", compiler, "--timeout", 1, "--output", tmp_path / "out")
    assert (done.exit_code, "took more than 1 seconds" in done.stderr) == (1, True)
    time.sleep(0.2)
    last = alive.stat().st_mtime_ns if alive.exists() else 0
    time.sleep(0.3)
    assert (alive.stat().st_mtime_ns if alive.exists() else 0) == last


def test_without_a_compiler_the_forecast_is_printed(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    done = run(model, "--output", tmp_path / "out")
    assert done.exit_code == 1
    assert "62 of 62 on the Edge TPU" in done.stdout
    for words in ("edgetpu-compiler", "x86-64", "Docker", "Colab", "https://coral.ai/docs/edgetpu/compiler"):
        assert words in done.stderr
    document = json.loads(run(model, "--output", tmp_path / "out", "--json").stdout)
    assert (document["compiler"], document["models"][0]["result"]) == (None, None)


def test_the_compiler_is_found_in_path(
    stand_in: Make, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{stand_in('succeed()').parent}{os.pathsep}{os.environ['PATH']}")
    assert run(model, "--output", tmp_path).exit_code == 0


def test_a_compiler_in_the_working_folder(
    stand_in: Make, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(stand_in("succeed()").parent)
    assert run(model, "--compiler", "edgetpu_compiler", "--output", tmp_path).exit_code == 0


@pytest.mark.parametrize(
    ("program", "message"),
    [("missing", "no program that can be run"), ("/bin/true", "does not tell the version of an edgetpu_compiler")],
)
def test_programs_that_are_no_compiler(model: Path, program: str, message: str) -> None:
    done = run(model, "--compiler", program)
    assert (done.exit_code, message in done.stderr) == (1, True)


@pytest.mark.parametrize(("version", "limited"), [(VERSION, True), ("2.1.302470888", False)])
def test_options_of_the_compiler(stand_in: Make, model: Path, tmp_path: Path, version: str, limited: bool) -> None:
    body = f"pathlib.Path({str(tmp_path / 'options')!r}).write_text('\\n'.join(options)); succeed()"
    done = run(
        *(model, "--compiler", stand_in(body, version=version), "--output", tmp_path / "out"),
        *("--min-runtime", 13, "--timeout", 90),
    )
    assert done.exit_code == 0, done.output
    options = (tmp_path / "options").read_text().splitlines()
    assert options[0] == "-s"
    assert options[options.index("-m") + 1] == "13"
    assert ("-t" in options) == limited
    assert options[-1] == str(model)


def test_several_models_are_compiled_together(stand_in: Make, model: Path, tmp_path: Path) -> None:
    other = shutil.copy(model, model.with_name("other.tflite"))
    done = run(model, other, "--compiler", stand_in("succeed()"), "--output", tmp_path / "out", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)["models"]
    assert [entry["forecast"]["file"] for entry in told] == [model.name, "other.tflite"]
    assert [len(entry["result"]["logs"]) for entry in told] == [1, 1]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        *(f"{model.stem}_edgetpu.json", f"{model.stem}_edgetpu.tflite", "other_edgetpu.tflite"),
    ]


def test_segments(stand_in: Make, model: Path, tmp_path: Path) -> None:
    body = """
        for number in range(2):
            compiled(models[0], f"{models[0].stem}_segment_{number}_of_2_edgetpu.tflite")
    """
    done = run(model, "--segments", 2, "--compiler", stand_in(body), "--output", tmp_path / "out", "--json")
    assert done.exit_code == 0, done.output
    (told,) = json.loads(done.stdout)["models"]
    names = [f"{model.stem}_segment_{number}_of_2_edgetpu.tflite" for number in range(2)]
    assert [file["file"] for file in told["result"]["files"]] == names
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names


def test_models_of_one_name_cannot_be_told_apart(model: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / model.name
    other.parent.mkdir()
    shutil.copy(model, other)
    done = run(model, other)
    assert (done.exit_code, "2 models are called" in done.stderr) == (1, True)


def test_a_compiled_model_is_refused(shared: Path) -> None:
    done = run(shared / "edgetpu/pairs/split_concat_edgetpu.tflite")
    assert (done.exit_code, "is compiled for the Edge TPU already" in done.stderr) == (1, True)


def test_files_that_exist_are_kept(stand_in: Make, model: Path, tmp_path: Path) -> None:
    kept = tmp_path / f"{model.stem}_edgetpu.tflite"
    kept.write_text("mine")
    compiler = stand_in("succeed()")
    done = run(model, "--compiler", compiler, "--output", tmp_path)
    assert (done.exit_code, "--force" in done.stderr, kept.read_text()) == (1, True, "mine")
    assert run(model, "--compiler", compiler, "--output", tmp_path, "--force").exit_code == 0
    assert kept.read_bytes()[4:8] == b"TFL3"


def test_a_manifest_goes_with_the_model_that_it_belongs_to(stand_in: Make, model: Path, tmp_path: Path) -> None:
    compiler, compiled = stand_in("succeed()"), tmp_path / f"{model.stem}_edgetpu.tflite"
    assert run(model, "--compiler", compiler, "--output", tmp_path).exit_code == 0
    assert manifest.read(compiled) is not None
    manifest.path_of(model).unlink()
    compiled.unlink()
    refused = run(model, "--compiler", compiler, "--output", tmp_path)
    assert (refused.exit_code, f"{manifest.path_of(compiled)} exists" in refused.stderr) == (1, True)
    assert run(model, "--compiler", compiler, "--output", tmp_path, "--force").exit_code == 0
    assert manifest.read(compiled) is None


# Metadata


def _with_archive(content: bytes, names: list[str]) -> bytes:
    stream = io.BytesIO(content)
    with zipfile.ZipFile(stream, "a") as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), "cat\ndog\n")
    return stream.getvalue()


def _without_metadata(content: bytes) -> bytes:
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    import flatbuffers

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    model.metadata = []
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def test_metadata_and_files_come_back(model: Path, tmp_path: Path) -> None:
    source = _with_archive(model.read_bytes(), ["labels.txt", "vocabulary.txt"])
    graph, bare = read_graph(source), _without_metadata(model.read_bytes())
    assert graph.metadata
    restored = restore(graph, bare)
    (tmp_path / "restored.tflite").write_bytes(restored)
    found = inspect(tmp_path / "restored.tflite")
    assert found.metadata == tuple(entry.name for entry in graph.metadata)
    assert found.associated_files == ("labels.txt", "vocabulary.txt")
    after = read_graph(restored)
    for old, new in zip(graph.metadata, after.metadata, strict=True):
        assert after.buffer_content(new.buffer) == graph.buffer_content(old.buffer)
    assert after.subgraphs[0].operators == graph.subgraphs[0].operators
    assert after.signatures == graph.signatures
    assert restore(graph, restored) == restored


def test_labels_and_normalization_survive_the_compiler(stand_in: Make, model: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare.tflite"
    bare.write_bytes(_without_metadata(metadata.strip(model)))
    metadata_files.write(
        model, model, Metadata(labels={"": tuple(f"class {index}" for index in range(1000))}), force=True
    )
    done = run(model, "--compiler", stand_in("succeed()", compiled=bare), "--output", tmp_path / "out")
    assert done.exit_code == 0, done.output
    written = tmp_path / "out" / f"{model.stem}_edgetpu.tflite"
    assert metadata.read(bare) is None
    found = metadata.read(written)
    assert found == metadata.read(model)
    assert contradictions(written, read_graph(written), found) == []


def test_a_restored_model_runs_as_before(model: Path) -> None:
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    np = pytest.importorskip("numpy")
    content, outcomes = model.read_bytes(), []
    for candidate in (content, restore(read_graph(content), _without_metadata(content))):
        interpreter = litert.Interpreter(model_content=candidate)
        interpreter.allocate_tensors()
        (details,) = interpreter.get_input_details()
        interpreter.set_tensor(details["index"], np.full(details["shape"], 77, details["dtype"]))
        interpreter.invoke()
        outcomes.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
    assert (outcomes[0] == outcomes[1]).all()


def test_an_archive_that_is_too_large_is_refused(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lite_toolkit.tflite.metadata import archive

    monkeypatch.setattr(archive, "MOST_BYTES", 4)
    with pytest.raises(ModelError, match="larger than 4 bytes"):
        restore(read_graph(_with_archive(model.read_bytes(), ["labels.txt"])), model.read_bytes())
