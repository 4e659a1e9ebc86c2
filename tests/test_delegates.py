"""Delegates: their names, what they took of a model, and every way in which a library fails."""

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from lite_toolkit.cli.main import main
from lite_toolkit.edgetpu import partition as edgetpu_partition
from lite_toolkit.edgetpu.compiled import for_delegate
from lite_toolkit.errors import DelegateError
from lite_toolkit.runtime import delegates, interpreter
from lite_toolkit.runtime.delegates import XNNPACK, Delegate, choose
from lite_toolkit.runtime.nodes import Share, delegate_nodes, partition
from lite_toolkit.runtime.rehearsal import rehearse
from lite_toolkit.tflite.graph import read_graph

SOURCE = Path(__file__).parent / "delegate.c"
E_MACHINE = slice(18, 20)  # of an ELF header
Build = Callable[..., Path]
Command = Callable[..., Result]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs gcc, to build a delegate")

    def run(*flags: str, name: str = "libtest.so") -> Path:
        library = tmp_path_factory.mktemp("delegate") / name
        subprocess.run([compiler, "-shared", "-fPIC", *flags, "-o", library, SOURCE], check=True)
        return library

    return run


@pytest.fixture(scope="module")
def library(build: Build) -> Path:
    return build()


@pytest.fixture(scope="module")
def model(convert: Callable[..., object]) -> Path:
    return convert("lite0", "int8").files[0].path  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("edgetpu", {}),
        ("edgetpu:usb", {"device": "usb"}),
        ("edgetpu:pci", {"device": "pci"}),
        ("edgetpu:1", {"device": ":1"}),
        ("edgetpu:usb:0", {"device": "usb:0"}),
    ],
)
@pytest.mark.parametrize("system", ["Linux", "Darwin", "Windows"])
def test_the_edge_tpu_has_a_library_for_each_platform(
    name: str, options: dict[str, str], system: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delegates.platform, "system", lambda: system)
    library = {"Linux": "libedgetpu.so.1", "Darwin": "libedgetpu.1.dylib", "Windows": "edgetpu.dll"}[system]
    assert choose(name, {}) == Delegate(name, library, options)


@pytest.mark.parametrize(
    "given", [{"Performance": "Max"}, {"Usb.AlwaysDfu": "True", "Usb.MaxBulkInQueueLength": "255"}]
)
def test_an_edge_tpu_chosen_by_number_takes_options(given: dict[str, str]) -> None:
    assert choose("edgetpu:usb:0", given).options == {"device": "usb:0", **given}


@pytest.mark.parametrize(
    ("name", "option", "message"),
    [
        ("edgetpu", {"Performance": "Max"}, "option Performance reaches only an Edge TPU that is chosen by number"),
        ("edgetpu:usb", {"Performance": "Low"}, "edgetpu:0, edgetpu:usb:0"),
        ("edgetpu:0", {"Performance": "Fast"}, "no option Performance=Fast: choose Performance=Low, Medium, High or"),
        ("edgetpu:0", {"Usb.MaxBulkInQueueLength": "256"}, "Usb.MaxBulkInQueueLength=0 to 255"),
        ("edgetpu:0", {"device": "usb"}, "no option device=usb"),
    ],
)
def test_options_that_the_edge_tpu_would_not_see(name: str, option: dict[str, str], message: str) -> None:
    with pytest.raises(DelegateError, match=message):
        choose(name, option)


@pytest.mark.parametrize("name", ["/opt/libvx_delegate.so", "libarmnnDelegate.so.29", "delegate.dylib", "d.dll"])
def test_a_library_is_named_by_its_path(name: str) -> None:
    assert choose(name, {"a": "b"}) == Delegate(name, name, {"a": "b"})


def test_a_library_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "d.so").touch()
    monkeypatch.chdir(tmp_path)
    assert choose("d.so", {}) == Delegate("d.so", str(tmp_path / "d.so"), {})


