"""How long `lite-toolkit convert` takes beside a bare TFLiteConverter script on the same network and photographs.

    python benchmarks/convert.py --calibration DIR [--variant lite0] [--runs 5]

All run as whole processes, in alternation; the ratio of medians counts. Writes `benchmarks/results/convert.json`.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import environment, save

RESULTS = Path(__file__).parent / "results" / "convert.json"
RECIPES = ("int8", "int8-fast", "int8-minmax")

BARE = """
import sys
from pathlib import Path
import numpy as np
import tensorflow as tf
from PIL import Image
from lite_toolkit import load_model, read_weights, variant

model = load_model(read_weights(variant(sys.argv[3])), activation="none").model
width = model.input_shape[1]

def images():
    for path in sorted(Path(sys.argv[1]).iterdir()):
        image = Image.open(path).convert("RGB")
        side = int(width / (width + 32) * min(image.size))
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.crop((left, top, left + side, top + side)).resize((width, width), Image.Resampling.BICUBIC)
        yield [((np.asarray(image, np.float32) - 127) / 128)[None]]

converter = tf.lite.TFLiteConverter.from_keras_model(model)
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.representative_dataset = images
converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
converter.inference_input_type = converter.inference_output_type = tf.uint8
Path(sys.argv[2]).write_bytes(converter.convert())
"""


def seconds(command):
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calibration", type=Path, required=True)
    parser.add_argument("--variant", default="lite0")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        toolkit = [Path(sys.executable).parent / "lite-toolkit", "convert", "--variant", options.variant, "--int8"]
        toolkit += ["--activation", "none", "--calibration-data", options.calibration]
        toolkit += ["--output", Path(folder) / "toolkit.tflite", "--force", "--recipe"]
        bare = [sys.executable, "-c", BARE, options.calibration, Path(folder) / "bare.tflite", options.variant]
        commands = {recipe: [*toolkit, recipe] for recipe in RECIPES} | {"bare script": bare}
        times = {name: [] for name in commands}
        for _ in range(options.runs):
            for name, command in commands.items():
                times[name].append(seconds(command))
            print({name: round(values[-1], 2) for name, values in times.items()}, flush=True)
    medians = {name: statistics.median(values) for name, values in times.items()}
    ratios = {recipe: medians[recipe] / medians["bare script"] for recipe in RECIPES}
    print("ratios of medians:", {recipe: round(ratio, 2) for recipe, ratio in ratios.items()})
    found = {"seconds": times, "ratios_of_medians": ratios}
    known = json.loads(RESULTS.read_text()).get("variants", {}) if RESULTS.exists() else {}
    save(RESULTS, environment("tensorflow", "ai-edge-quantizer"), {"variants": known | {options.variant: found}})


if __name__ == "__main__":
    main()
