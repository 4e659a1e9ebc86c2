"""What each format costs: this toolkit's files, TensorFlow's own int8, ai-edge-quantizer's defaults, and OpenVINO's.

    pip install openvino nncf  # optional: without them, their rows are left out
    python benchmarks/quantization.py --calibration DIR --validation DIR --classes classes.tsv [--variants lite0,lite2]

The photographs' names begin with their wnid; the table of classes has the columns index and wnid. Every method has the
same float weights, calibration images, validation images and metrics, and gives logits. `.tflite` files run in LiteRT.
OpenVINO's models run in OpenVINO with what is not int8 in float32, since its CPU plugin would choose bf16 by itself.
`quantize_seconds` is the wall time from the float model to the quantized one; TensorFlow's converter does not part it
from the conversion. Writes `benchmarks/results/quantization.json` and prints the README's table.
"""

import argparse
import contextlib
import io
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from machine import environment, kept, save
from numpy.typing import NDArray

from lite_toolkit.conversion import pipeline
from lite_toolkit.datasets.representative import PreparedImages, load_representative
from lite_toolkit.images.files import find_images, read_image
from lite_toolkit.images.preprocessing import PreprocessingSpec
from lite_toolkit.measurement import validation
from lite_toolkit.networks.architectures import VARIANTS
from lite_toolkit.quantization import recipes
from lite_toolkit.streams import quiet
from lite_toolkit.weights.loading import Weights, load_model, read_weights

Array = NDArray[np.float32]
Row = dict[str, Any]

RESULTS = Path(__file__).parent / "results" / "quantization.json"
PACKAGES = ("tensorflow", "ai-edge-litert", "ai-edge-quantizer", "openvino", "nncf")


@dataclass(frozen=True)
class Made:
    """A model: its size, the seconds that quantization took (None for a float model), and its scores of images."""

    size_bytes: int
    quantize_seconds: float | None
    scores: Callable[[Iterable[Array]], Array]


@dataclass(frozen=True)
class Case:
    """One variant, and the photographs that every method calibrates on."""

    variant: str
    photographs: Path
    folder: Path

    @cached_property
    def float_file(self) -> Path:
        """The float32 `.tflite` that all but TensorFlow's converter start from."""
        return self.convert(recipes.default("float32"), None).files[0].path

    @cached_property
    def preprocessing(self) -> PreprocessingSpec:
        return self._weights.preprocessing

    @cached_property
    def calibration(self) -> PreparedImages:
        """Those that the toolkit's own recipes calibrate on: it holds out a fifth."""
        return load_representative(self.photographs, self.preprocessing, samples=128, seed=0).calibration

    @cached_property
    def keras_model(self) -> Any:
        return load_model(self._weights, activation="none").model

    def convert(self, recipe: recipes.Recipe, photographs: Path | None) -> pipeline.Conversion:
        """What `lite-toolkit convert --recipe RECIPE` does."""
        return pipeline.convert(
            pipeline.Request(
                (recipe,),
                variant=self.variant,
                activation="none",
                calibration_data=photographs,
                output=self.folder,
                force=True,
            )
        )

    @cached_property
    def _weights(self) -> Weights:
        return read_weights(VARIANTS[self.variant])


def float32(case: Case) -> Made:
    return litert(case.float_file.read_bytes(), None)


def toolkit(recipe: str, case: Case, synthetic: bool = False) -> Made:
    converted = case.convert(recipes.load(recipe), None if synthetic else case.photographs)
    return litert(converted.files[0].path.read_bytes(), converted.seconds["quantize"])


def tensorflow(case: Case) -> Made:
    return litert(*timed(partial(tensorflow_int8, case.keras_model, case.calibration)))


def tensorflow_int8(keras_model: Any, images: Iterable[Array]) -> bytes:
    """TFLiteConverter's own full-integer quantization, with uint8 ends."""
    from lite_toolkit.networks.backend import tf

    converter = tf.lite.TFLiteConverter.from_keras_model(keras_model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image[np.newaxis]] for image in images)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.uint8
    return bytes(converter.convert())


def ai_edge_quantizer(case: Case) -> Made:
    """Its recipe static_wi8_ai8, calibrated by itself: on moving averages, so that the order of the images counts."""
    from ai_edge_quantizer import quantizer, recipe

    shuffled = np.random.default_rng(0).permutation(len(case.calibration))  # the photographs are sorted by class
    images = [{"image": case.calibration[index][np.newaxis]} for index in shuffled.tolist()]

    def quantize() -> bytes:
        engine = quantizer.Quantizer(str(case.float_file), recipe.static_wi8_ai8())
        statistics = engine.calibrate({"serving_default": images})
        return bytes(engine.quantize(statistics).quantized_model)

    return litert(*timed(quantize))


def nncf_default(case: Case, **options: Any) -> Made:
    """OpenVINO's quantizer on the float `.tflite`; by default symmetric with fast bias correction."""
    import nncf
    import openvino

    model = openvino.Core().read_model(case.float_file)
    images = nncf.Dataset(list(case.calibration), lambda image: image[np.newaxis])
    quantize = partial(nncf.quantize, model, images, subset_size=len(case.calibration), **options)
    return openvino_cpu(*timed(quantize), "f32", case.folder)


def nncf_mixed(case: Case) -> Made:
    import nncf

    return nncf_default(case, preset=nncf.QuantizationPreset.MIXED, fast_bias_correction=False)


