"""How `lite-toolkit benchmark` measures, beside a bare loop and beside litert-benchmark, on the same models.

    python benchmarks/benchmark.py lite0-int8.tflite lite0-float32.tflite [--rounds 5]

In one process the toolkit's loop and a bare one take turns on one interpreter; the ratio of their medians counts. Then
whole processes of the toolkit and of litert-benchmark take turns; consecutive medians of each are compared. All have
one thread. The machine should do nothing else; where that cannot be, put `chrt -f 10` before the command. Writes
`benchmarks/results/benchmark.json`.
"""

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

from lite_toolkit.board import latency, machine
from lite_toolkit.runtime import interpreter as runtime

RESULTS = Path(__file__).parent / "results" / "benchmark.json"
TURNS, TURN_RUNS = 300, 5
RUNS = 400


def bare_loop(interpreter):
    """What one would write down without thinking."""
    times = []
    for _ in range(TURN_RUNS):
        started = time.perf_counter()
        interpreter.invoke()
        times.append(time.perf_counter() - started)
    return [1e3 * value for value in times]


def toolkit_loop(interpreter):
    return [value / 1e6 for value in latency.run_for(interpreter.invoke, 0, TURN_RUNS)]


def loops(model):
    """Milliseconds: p50 of each loop, and the ratio of the two."""
    interpreter = runtime.interpreter(model, 1)
    latency.fill(interpreter)
    latency.warm_up(interpreter.invoke)
    times = {"bare": [], "toolkit": []}
    for turn in range(TURNS):
        pair = [("bare", bare_loop), ("toolkit", toolkit_loop)]
        for name, loop in pair if turn % 2 else reversed(pair):
            times[name] += loop(interpreter)
    bare, toolkit = (statistics.median(times[name]) for name in ("bare", "toolkit"))
    return {"bare_p50_ms": bare, "toolkit_p50_ms": toolkit, "ratio": toolkit / bare}


def toolkit_process(model):
    command = [Path(sys.executable).parent / "lite-toolkit", "benchmark", model, "--runs", str(RUNS), "--json"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    (found,) = json.loads(done.stdout)["measurements"]
    values = {key: found["latency"][key] for key in ("p50_ms", "mean_ms")}
    return values | {"others_busy_processors": found["others_busy_processors"]}


def litert_process(model, folder):
    result = folder / "litert.json"
    command = [Path(sys.executable).parent / "litert-benchmark", f"--model={model}", f"--result_json={result}"]
    command += [f"--num_runs={RUNS}", "--num_threads=1"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    found = json.loads(result.read_text())["latency"]
    return {"p50_ms": found["median_ms"], "mean_ms": found["avg_ms"]}


def processes(model, rounds, folder):
    found = {"lite-toolkit": [], "litert-benchmark": []}
    for _ in range(rounds):
        found["lite-toolkit"].append(toolkit_process(model))
        found["litert-benchmark"].append(litert_process(model, folder))
        print({name: values[-1] for name, values in found.items()}, flush=True)
    return {name: {"processes": values, "consecutive_p50_percent": apart(values)} for name, values in found.items()}


def apart(values):
    """By how many percent each process's p50 is from the one before."""
    medians = [value["p50_ms"] for value in values]
    return [100 * abs(later / earlier - 1) for earlier, later in itertools.pairwise(medians)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for model in options.models:
            row = {"model": model.name, "loops": loops(model)}
            print(row, flush=True)
            rows.append(row | processes(model, options.rounds, Path(folder)))
    environment = {"date": date.today().isoformat(), **machine.environment(), "runtime": runtime.runtime_version()}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"schema_version": 1, "environment": environment, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