@pytest.mark.parametrize("name", ["", "gpu", "edgetpu:", "edgetpu:usb:x", "XNNPACK"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(DelegateError, match=f"unknown delegate '{name}': choose xnnpack, none, edgetpu"):
        choose(name, {})


@pytest.mark.parametrize("name", ["xnnpack", "none"])
def test_options_are_for_libraries(name: str) -> None:
    with pytest.raises(DelegateError, match=f"delegate '{name}' takes no option"):
        choose(name, {"a": "b"})


def test_options_arrive(library: Path, model: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    rehearse(model, 1, choose(str(library), {"log": str(log), "device": "usb"}))
    assert "option device=usb" in log.read_text().splitlines()


def load(model: Path, delegate: Delegate) -> tuple[object, object]:
    loaded = interpreter.unallocated(model, 1, delegate)
    early = delegate_nodes(loaded)
    interpreter.allocate(loaded, model)
    return loaded, partition(loaded, delegate, early)


@pytest.mark.usefixtures("ai_edge_litert")
def test_what_a_library_and_xnnpack_took(library: Path, model: Path) -> None:
    """Nodes 3, 4, 5 and 8 split the rest into three; the first and the last node turn uint8 to int8 and back."""
    delegate = choose(str(library), {"nodes": "3,4,5,8"})
    _, found = load(model, delegate)
    assert found.shares == (Share("libtest.so", 4, 2), Share("XNNPACK", found.nodes - 6, 3))
    assert found.kernels == {"QUANTIZE": 2}
    assert found.taken(delegate) == 4


@pytest.mark.parametrize("seed", range(8))
def test_the_forecast_of_the_edge_tpu_cuts_a_graph_as_the_runtime_does(seed: int, library: Path, model: Path) -> None:
    graph = read_graph(model).subgraphs[0]
    taken = [operator.index for operator in graph.operators if random.Random(f"{seed} {operator.index}").random() < 0.8]
    parts = edgetpu_partition.partition(graph, lambda operator: operator.index in taken)
    loaded = interpreter.unallocated(model, 1, choose(str(library), {"nodes": ",".join(map(str, taken))}))
    assert len(delegate_nodes(loaded)) == sum(part.delegated for part in parts) > 3


@pytest.mark.usefixtures("ai_edge_litert")
@pytest.mark.parametrize("form", ["float32", "float16", "dynamic", "int8"])
def test_what_xnnpack_took_is_missing_in_the_plan(
    form: str, library: Path, convert: Callable[..., object], tmp_path: Path
) -> None:
    """A second delegate is shown the runtime's own list of nodes that are still to be run."""
    log = tmp_path / "plan"
    loaded, found = load(convert("lite0", form).files[0].path, XNNPACK)  # type: ignore[attr-defined]
    spy = interpreter.load_delegate(choose(str(library), {"log": str(log)}))
    loaded._interpreter.ModifyGraphWithDelegate(spy._get_native_delegate_pointer())  # type: ignore[attr-defined]
    plan = [int(number) for number in log.read_text().splitlines()[-1].split()[1:]]
    assert sum(found.kernels.values()) == sum(number < found.nodes for number in plan)
    assert [share.partitions for share in found.shares] == [sum(number >= found.nodes for number in plan)]
    assert found.shares[0].nodes > 40


def test_without_delegates_the_kernels_run_everything(model: Path) -> None:
    _, found = load(model, delegates.NONE)
    assert found.shares == ()
    assert sum(found.kernels.values()) == found.nodes


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ("load", "the attempt to load it ended the process by SIGABRT: check that it is built for this system"),
        ("prepare", "the attempt to prepare the model with it ended the process by SIGABRT: .* the model is compiled"),
        ("run", "the attempt to run the model ended the process by SIGABRT: check the device's power supply"),
    ],
)
def test_a_crash_is_an_error(stage: str, message: str, library: Path, model: Path) -> None:
    with pytest.raises(DelegateError, match=message):
        rehearse(model, 1, choose(str(library), {"crash": stage, "nodes": "1,2"}))


def test_what_a_library_says_is_passed_on(library: Path, model: Path) -> None:
    with pytest.raises(DelegateError, match=r"made no delegate of its options .* and says: no device here$"):
        rehearse(model, 1, choose(str(library), {"refuse": "no device here"}))


def test_an_edge_tpu_that_is_not_there(library: Path, model: Path, tmp_path: Path) -> None:
    copy = shutil.copy(library, tmp_path / "libedgetpu.so")
    with pytest.raises(DelegateError, match=r"no Edge TPU answered: look for it with lsusb .* udev rules"):
        rehearse(model, 1, choose(str(copy), {"refuse": ""}))


def test_a_library_that_is_no_delegate(build: Build, model: Path) -> None:
    with pytest.raises(DelegateError, match="it is no delegate for TFLite: it has no function tflite_plugin_create"):
        rehearse(model, 1, choose(str(build("-DNOT_A_DELEGATE")), {}))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("/nowhere/libtest.so", "delegate /nowhere/libtest.so: no such file"),
        ("libnowhere.so", "the system's loader does not find it"),
        ("edgetpu", "it is not installed: install Coral's libedgetpu1-std"),
    ],
)
def test_a_library_that_is_not_there(name: str, message: str, model: Path) -> None:
    with pytest.raises(DelegateError, match=message):
        rehearse(model, 1, choose(name, {}))


