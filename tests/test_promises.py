"""What an int8 file promises: TensorFlow's operators and size, what the walk chose, and one answer everywhere."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lite_toolkit import load_model, read_weights, variant
from lite_toolkit.conversion import pipeline
from lite_toolkit.images.files import find_images, read_image
from lite_toolkit.images.preprocessing import PreprocessingSpec, google_lite
from lite_toolkit.measurement import validation
from lite_toolkit.quantization import recipes
from lite_toolkit.tflite import manifest
from lite_toolkit.tflite.graph import read_graph

pytest.importorskip("tensorflow", reason='needs the extra: pip install ".[convert]"')

from lite_toolkit.networks.backend import tf
from lite_toolkit.quantization import operators
from lite_toolkit.quantization.quantizer import quantize
from lite_toolkit.quantization.walk import Parameters, choose_parameters
from lite_toolkit.quantization.writer import with_parameters

PACKAGE = Path(pipeline.__file__).parent
Convert = Callable[..., pipeline.Conversion]
UNBOUNDED = (-np.inf, np.inf)
BOUNDS = {"NONE": UNBOUNDED, "RELU6": (0.0, 6.0)}  # of fused activations


@pytest.fixture(scope="module")
def real(
    convert: Convert, shared: Path, imagenet_lite0: str, tmp_path_factory: pytest.TempPathFactory
) -> pipeline.Conversion:
    """Float32 and int8 lite0 on real weights, calibrated on every fourth photograph to save time."""
    few = tmp_path_factory.mktemp("few")
    for path in find_images(shared / "imagenet" / "calibration")[::4]:
        shutil.copy(path, few)
    options = {"weights": "imagenet", "input_size": None, "calibration_data": few}
    return convert("lite0", "float32", "int8", **options)


def operator_counts(model: bytes) -> Counter[str]:
    return Counter(operator.name for operator in read_graph(model).subgraphs[0].operators)


def tensorflow_int8(keras_model: Any) -> bytes:
    """TensorFlow's own int8, with uint8 ends."""
    converter = tf.lite.TFLiteConverter.from_keras_model(keras_model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    images = np.random.default_rng(0).uniform(-1, 1, (4, *keras_model.input_shape[1:])).astype(np.float32)
    converter.representative_dataset = lambda: ([image[np.newaxis]] for image in images)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.uint8
    return bytes(converter.convert())


@pytest.mark.slow
def test_int8_costs_what_tensorflows_does(convert: Convert, imagenet_lite0: str) -> None:
    """On real weights: of random ones, TensorFlow stores the biases once, which are all 0."""
    weights = read_weights(variant("lite0"), input_size=64)
    theirs = tensorflow_int8(load_model(weights, activation="none").model)
    ours = convert("lite0", "int8", weights="imagenet", io="uint8").files[0].path.read_bytes()
    assert operator_counts(ours) == operator_counts(theirs)
    assert len(ours) == pytest.approx(len(theirs), rel=0.01)


def steps_over(limits: tuple[float, float]) -> tuple[np.float32, int]:
    """Scale and zero point of int8 over a range, which is widened to hold 0."""
    low, high = np.float32(min(limits[0], 0)), np.float32(max(limits[1], 0))
    scale = (high - low) / np.float32(255)
    return scale, round(-128 - low / scale)


def steps_of(weights: np.ndarray, depthwise: bool) -> np.ndarray:
    """The scale of each output channel, largest weight / 127."""
    largest = np.abs(weights).max((0, 1, 2) if depthwise else tuple(range(1, weights.ndim)), keepdims=True)
    return np.where(largest > 0, largest / 127, 1).astype(np.float32)


def simulate(model: bytes, ranges: Mapping[str, tuple[float, float]], image: np.ndarray) -> np.ndarray:
    """The scores that int8 arithmetic gives: whole steps, counted from each zero point.

    Args:
        model: a float `.tflite` with the weights and biases that the walk chose.
        ranges: of its activations.
        image: normalised float32 (height, width, 3).
    """
    graph = read_graph(model).subgraphs[0]
    settled = {tensor.index: steps_over(ranges[tensor.name]) for tensor in graph.tensors if tensor.name in ranges}
    scales = {index: scale for index, (scale, _) in settled.items()}

    def stored(tensor: int, values: np.ndarray, bounds: tuple[float, float] = UNBOUNDED) -> np.ndarray:
        scale, zero_point = settled[tensor]
        limits = np.clip(np.rint(bounds / scale), -128 - zero_point, 127 - zero_point)
        return np.clip(np.rint(values), *limits).astype(np.float32)

    live = {graph.inputs[0]: stored(graph.inputs[0], image[np.newaxis] / scales[graph.inputs[0]])}
    for operator in graph.operators:
        output, sources = operator.outputs[0], [index for index in operator.inputs if index in live]
        if operator.name in operators.LINEAR:
            weights, bias = (np.array(graph.tensors[index].data()) for index in operator.inputs[1:])
            steps = steps_of(weights, operator.name == "DEPTHWISE_CONV_2D")
            unit = scales[sources[0]] * steps.reshape(-1)
            # Exact in float32: whole numbers, whose sums stay below 2 ** 24.
            sums = operators.linear(operator, live[sources[0]], np.rint(weights / steps)) + np.rint(bias / unit)
            values = sums.astype(np.float32) * (unit / scales[output])
        else:
            real = [live[index] * scales[index] for index in sources]
            values = operators.compute(operator, graph, real) / scales[output]
        live[output] = stored(output, values, BOUNDS[str(operator.options.get("fused_activation_function", "NONE"))])
    return live[graph.outputs[0]][0] * scales[graph.outputs[0]]


def simulated_and_real(
    float_file: pipeline.Converted, int8: pipeline.Conversion, photographs: list[Path]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores of the float32 file, of the simulated int8 network, and of the int8 file."""
    float_model, int8_file = float_file.path.read_bytes(), int8.files[-1]
    assert int8.dataset
    spec = PreprocessingSpec.from_json(int8_file.manifest["preprocessing"])
    scale, zero_point = spec.quantization("int8")
    input_range = (-128 - zero_point) * scale, (127 - zero_point) * scale
    chosen = choose_parameters(float_model, int8.dataset.calibration, input_range, recipes.default("int8"))
    corrected = with_parameters(float_model, chosen)
    images = [spec.apply(read_image(path)) for path in photographs]
    simulated = np.stack([simulate(corrected, chosen.ranges, image) for image in images])
    return validation.scores(float_model, images), simulated, validation.scores(int8_file.path, images)


def test_the_file_computes_what_the_walk_chose(convert: Convert, photographs: Path) -> None:
    _, simulated, real = simulated_and_real(
        convert("lite0", "float32").files[0], convert("lite0", "int8"), find_images(photographs)[:10]
    )
    np.testing.assert_array_equal(simulated, real)


@pytest.mark.slow
def test_the_file_is_as_good_as_its_simulation(real: pipeline.Conversion, shared: Path) -> None:
    photographs = find_images(shared / "imagenet" / "validation")[::14]
    reference, *both = simulated_and_real(real.files[0], real, photographs)
    simulated, found = (validation.compare(reference, scores).sqnr_db for scores in both)
    assert found == pytest.approx(simulated, abs=0.1)


def largest_bias(model: bytes) -> int:
    tensors = read_graph(model).subgraphs[0].tensors
    biases = [tensor.data() for tensor in tensors if tensor.dtype == "int32" and tensor.quantization]
    return max(int(np.abs(bias.astype(np.int64)).max()) for bias in biases)


@pytest.mark.parametrize("recipe", ["int8-fast", "int8-minmax"])
def test_a_dead_channel_leaves_room_for_its_sums(convert: Convert, recipe: str) -> None:
    """Trained networks have channels of weights near 1e-8, whose bias is billions of the accumulator's steps."""
    float_model = convert("lite0", "float32").files[0].path.read_bytes()
    graph = read_graph(float_model).subgraphs[0]
    weights, bias = (np.array(graph.tensors[index].data()) for index in graph.operators[0].inputs[1:])
    weights[0], bias[0] = weights[0] * 1e-9, -3.0
    dying = with_parameters(float_model, Parameters({0: weights}, {0: bias}))
    images = np.random.default_rng(0).uniform(-1, 1, (4, 64, 64, 3)).astype(np.float32)
    quantized = quantize(dying, recipes.load(recipe), google_lite(64), images, "int8")
    assert largest_bias(quantized) <= 2**30


BOARD_PROGRAM = """
import json, sys
from pathlib import Path
from lite_toolkit.measurement.classification import Classifier, expand
classifier = Classifier(Path(sys.argv[1]))
predictions = list(classifier.classify(expand([Path(sys.argv[2])]), classifier.model.classes))
scores = [[[score.index, score.score] for score in prediction.top] for prediction in predictions]
operators = [details["op_name"] for details in classifier.model.interpreter._get_ops_details()]
print(json.dumps({"delegated": "DELEGATE" in operators, "scores": scores}))
"""


@pytest.fixture(scope="module")
def emulated_pi(shared: Path) -> Iterator[Callable[..., str]]:
    """Runs Python programs in an emulated 64-bit Raspberry Pi, with files at hand in its home."""
    emulator = shared / "pi" / "emulated-pi.sh"
    if not (shutil.which("qemu-aarch64-static") and shutil.which("unshare")):
        pytest.skip("needs qemu-aarch64-static and unshare: apt-get install qemu-user-static util-linux")
    enter = "unshare --user --map-root-user --mount mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc"
    if subprocess.run(enter.split(), capture_output=True).returncode:
        pytest.skip("needs user namespaces with a binfmt_misc of their own: Linux 6.7")
    with tempfile.TemporaryDirectory() as state:
        environment = os.environ | {"PI": state, "PIP": f"{sys.executable} -m pip"}
        built = subprocess.run(["bash", emulator, "build", "aarch64"], env=environment, capture_output=True, text=True)
        if built.returncode:
            pytest.skip(f"cannot build the Pi's system: {built.stderr.splitlines()[-1]}")
        root = Path(state, "root-aarch64")
        shutil.copytree(PACKAGE, root / "opt/pi/site/lite_toolkit", ignore=shutil.ignore_patterns("__pycache__"))

        def run(program: str, *files: Path) -> str:
            for file in files:
                (shutil.copytree if file.is_dir() else shutil.copy)(file, root / "home/pi" / file.name)
            command = ["bash", emulator, "run", "aarch64", "python3", "-c", program]
            command += [f"/home/pi/{file.name}" for file in files]
            return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

        yield run


@pytest.mark.slow
def test_a_raspberry_pi_sees_the_same_classes(
    real: pipeline.Conversion, shared: Path, emulated_pi: Callable[..., str], tmp_path: Path
) -> None:
    model, photographs = real.files[1].path, tmp_path / "photographs"
    photographs.mkdir()
    for path in find_images(shared / "imagenet" / "validation")[::14]:
        shutil.copy(path, photographs)
    arguments = [sys.executable, "-c", BOARD_PROGRAM, model, photographs]
    here = json.loads(subprocess.run(arguments, check=True, capture_output=True, text=True).stdout)
    # The manifest goes along: it holds the preprocessing.
    there = json.loads(emulated_pi(BOARD_PROGRAM, model, photographs, manifest.path_of(model)))
    assert here["delegated"]
    assert there["delegated"]
    # An image's best score stands first, as [class, score].
    assert [best[0] for best, *_ in there["scores"]] == [best[0] for best, *_ in here["scores"]]
