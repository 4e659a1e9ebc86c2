"""What int8 costs at run time beside TensorFlow's own int8 of the same Keras model, both with uint8 ends.

    python benchmarks/cost.py --calibration DIR [--variants lite0,lite2] [--turns 300]

Operators, file size and latency. The two interpreters run in one process, ten inferences each in turn, and swap places
from turn to turn, so that whatever else the machine does falls on both. The ratio is that of the medians of all turns;
its interval holds 95% of the ratios of resampled turns. The same file against itself is the control: where its ratio is
far from 1, the machine is too busy to measure on. Writes `benchmarks/results/cost.json`.
"""

import argparse
import contextlib
import io
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from machine import environment, save
from numpy.typing import NDArray
from quantization import Case, tensorflow_int8

from lite_toolkit.quantization import recipes
from lite_toolkit.runtime import interpreter as runtime
from lite_toolkit.runtime import processors
from lite_toolkit.streams import quiet
from lite_toolkit.tflite.graph import read_graph

RESULTS = Path(__file__).parent / "results" / "cost.json"
INFERENCES = 10  # in a turn
RESAMPLES = 1000
LARGEST_SIZE_RATIO, LARGEST_LATENCY_RATIO = 1.01, 1.02


def operators(model: bytes) -> dict[str, int]:
    """Name -> count."""
    return dict(Counter(operator.name for operator in read_graph(model).subgraphs[0].operators).most_common())


def inference(model: bytes, threads: int) -> Callable[[], Any]:
    """One run of the model on random pixels."""
    interpreter = runtime.interpreter(model, threads)
    source = interpreter.get_input_details()[0]
    pixels = np.random.default_rng(0).integers(0, 256, source["shape"], dtype=np.uint8)
    interpreter.set_tensor(source["index"], pixels)
    run: Callable[[], Any] = interpreter.invoke
    return run


def alternate(runs: tuple[Callable[[], Any], Callable[[], Any]], turns: int) -> NDArray[np.float64]:
    """The median milliseconds of each turn, (turns, 2)."""
    times = np.empty((turns, 2, INFERENCES))
    for turn in range(turns):
        for which in (0, 1) if turn % 2 else (1, 0):
            runs[which]()  # meets the caches of the other, and its threads still spinning
            for inference in range(INFERENCES):
                started = time.perf_counter()
                runs[which]()
                times[turn, which, inference] = 1000 * (time.perf_counter() - started)
    medians: NDArray[np.float64] = np.median(times, axis=2)
    return medians


def latency(model: bytes, other: bytes, threads: int, turns: int) -> dict[str, float]:
    """Of a model in comparison with another."""
    times = alternate((inference(model, threads), inference(other, threads)), turns)
    drawn = np.random.default_rng(0).integers(0, turns, (RESAMPLES, turns))
    ratios = np.divide(*np.median(times[drawn], axis=1).T)
    medians = np.median(times, axis=0)
    return {
        "median_ms": float(medians[0]),
        "other_median_ms": float(medians[1]),
        "ratio": float(medians[0] / medians[1]),
        "ratio_low": float(np.quantile(ratios, 0.025)),
        "ratio_high": float(np.quantile(ratios, 0.975)),
    }


def compare(case: Case, turns: int) -> dict[str, Any]:
    ours = case.convert(recipes.load("int8"), case.photographs).files[0].path.read_bytes()
    with quiet(), contextlib.redirect_stdout(io.StringIO()):
        theirs = tensorflow_int8(case.keras_model, case.calibration)
    return {
        "variant": case.variant,
        "operators": operators(ours),
        "same_operators": operators(ours) == operators(theirs),
        "size_bytes": len(ours),
        "size_ratio": len(ours) / len(theirs),
        "latency": [
            {
                "threads": threads,
                "turns": turns,
                "against_tensorflow": latency(ours, theirs, threads, turns),
                "control": latency(theirs, theirs, threads, turns),
            }
            for threads in sorted({1, processors.usable()})
        ],
    }


def show(row: dict[str, Any]) -> None:
    same = "the same operators" if row["same_operators"] else "OTHER OPERATORS"
    print(f"{row['variant']}: {same}, {row['size_ratio']:.4f} of the size")
    for measured in row["latency"]:
        ours, control = (
            f"{found['ratio']:.3f} ({found['ratio_low']:.3f} to {found['ratio_high']:.3f})"
            for found in (measured["against_tensorflow"], measured["control"])
        )
        milliseconds = measured["against_tensorflow"]["median_ms"]
        print(
            f"  {measured['threads']} threads: {milliseconds:.2f} ms, {ours} of the latency; control {control}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calibration", type=Path, required=True)
    parser.add_argument("--variants", default="lite0,lite2")
    parser.add_argument("--turns", type=int, default=300)
    options = parser.parse_args()
    rows = []
    for variant in options.variants.split(","):
        with tempfile.TemporaryDirectory() as folder:
            rows.append(compare(Case(variant, options.calibration, Path(folder)), options.turns))
        show(rows[-1])
    bars = {"size_ratio": LARGEST_SIZE_RATIO, "latency_ratio": LARGEST_LATENCY_RATIO}
    save(RESULTS, environment("tensorflow", "ai-edge-litert", "ai-edge-quantizer"), {"bars": bars, "rows": rows})


if __name__ == "__main__":
    main()