def bf16(case: Case) -> Made:
    """The float model, computed in bf16."""
    import openvino

    return openvino_cpu(openvino.Core().read_model(case.float_file), None, "bf16", case.folder)


def litert(model: bytes, seconds: float | None) -> Made:
    return Made(len(model), seconds, partial(validation.scores, model))


def openvino_cpu(model: Any, seconds: float | None, precision: str, folder: Path) -> Made:
    import openvino

    files = [folder / "model.xml", folder / "model.bin"]
    openvino.save_model(model, files[0], compress_to_fp16=False)
    settings = {openvino.properties.hint.inference_precision: precision}
    compiled = openvino.Core().compile_model(model, "CPU", settings)

    def scores(images: Iterable[Array]) -> Array:
        return np.concatenate([compiled(image[np.newaxis])[0] for image in images])

    return Made(sum(file.stat().st_size for file in files), seconds, scores)


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    with quiet(), contextlib.redirect_stdout(io.StringIO()):
        started = time.perf_counter()
        return work(), time.perf_counter() - started


# By the names of the README's rows, in its order.
METHODS: dict[str, Callable[[Case], Made]] = {
    "float32": float32,
    "float16": partial(toolkit, "float16"),
    "dynamic": partial(toolkit, "dynamic"),
    "int8": partial(toolkit, "int8"),
    "int8, built-in synthetic set": partial(toolkit, "int8", synthetic=True),
    "int8-fast": partial(toolkit, "int8-fast"),
    "int8-minmax": partial(toolkit, "int8-minmax"),
    "int8-per-tensor": partial(toolkit, "int8-per-tensor"),
    "int16x8": partial(toolkit, "int16x8"),
    "TensorFlow's own int8": tensorflow,
    "ai-edge-quantizer's default int8": ai_edge_quantizer,
    "OpenVINO NNCF's default int8": nncf_default,
    "OpenVINO NNCF int8, mixed preset, full bias correction": nncf_mixed,
    "OpenVINO, float model in bf16": bf16,
}


def unavailable() -> tuple[str, list[Callable[[Case], Made]]]:
    """Why some methods cannot run here, and which."""
    if not (find_spec("openvino") and find_spec("nncf")):
        return "pip install openvino nncf", [nncf_default, nncf_mixed, bf16]
    import openvino

    has_bf16 = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "OpenVINO has no bf16 on this processor", [] if has_bf16 else [bf16]


def measure(case: Case, methods: Iterable[str], photographs: Path, classes: Path) -> Iterator[Row]:
    lines = [line.split("\t") for line in classes.read_text().splitlines()[1:]]
    index = {wnid: int(number) for number, wnid, *_ in lines}
    paths = find_images(photographs)
    truth = np.array([index[path.name.split("_")[0]] for path in paths])
    images = [case.preprocessing.apply(read_image(path)) for path in paths]
    reference = validation.scores(case.float_file, images)
    for method in methods:
        made = METHODS[method](case)
        scores = made.scores(images)
        yield {
            "variant": case.variant,
            "method": method,
            "size_bytes": made.size_bytes,
            "quantize_seconds": made.quantize_seconds,
            "top1_percent": 100 * float((scores.argmax(axis=1) == truth).mean()),
            **validation.compare(reference, scores).to_json(),
        }


def readme(rows: Iterable[Row]) -> Iterator[str]:
    """Lines of its table: top-1 / agreement / SQNR."""
    cells = {(row["method"], row["variant"]): _cell(row) for row in rows}
    variants = sorted({variant for _, variant in cells})
    yield f"| | {' | '.join(variants)} |"
    yield "|---" * (len(variants) + 1) + "|"
    for method in (method for method in METHODS if method in {method for method, _ in cells}):
        values = [cells.get((method, variant), "–") for variant in variants]
        yield f"| {'**int8**' if method == 'int8' else method} | {' | '.join(values)} |"


def _cell(row: Row) -> str:
    sqnr = "" if row["sqnr_db"] is None else f" / {row['sqnr_db']:.1f} dB"
    return f"{row['top1_percent']:.1f} / {row['agreement_percent']:.1f}{sqnr}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calibration", type=Path, required=True)
    parser.add_argument("--validation", type=Path, required=True)
    parser.add_argument("--classes", type=Path, required=True)
    parser.add_argument("--variants", default="lite0,lite1,lite2")
    parser.add_argument("--methods", default=";".join(METHODS), help="separated by semicolons; other rows are kept")
    options = parser.parse_args()
    reason, makers = unavailable()
    left_out = [method for method in options.methods.split(";") if METHODS[method] in makers]
    if left_out:
        print(f"left out: {'; '.join(left_out)}: {reason}")
    methods = [method for method in options.methods.split(";") if method not in left_out]
    here = environment(*PACKAGES)
    rows = {(row["variant"], row["method"]): row for row in kept(RESULTS, here)}
    for variant in options.variants.split(","):
        with tempfile.TemporaryDirectory() as folder:
            case = Case(variant, options.calibration, Path(folder))
            for row in measure(case, methods, options.validation, options.classes):
                rows[variant, row["method"]] = row
                save(RESULTS, here, {"rows": list(rows.values())})
                print(f"{variant} {row['method']}: {_cell(row)}, {row['quantize_seconds'] or 0:.1f} s", flush=True)
    print(*readme(rows.values()), sep="\n")


if __name__ == "__main__":
    main()
