"""What an int8 file promises: TensorFlow's operators and size, what the walk chose, and one answer everywhere."""

import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
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
from lite_toolkit.runtime.interpreter import interpreter
from lite_toolkit.tflite import manifest
from lite_toolkit.tflite.graph import Operator, Tensor, read_graph

pytest.importorskip("tensorflow", reason='needs the extra: pip install ".[convert]"')

from lite_toolkit.networks.backend import tf
from lite_toolkit.quantization import operators
from lite_toolkit.quantization.parameters import Parameters, with_parameters
from lite_toolkit.quantization.quantizer import quantize
from lite_toolkit.quantization.walk import choose_parameters
from lite_toolkit.tflite import surgery

PACKAGE = Path(pipeline.__file__).parents[1]
Convert = Callable[..., pipeline.Conversion]
Images = Iterable[np.ndarray]
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


def fixed_point_sum(terms: list[np.ndarray], scales: list[np.float32], result: np.float32) -> np.ndarray:
    """Steps of a sum's result, as XNNPACK computes it on every processor: by multipliers of 21 bits, halves upwards."""
    ratios = [scale / result for scale in scales]
    shift = 21 - math.frexp(max(ratios))[1]
    multipliers = [round(math.ldexp(ratio, shift)) for ratio in ratios]
    total = sum(multiplier * term.astype(np.int64) for multiplier, term in zip(multipliers, terms, strict=True))
    return (total + (1 << shift - 1)) >> shift