def test_a_library_of_another_machine(library: Path, model: Path, tmp_path: Path) -> None:
    content = bytearray(library.read_bytes())
    sparc = 43
    content[E_MACHINE] = sparc.to_bytes(2, "little")
    (tmp_path / "foreign.so").write_bytes(content)
    with pytest.raises(DelegateError, match=r"it is made for machine 43 \(64 bits\), and this is "):
        rehearse(model, 1, choose(str(tmp_path / "foreign.so"), {}))


def test_a_file_that_is_no_library(model: Path, tmp_path: Path) -> None:
    (tmp_path / "text.so").write_text("hello")
    with pytest.raises(DelegateError, match="it is no library of this system: its ELF header is missing"):
        rehearse(model, 1, choose(str(tmp_path / "text.so"), {}))


def test_a_model_that_the_runtime_refuses(library: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.tflite").write_bytes(b"hello")
    with pytest.raises(DelegateError, match=r"cannot load .*broken.tflite"):
        rehearse(tmp_path / "broken.tflite", 1, choose(str(library), {}))


# An Edge TPU: what it needs of the model and of its library, and the commands that use it

COMPILED = "mobilenet_v1_0.25_128_quant_edgetpu.tflite"  # its executables need runtime 12


@pytest.fixture(scope="module")
def pairs(shared: Path) -> Path:
    return shared / "edgetpu/pairs"


@pytest.fixture(scope="module")
def edgetpu(build: Build) -> Path:
    return build("-DRUNTIME=14", name="libedgetpu.so.1")


@pytest.fixture
def run(labelled: Path) -> Command:
    """Run a command on a model; `evaluate` and `classify` on the labelled pictures."""

    def run(command: str, model: Path, delegate: object, *options: object) -> Result:
        data = {"evaluate": ["--data", labelled], "classify": [labelled], "benchmark": ["--runs", 1, "--seconds", 0]}
        arguments = [command, model, *data[command], "--delegate", delegate, "--json", *options]
        return CliRunner().invoke(main, list(map(str, arguments)))

    return run


COMMANDS = pytest.mark.parametrize("command", ["classify", "evaluate", "benchmark"])


@COMMANDS
@pytest.mark.parametrize("delegate", ["edgetpu", "edgetpu:usb", "/nowhere/libedgetpu.so.1"])
def test_a_model_that_is_not_compiled_is_refused(command: str, delegate: str, model: Path, run: Command) -> None:
    done = run(command, model, delegate)
    advice = f"{model} is not compiled for the Edge TPU: lite-toolkit edgetpu compile {model}"
    assert (done.exit_code, done.stderr) == (1, f"Error: {advice}\n")


@COMMANDS
def test_a_compiled_model_needs_the_delegate(command: str, pairs: Path, run: Command) -> None:
    done = run(command, pairs / COMPILED, "xnnpack")
    assert done.exit_code == 1
    assert done.stderr.endswith(": it is compiled for the Edge TPU, which --delegate edgetpu runs\n")


def test_the_versions_of_library_and_runtime_are_told(pairs: Path, edgetpu: Path, run: Command) -> None:
    done = run("benchmark", pairs / COMPILED, edgetpu, "--delegate-option", "nodes=0")
    (found,) = json.loads(done.stdout)["measurements"]
    assert found["delegate_library_version"] == "BuildLabel(N/A), RuntimeVersion(14)"
    assert found["nodes"] == {
        "nodes": 1,
        "shares": [{"delegate": "libedgetpu.so.1", "nodes": 1, "partitions": 1}],
        "kernels": {},
    }


@COMMANDS
def test_a_library_older_than_the_model(command: str, pairs: Path, build: Build, run: Command) -> None:
    done = run(command, pairs / COMPILED, build("-DRUNTIME=11", name="libedgetpu.so.1"), "--delegate-option", "nodes=0")
    assert done.exit_code == 1
    assert "the model needs runtime 12, and the library has 11: install a newer libedgetpu, or compile" in done.stderr


def test_operators_beside_the_edge_tpu_are_named(pairs: Path) -> None:
    compiled = pairs / "posenet_mobilenet_v1_075_353_481_16_quant_decoder_edgetpu.tflite"
    graph = read_graph(compiled)
    assert for_delegate(compiled, graph, "xnnpack") is None
    found = for_delegate(compiled, graph, "edgetpu:usb")
    assert found
    assert found.note == f"{compiled.name}: outside of the Edge TPU, on the CPU: PosenetDecoderOp ×1"
    assert found.minimum_runtime == 12


def test_a_crash_of_the_edge_tpu_s_library_names_the_known_cause(pairs: Path, edgetpu: Path) -> None:
    delegate = choose(str(edgetpu), {"crash": "prepare", "nodes": "0"})
    with pytest.raises(
        DelegateError, match=r"crashes with tflite-runtime 2.12 and later: .* built for (ai-edge-litert|tflite-runtime)"
    ):
        rehearse(pairs / COMPILED, 1, delegate)


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ("Didn't find custom op for name 'edgetpu-custom-op' with version 1", "--delegate edgetpu runs"),
        (
            "Failed precondition: Package requires runtime version (14), which is newer than this runtime version (13)",
            "install a newer libedgetpu, or compile with --min-runtime",
        ),
        ("Internal: Unsupported data type in custom op handler: 6488064Node number 2", "different versions of Tensor"),
        ("libusb-1.0.so.0: cannot open shared object file: No such file or directory", "apt install libusb-1.0-0"),
        ("Node number 2 (CONV_2D) failed to prepare.", ""),
    ],
)
def test_what_is_known_of_failures(said: str, what: str) -> None:
    assert what in delegates.advice(said)
    assert bool(delegates.advice(said)) == bool(what)


