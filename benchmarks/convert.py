"""How long `lite-toolkit convert` takes beside a bare TFLiteConverter script on the same network and photographs.

    python benchmarks/convert.py --calibration DIR [--runs 5]

Both run as whole processes, in alternation; the ratio of medians counts. Writes `benchmarks/results/convert.json`.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import environment, save

RESULTS = Path(__file__).parent / "results" / "convert.json"

BARE = """
import sys
from pathlib import Path
import numpy as np
import tensorflow as tf
from PIL import Image
from lite_toolkit import load_model, read_weights, variant

model = load_model(read_weights(variant("lite0")), activation="none").model

def images():
    for path in sorted(Path(sys.argv[1]).iterdir()):
        image = Image.open(path).convert("RGB")
        side = int(224 / 256 * min(image.size))
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.crop((left, top, left + side, top + side)).resize((224, 224), Image.Resampling.BICUBIC)
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
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    times = {"lite-toolkit": [], "bare script": []}
    with tempfile.TemporaryDirectory() as folder:
        toolkit = [Path(sys.executable).parent / "lite-toolkit", "convert", "--variant", "lite0", "--int8"]
        toolkit += ["--recipe", "int8-minmax", "--activation", "none", "--calibration-data", options.calibration]
        toolkit += ["--output", Path(folder) / "toolkit.tflite", "--force"]
        bare = [sys.executable, "-c", BARE, options.calibration, Path(folder) / "bare.tflite"]
        for _ in range(options.runs):
            times["lite-toolkit"].append(seconds(toolkit))
            times["bare script"].append(seconds(bare))
            print({name: round(values[-1], 2) for name, values in times.items()}, flush=True)
    ratio = statistics.median(times["lite-toolkit"]) / statistics.median(times["bare script"])
    print(f"ratio of medians: {ratio:.2f}")
    save(RESULTS, environment("tensorflow", "ai-edge-quantizer"), {"seconds": times, "ratio_of_medians": ratio})


if __name__ == "__main__":
    main()