def product(operator: Operator, x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """What a layer makes without its bias and activation, by TensorFlow; weights are laid out as in the file."""
    if operator.name == "FULLY_CONNECTED":
        return x.reshape(len(x), -1) @ weights.T
    options: Any = operator.options
    strides, kernel = [1, options["stride_h"], options["stride_w"], 1], weights.transpose(1, 2, 3, 0)
    convolve = tf.nn.conv2d if operator.name == "CONV_2D" else tf.nn.depthwise_conv2d
    return np.asarray(convolve(x, kernel, strides, options["padding"]))


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
            sums = product(operator, live[sources[0]], np.rint(weights / steps)) + np.rint(bias / unit)
            values = sums.astype(np.float32) * (unit / scales[output])
        elif operator.name == "ADD":
            values = fixed_point_sum(
                [live[index] for index in sources], [scales[index] for index in sources], scales[output]
            )
        else:  # an average, exact for the 4 places of a small image
            assert operator.name == "MEAN"
            values = live[sources[0]].mean((1, 2), keepdims=True) * (scales[sources[0]] / scales[output])
            values = values.reshape(graph.tensors[output].shape)
        live[output] = stored(output, values, BOUNDS[str(operator.options.get("fused_activation_function", "NONE"))])
    return live[graph.outputs[0]][0] * scales[graph.outputs[0]]


def simulated(
    float_model: bytes, calibration: Images, spec: PreprocessingSpec, recipe: recipes.Recipe, images: Images
) -> np.ndarray:
    """Scores of the simulated int8 network."""
    scale, zero_point = spec.quantization("int8")
    input_range = (-128 - zero_point) * scale, (127 - zero_point) * scale
    chosen = choose_parameters(float_model, calibration, input_range, recipe)
    corrected = with_parameters(float_model, chosen)
    return np.stack([simulate(corrected, chosen.ranges, image) for image in images])


def prepared(int8: pipeline.Conversion, photographs: list[Path]) -> tuple[PreprocessingSpec, list[np.ndarray]]:
    spec = PreprocessingSpec.from_json(int8.files[-1].manifest["preprocessing"])
    return spec, [spec.apply(read_image(path)) for path in photographs]


def test_the_file_computes_what_the_walk_chose(convert: Convert, photographs: Path) -> None:
    float_model, int8 = convert("lite0", "float32").files[0].path.read_bytes(), convert("lite0", "int8")
    spec, images = prepared(int8, find_images(photographs)[:10])
    assert int8.files[-1].dataset
    expected = simulated(float_model, int8.files[-1].dataset.calibration, spec, recipes.default("int8"), images)
    np.testing.assert_array_equal(validation.scores(int8.files[-1].path, images), expected)


@pytest.mark.parametrize("seed", [0, 1])
def test_whatever_the_walk_chose(convert: Convert, photographs: Path, seed: int) -> None:
    """Processors add in other orders, and the walk chooses parameters that differ in their last digits.

    Calibration on other images stands for other processors: of what is rounded, once in 200,000 sums a half comes near.
    """
    float_model = convert("lite0", "float32").files[0].path.read_bytes()
    spec, images = prepared(convert("lite0", "float32"), find_images(photographs))
    calibration = np.stack(images)[np.random.default_rng(seed).permutation(30)[:12]]
    recipe = recipes.load("int8-fast")
    quantized = quantize(float_model, recipe, spec, calibration, "int8")
    expected = simulated(float_model, calibration, spec, recipe, images)
    np.testing.assert_array_equal(validation.scores(quantized, images), expected)


def test_sums_of_all_pairs(convert: Convert) -> None:
    """Each residual connection of an int8 file, by itself, on every pair of int8 values."""
    content = convert("lite0", "int8").files[0].path.read_bytes()
    graph = read_graph(content).subgraphs[0]
    every = np.stack(np.meshgrid(*[np.arange(-128, 128)] * 2)).reshape(2, -1)
    additions = [(index, model) for index, model in surgery.operators(content) if graph.operators[index].name == "ADD"]
    assert len(additions) == 9
    for index, model in additions:
        operator = graph.operators[index]
        first, second, result = (graph.tensors[number] for number in (*operator.inputs, operator.outputs[0]))
        scales, zero_points = zip(*(steps_stored(tensor) for tensor in (first, second, result)), strict=True)
        terms = [values - zero_point for values, zero_point in zip(every, zero_points, strict=False)]
        expected = np.clip(fixed_point_sum(terms, list(scales[:2]), scales[2]) + zero_points[2], -128, 127)
        np.testing.assert_array_equal(added(model, every.astype(np.int8), first.name), expected)


def steps_stored(tensor: Tensor) -> tuple[np.float32, int]:
    assert tensor.quantization
    return np.float32(tensor.quantization.scales[0]), int(tensor.quantization.zero_points[0])


def added(model: bytes, pairs: np.ndarray, first: str) -> np.ndarray:
    """What a model that is one ADD makes of (2, n) stored values; `first` is the name of its first operand."""
    loaded = interpreter(model)
    ends = sorted(loaded.get_input_details(), key=lambda end: end["name"] != first)
    size, count = int(np.prod(ends[0]["shape"])), pairs.shape[1]
    found = []
    for parts in zip(*(np.resize(values, (-(-count // size), size)) for values in pairs), strict=True):
        for end, values in zip(ends, parts, strict=True):
            loaded.set_tensor(end["index"], values.reshape(end["shape"]))
        loaded.invoke()
        found.append(loaded.get_tensor(loaded.get_output_details()[0]["index"]).reshape(-1))
    return np.concatenate(found)[:count]


@pytest.mark.slow
def test_the_file_is_as_good_as_its_simulation(real: pipeline.Conversion, shared: Path) -> None:
    spec, images = prepared(real, find_images(shared / "imagenet" / "validation")[::14])
    float_model = real.files[0].path.read_bytes()
    assert real.files[-1].dataset
    expected = simulated(float_model, real.files[-1].dataset.calibration, spec, recipes.default("int8"), images)
    reference, found = validation.scores(float_model, images), validation.scores(real.files[-1].path, images)
    sqnr = validation.compare(reference, expected).sqnr_db
    assert validation.compare(reference, found).sqnr_db == pytest.approx(sqnr, abs=0.1)


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
predictions = list(classifier.classify(expand([Path(sys.argv[2])]), classifier.model.outputs))
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
