"""How fast `lite-toolkit evaluate` is beside a plain loop, and beside what the processors allow; and its memory.

    python benchmarks/evaluate.py MODEL --data DIR --class-index FILE [--runs 5] [--copies 20]

Three whole processes in alternation, each of which tells the seconds behind its imports: the command; a loop with
Pillow and one interpreter of as many threads as processors; and the ideal, a loop over what cannot be avoided (decode,
crop, resize and run with one thread), once for each processor at the same time. The best runs count, since another load
on the machine only ever slows. Then the peak memory of the command and all its workers, on the images and on as many
copies of them as asked for. Writes `benchmarks/results/evaluate.json`.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from datetime import date
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "evaluate.json"
PROCESSORS = len(os.sched_getaffinity(0))

PREPARE = """
import sys, time
from pathlib import Path
import numpy as np
from PIL import Image
from ai_edge_litert.interpreter import Interpreter
from lite_toolkit.classification import Classifier
from lite_toolkit.images import find_images, read_image

model, data = map(Path, sys.argv[1:3])
def crop(image):
    side = int(224 / 256 * min(image.size))
    left, top = (image.width - side + 1) // 2, (image.height - side + 1) // 2
    return image.crop((left, top, left + side, top + side)).resize((224, 224), Image.Resampling.BICUBIC)
"""
BARE = """
started = time.perf_counter()
interpreter = Interpreter(str(model), num_threads=int(sys.argv[3]))
interpreter.allocate_tensors()
given, taken = interpreter.get_input_details()[0], interpreter.get_output_details()[0]["index"]
scale, zero = given["quantization"]
paths = find_images(data)
for path in paths:
    values = (np.asarray(crop(Image.open(path).convert("RGB")), np.float32) - 127) / 128
    interpreter.set_tensor(given["index"], np.clip(np.rint(values / scale) + zero, 0, 255).astype(np.uint8)[None])
    interpreter.invoke()
    interpreter.get_tensor(taken)[0].argmax()
print(time.perf_counter() - started)
"""
IDEAL = """
classifier = Classifier(model, threads=1)
run, spec = classifier.model.run, classifier.preprocessing
paths = find_images(data)[int(sys.argv[3])::int(sys.argv[4])]
stored = np.zeros((224, 224, 3), np.uint8)
run(stored)
started = time.perf_counter()
for path in paths:
    spec.pixels(read_image(path))
    run(stored)
print(time.perf_counter() - started)
"""


def command(options, data, *more):
    toolkit = [Path(sys.executable).parent / "lite-toolkit", "evaluate", options.model, "--data", data]
    return [*map(str, toolkit), "--class-index", str(options.class_index), "--json", *more]


def toolkit(options):
    done = subprocess.run(command(options, options.data), check=True, capture_output=True, text=True)
    return sum(json.loads(done.stdout)["seconds"].values())


def bare(options):
    script = [sys.executable, "-c", PREPARE + BARE, options.model, options.data, str(PROCESSORS)]
    return float(subprocess.run(script, check=True, capture_output=True, text=True).stdout)


def ideal(options):
    script = [sys.executable, "-c", PREPARE + IDEAL, options.model, options.data]
    numbers = ([str(number), str(PROCESSORS)] for number in range(PROCESSORS))
    running = [subprocess.Popen([*script, *number], stdout=subprocess.PIPE, text=True) for number in numbers]
    return sum(float(process.communicate()[0]) for process in running) / PROCESSORS


def memory(options, data):
    """The high-water marks of the command and its workers, added up, in bytes, and what the command reported."""
    process = subprocess.Popen(command(options, data), stdout=subprocess.PIPE, text=True)
    output, marks = [], {}
    reader = threading.Thread(target=lambda: output.append(process.stdout.read()))
    reader.start()
    while process.poll() is None:
        try:
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            for number in (process.pid, *map(int, children)):
                status = Path(f"/proc/{number}/status").read_text()
                marks[number] = int(status.partition("VmHWM:")[2].split()[0]) * 1024
        except (OSError, IndexError):
            continue  # one of them has just ended
        time.sleep(0.01)
    reader.join()
    return sum(marks.values()), json.loads(output[0])


def copies(data, folder, count):
    """The images under `count` names each, as links."""
    for path in sorted(data.iterdir()):
        for number in range(count):
            (folder / f"{path.stem}_{number}{path.suffix}").symlink_to(path.resolve())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--class-index", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--copies", type=int, default=20)
    options = parser.parse_args()
    images = len(list(options.data.iterdir()))
    rates = {"lite-toolkit": [], "plain loop": [], "ideal": []}
    for _ in range(options.runs):
        for name, measure in zip(rates, (toolkit, bare, ideal), strict=True):
            rates[name].append(images / measure(options))
        print({name: round(values[-1], 1) for name, values in rates.items()}, flush=True)
    best = {name: max(values) for name, values in rates.items()}
    ratios = {name: best["lite-toolkit"] / best[name] for name in ("plain loop", "ideal")}
    print("best, images/s:", {name: round(value, 1) for name, value in best.items()})
    print("lite-toolkit over", {name: round(value, 2) for name, value in ratios.items()})
    peaks = {}
    with tempfile.TemporaryDirectory() as folder:
        copies(options.data, Path(folder), options.copies)
        for data in (options.data, Path(folder)):
            peak, report = memory(options, data)
            peaks[report["images"]] = peak
            print(
                f"{report['images']} images: {peak / 1e6:.1f} MB, {report['images_per_second']:.1f} images/s",
                flush=True,
            )
    environment = {"date": date.today().isoformat(), "machine": platform.machine(), "processors": PROCESSORS}
    result = {
        "schema_version": 1,
        "environment": environment,
        "images": images,
        "images_per_second": rates,
        "ratio_of_best": ratios,
        "peak_memory_bytes": peaks,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
