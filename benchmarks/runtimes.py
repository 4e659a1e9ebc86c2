"""Latency of the same network in LiteRT, OpenVINO and ONNX Runtime on this machine's processor.

    pip install openvino nncf onnx onnxruntime tf2onnx  # optional: without them, their rows are left out
    python benchmarks/runtimes.py lite0-float32.tflite lite0-int8.tflite [--rounds 20] [--threads 1,2]

The float `.tflite` is what OpenVINO reads, what NNCF quantizes (its default, calibrated on noise: only time counts
here) and what tf2onnx converts; the int8 `.tflite` becomes an ONNX model of the same integers by tf2onnx too. With each
number of threads the runtimes take turns in one process: a warm-up until times are steady, then half a second in each
round, in an order that turns round. All times are taken by `lite-toolkit benchmark`'s own loop. OpenVINO computes in
float32 what is not int8. Writes `benchmarks/results/runtimes.json`.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from machine import environment, save

from lite_toolkit.board import latency
from lite_toolkit.board.distribution import Distribution
from lite_toolkit.decoding import encode
from lite_toolkit.runtime import interpreter as runtime
from lite_toolkit.streams import quiet

RESULTS = Path(__file__).parent / "results" / "runtimes.json"
PACKAGES = ("ai-edge-litert", "openvino", "nncf", "onnxruntime", "tf2onnx", "numpy")
TURN_SECONDS = 0.5
CALIBRATION_IMAGES = 10

Run = Callable[[], object]


def litert(model: Path, threads: int, _folder: Path) -> Run:
    interpreter = runtime.interpreter(model, threads)
    latency.fill(interpreter)
    invoke: Run = interpreter.invoke
    return invoke


def openvino(model: Path, threads: int, _folder: Path) -> Run:
    import openvino

    return openvino_cpu(openvino.Core().read_model(model), threads)


def nncf(model: Path, threads: int, _folder: Path) -> Run:
    import nncf
    import openvino

    read = openvino.Core().read_model(model)
    images = [noise(tuple(read.input(0).shape), np.dtype(np.float32), seed) for seed in range(CALIBRATION_IMAGES)]
    with quiet():
        return openvino_cpu(nncf.quantize(read, nncf.Dataset(images), subset_size=len(images)), threads)


def openvino_cpu(model: Any, threads: int) -> Run:
    import openvino

    settings = {
        openvino.properties.hint.inference_precision: "f32",
        openvino.properties.hint.performance_mode: openvino.properties.hint.PerformanceMode.LATENCY,
        openvino.properties.inference_num_threads: threads,
    }
    request = openvino.Core().compile_model(model, "CPU", settings).create_infer_request()
    image = request.get_input_tensor()
    image.data[...] = noise(image.data.shape, image.data.dtype)
    infer: Run = request.infer
    return infer


def onnx(model: Path, threads: int, folder: Path) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(to_onnx(model, folder), options, providers=["CPUExecutionProvider"])
    (image,) = session.get_inputs()
    dtype = np.dtype({"tensor(float)": "float32", "tensor(uint8)": "uint8", "tensor(int8)": "int8"}[image.type])
    binding = session.io_binding()
    binding.bind_cpu_input(image.name, noise(tuple(image.shape), dtype))
    binding.bind_output(session.get_outputs()[0].name)
    return lambda: session.run_with_iobinding(binding)


def to_onnx(model: Path, folder: Path) -> Path:
    import tf2onnx

    converted = folder / f"{model.stem}.onnx"
    if not converted.exists():
        with quiet():
            tf2onnx.convert.from_tflite(str(model), opset=17, output_path=str(converted))
    return converted


def noise(shape: tuple[int, ...], dtype: np.dtype[Any], seed: int = 0) -> Any:
    generator = np.random.default_rng(seed)
    if dtype.kind == "f":
        return generator.uniform(-1, 1, shape).astype(dtype)
    bounds = np.iinfo(dtype)
    return generator.integers(bounds.min, bounds.max, shape, dtype, endpoint=True)


# Name, format, packages that it needs, and what makes it of the format's model.
METHODS: tuple[tuple[str, str, tuple[str, ...], Callable[[Path, int, Path], Run]], ...] = (
    ("LiteRT", "float32", (), litert),
    ("OpenVINO", "float32", ("openvino",), openvino),
    ("ONNX Runtime", "float32", ("onnx", "onnxruntime", "tf2onnx", "tensorflow"), onnx),
    ("LiteRT", "int8", (), litert),
    ("OpenVINO, NNCF", "int8", ("openvino", "nncf"), nncf),
    ("ONNX Runtime", "int8", ("onnx", "onnxruntime", "tf2onnx", "tensorflow"), onnx),
)


def runs(models: dict[str, Path], threads: int, folder: Path) -> Iterator[tuple[tuple[str, str], Run]]:
    for name, form, packages, make in METHODS:
        missing = [package for package in packages if not find_spec(package)]
        if missing:
            print(f"{name} {form}: left out, pip install {' '.join(missing)}", flush=True)
        else:
            quantized = form == "int8" and make is not nncf
            yield (name, form), make(models["int8" if quantized else "float32"], threads, folder)


def measure(models: dict[str, Path], threads: int, rounds: int, folder: Path) -> Iterator[dict[str, Any]]:
    made = dict(runs(models, threads, folder))
    times: dict[tuple[str, str], list[int]] = {key: [] for key in made}
    for run in made.values():
        latency.warm_up(run)
    for turn in range(rounds):
        for key in list(made) if turn % 2 else reversed(made):
            made[key]()  # the others have used the caches since
            times[key] += latency.run_for(made[key], TURN_SECONDS)
    for (name, form), taken in times.items():
        yield {"runtime": name, "format": form, "threads": threads, **encode(Distribution.of(taken))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("float32", type=Path)
    parser.add_argument("int8", type=Path)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    models = {"float32": options.float32, "int8": options.int8}
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for threads in map(int, options.threads.split(",")):
            for row in measure(models, threads, options.rounds, Path(folder)):
                print(row, flush=True)
                rows.append(row)
    save(options.output, environment(*PACKAGES), {"models": [path.name for path in models.values()], "rows": rows})


if __name__ == "__main__":
    main()
