"""What each format costs, of this toolkit's files and of TensorFlow's own int8.

    python benchmarks/quantization.py --calibration DIR --validation DIR --classes classes.tsv [--variants lite0,lite2]

The photographs' names begin with their wnid; the table of classes has the columns index and wnid. Logits, real
`.tflite` files through LiteRT; writes `benchmarks/results/quantization.json` and prints its rows.
"""

import argparse
import dataclasses
import json
import os
import platform
import tempfile
from datetime import date
from pathlib import Path

import numpy as np

from lite_toolkit import pipeline, recipes, validation
from lite_toolkit.images import find_images, read_image
from lite_toolkit.representative import load_representative
from lite_toolkit.runtime import runtime_version

RESULTS = Path(__file__).parent / "results" / "quantization.json"
FORMATS = ("float32", "float16", "dynamic", "int8", "int8-fast", "int8-minmax", "int8-per-tensor", "int16x8")


def tensorflow_ptq(variant, calibration):
    """TFLiteConverter's own full-integer quantization of the same Keras model, with the same images."""
    from lite_toolkit.architectures import VARIANTS
    from lite_toolkit.backend import tf
    from lite_toolkit.weights.loading import load_model, read_weights

    weights = read_weights(VARIANTS[variant])
    images = load_representative(calibration, weights.preprocessing, 128, 0).calibration
    converter = tf.lite.TFLiteConverter.from_keras_model(load_model(weights, activation="none").model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image[np.newaxis]] for image in images)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.uint8
    return converter.convert()


def toolkit(variant, recipe, calibration, folder):
    """The file that `lite-toolkit convert --recipe RECIPE` writes, with its preprocessing."""
    request = pipeline.Request(
        (recipes.load(recipe) if recipe != "float32" else recipes.default("float32"),),
        variant=variant,
        activation="none",
        calibration_data=calibration,
        output=folder,
        force=True,
    )
    written = pipeline.convert(request).files[0]
    return written.path.read_bytes(), written.manifest["preprocessing"]


def measure(variant, options, folder):
    from lite_toolkit.preprocessing import PreprocessingSpec

    index = dict(reversed(line.split("\t")[:2]) for line in options.classes.read_text().splitlines()[1:])
    paths = find_images(options.validation)
    truth = np.array([int(index[path.name.split("_")[0]]) for path in paths])
    float_model, preprocessing = toolkit(variant, "float32", None, folder)
    spec = PreprocessingSpec.from_json(preprocessing)
    images = [spec.apply(read_image(path)) for path in paths]
    reference = validation.scores(float_model, images)
    makers = {"float32": lambda: float_model}
    for recipe in FORMATS[1:]:
        makers[recipe] = lambda recipe=recipe: toolkit(variant, recipe, options.calibration, folder)[0]
    makers["int8, synthetic set"] = lambda: toolkit(variant, "int8", None, folder)[0]
    makers["TensorFlow int8"] = lambda: tensorflow_ptq(variant, options.calibration)
    for method in options.methods.split(";") if options.methods else makers:
        model = makers[method]()
        scores = reference if method == "float32" else validation.scores(model, images)
        top1 = 100 * float((scores.argmax(axis=1) == truth).mean())
        compared = dataclasses.asdict(validation.compare(reference, scores))
        yield {"variant": variant, "method": method, "size_bytes": len(model), "top1_percent": top1} | compared


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calibration", type=Path, required=True)
    parser.add_argument("--validation", type=Path, required=True)
    parser.add_argument("--classes", type=Path, required=True)
    parser.add_argument("--variants", default="lite0,lite1,lite2")
    parser.add_argument("--methods", help="separated by semicolons; the results of others are kept")
    options = parser.parse_args()
    kept = json.loads(RESULTS.read_text())["rows"] if RESULTS.exists() else []
    rows = {(row["variant"], row["method"]): row for row in kept}
    with tempfile.TemporaryDirectory() as folder:
        for variant in options.variants.split(","):
            for row in measure(variant, options, Path(folder)):
                rows[variant, row["method"]] = row
                sqnr = "–" if row["sqnr_db"] is None else f"{row['sqnr_db']:.1f} dB"
                print(
                    f"| {variant} | {row['method']} | {row['size_bytes'] / 1e6:.1f} MB | {row['top1_percent']:.1f}% "
                    f"| {row['agreement_percent']:.1f}% | {sqnr} |",
                    flush=True,
                )
    environment = {
        "date": date.today().isoformat(),
        "machine": platform.machine(),
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "runtime": runtime_version(),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(
        json.dumps({"schema_version": 1, "environment": environment, "rows": list(rows.values())}, indent=2) + "\n"
    )


if __name__ == "__main__":
    main()
