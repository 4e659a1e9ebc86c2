"""How fast `lite-toolkit evaluate` is beside a plain loop, and beside what the processors allow; and its memory.

    python benchmarks/evaluate.py MODEL --data DIR --class-index FILE [--runs 5] [--copies 20]

Processes in alternation, timed behind their imports: the toolkit; a loop with Pillow and one interpreter of as many
threads as processors; and the ideal, a loop over what cannot be avoided (decode, crop, resize and run with one thread),
one for each processor at the same time. The best run of each counts, since another load on the machine only ever slows;
processor time, which other loads hardly change, stands beside it. Then the peak memory of the command with its workers,
on the images and on as many copies of them as asked for. Writes `benchmarks/results/evaluate.json`.
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
import resource, sys, time
from pathlib import Path
import numpy as np
from PIL import Image
from ai_edge_litert.interpreter import Interpreter
from lite_toolkit.measurement.classification import Classifier
from lite_toolkit.measurement.evaluation import Request, evaluate
from lite_toolkit.images.files import find_images, read_image

model, data, index = map(Path, sys.argv[1:4])
number, processors = map(int, sys.argv[4:6])

def clocks():
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return time.perf_counter(), sum(usage.ru_utime + usage.ru_stime for usage in used)

started = clocks()
"""
TOOLKIT = """
evaluate(Request(model, data, class_index=index))
"""
PLAIN = """
interpreter = Interpreter(str(model), num_threads=processors)
interpreter.allocate_tensors()
given, taken = interpreter.get_input_details()[0], interpreter.get_output_details()[0]["index"]
scale, zero = given["quantization"]
size = given["shape"][1]
for path in find_images(data):
    image = Image.open(path).convert("RGB")
    side = int(size / (size + 32) * min(image.size))
    left, top = (image.width - side + 1) // 2, (image.height - side + 1) // 2
    image = image.crop((left, top, left + side, top + side)).resize((size, size), Image.Resampling.BICUBIC)
    values = (np.asarray(image, np.float32) - 127) / 128
    interpreter.set_tensor(given["index"], np.clip(np.rint(values / scale) + zero, 0, 255).astype(np.uint8)[None])
    interpreter.invoke()
    interpreter.get_tensor(taken)[0].argmax()
"""
IDEAL = """
classifier = Classifier(model, threads=1)
stored = np.zeros(classifier.model.input.shape[1:], classifier.model.input.dtype)
classifier.model.run(stored)
started = clocks()
for path in find_images(data)[number::processors]:
    classifier.preprocessing.pixels(read_image(path))
    classifier.model.run(stored)
"""
REPORT = """
print(*(now - before for now, before in zip(clocks(), started)))
"""


def measure(script, options, processes=1):
    """Seconds by the clock, the mean of all processes, and by their processors, the sum."""
    command = [sys.executable, "-c", PREPARE + script + REPORT, options.model, options.data, options.class_index]
    running = [
        subprocess.Popen(
            [*map(str, command), str(number), str(PROCESSORS)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for number in range(processes)
    ]
    seconds = [tuple(map(float, process.communicate()[0].split())) for process in running]
    return sum(clock for clock, _ in seconds) / processes, sum(processor for _, processor in seconds)


def memory(options, data):
    """The high-water marks of the command and its workers, added up, in bytes, and what the command reported."""
    command = [Path(sys.executable).parent / "lite-toolkit", "evaluate", options.model, "--data", data]
    command += ["--class-index", options.class_index, "--json"]
    process = subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, text=True)
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
    scripts = {"toolkit": (TOOLKIT, 1), "plain loop": (PLAIN, 1), "ideal": (IDEAL, PROCESSORS)}
    rates, processor = ({name: [] for name in scripts} for _ in range(2))
    for _ in range(options.runs):
        for name, (script, processes) in scripts.items():
            seconds, used = measure(script, options, processes)
            rates[name].append(images / seconds)
            processor[name].append(1e3 * used / images)
        print({name: f"{rates[name][-1]:.0f} images/s, {processor[name][-1]:.2f} ms" for name in scripts}, flush=True)
    ratios = {name: max(rates["toolkit"]) / max(rates[name]) for name in ("plain loop", "ideal")}
    efficiency = min(processor["ideal"]) / min(processor["toolkit"])
    print(f"toolkit / plain loop {ratios['plain loop']:.2f}, toolkit / ideal {ratios['ideal']:.2f}, the best of each")
    print(f"processor time, ideal / toolkit: {efficiency:.2f}")
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
    result = {
        "schema_version": 1,
        "environment": {"date": date.today().isoformat(), "machine": platform.machine(), "processors": PROCESSORS},
        "images": images,
        "images_per_second": rates,
        "processor_milliseconds_per_image": processor,
        "ratios_of_best": ratios,
        "processor_time_ratio": efficiency,
        "peak_memory_bytes": peaks,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