# An Edge TPU by number or bus: the system's loader finds the stand-in under the name of Coral's library


@pytest.mark.skipif(sys.platform != "linux", reason="other systems find libraries by other variables")
@pytest.mark.parametrize(
    ("command", "chosen", "device"),
    [
        ("benchmark", ["--delegate", "edgetpu"], []),
        (
            "benchmark",
            ["--delegate", "edgetpu:1", "--delegate-option", "Performance=Low"],
            ["device=:1", "Performance=Low"],
        ),
        ("benchmark", ["--device", "coral-usb"], ["device=usb"]),
        ("classify", ["--delegate", "edgetpu:pci"], ["device=pci"]),
        ("evaluate", ["--delegate", "edgetpu:usb"], ["device=usb"]),
        ("evaluate", ["--device", "coral-usb"], ["device=usb"]),
        ("doctor", ["--device", "coral-usb"], ["device=usb"]),
    ],
)
def test_the_edge_tpu_that_is_named_is_the_one_that_runs(
    command: str, chosen: list[str], device: list[str], compiled: Path, edgetpu: Path, labelled: Path, tmp_path: Path
) -> None:
    task = {
        "benchmark": [compiled, "--runs", 1, "--seconds", 0],
        "classify": [compiled, labelled],
        "evaluate": [compiled, "--data", labelled, "--workers", 1],
        "doctor": [],
    }[command]
    log = tmp_path / "log"
    environment = os.environ | {"LD_LIBRARY_PATH": str(edgetpu.parent), "LOG": str(log), "NODES": "0"}
    line = [sys.executable, "-m", "lite_toolkit", command, *task, *chosen]
    done = subprocess.run(list(map(str, line)), env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    options = [line.partition(" ")[2] for line in log.read_text().splitlines() if line.startswith("option")]
    assert list(dict.fromkeys(options)) == device


# `evaluate`


def test_an_evaluation_by_a_library_has_one_process(library: Path, model: Path, tmp_path: Path, run: Command) -> None:
    """This library takes no node, so the figures are XNNPACK's."""
    log, journal = tmp_path / "log", tmp_path / "journal"
    options = ("--delegate-option", f"log={log}", "--delegate-option", "device=usb", "--reference", model)
    done = json.loads(run("evaluate", model, library, *options, "--resume", journal).stdout)
    assert (done["delegate"], done["delegate_options"]["device"], done["workers"]) == (str(library), "usb", 1)
    assert done["pairing"]["agreement_percent"] == 100
    # The first run, then the one worker; the reference is left to XNNPACK.
    assert log.read_text().splitlines().count("option device=usb") == 3
    other = run("evaluate", model, "none", "--reference", model, "--resume", journal)
    assert (other.exit_code, "of another evaluation, with another delegate" in other.stderr) == (1, True)


def test_an_edge_tpu_serves_one_process(model: Path, run: Command) -> None:
    done = run("evaluate", model, "edgetpu", "--workers", 2)
    assert (done.exit_code, "--workers 2: an Edge TPU serves one process at a time" in done.stderr) == (2, True)
