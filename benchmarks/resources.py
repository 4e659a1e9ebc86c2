"""What `lite-toolkit convert --int8` takes: peak memory, and seconds of each step.

    python benchmarks/resources.py --calibration DIR

Whole processes of the installed command. For 1,000 images, those of DIR are repeated with random crops, flips and
brightness, from a seed. Writes `benchmarks/results/resources.json`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from machine import environment, save
from PIL import Image, ImageEnhance, ImageOps

from lite_toolkit.images.files import find_images, read_image

RESULTS = Path(__file__).parent / "results" / "resources.json"
MANY = 1000
LARGEST_MEMORY_BYTES = 6 << 30


@dataclass(frozen=True)
class Case:
    """One conversion, and the most that it may take."""

    variant: str
    recipe: str
    images: int
    quantize_seconds_bar: float | None = None
    peak_memory_bar_bytes: int = LARGEST_MEMORY_BYTES


CASES = (
    Case("lite0", "int8", 128, quantize_seconds_bar=45),
    Case("lite2", "int8", 128, quantize_seconds_bar=80),
    Case("lite0", "int8-fast", 128, quantize_seconds_bar=10),
    Case("lite0", "int8", MANY),
    Case("lite2", "int8", MANY),
)


def augment(photographs: Path, folder: Path) -> Path:
    """`MANY` JPEG files made of the photographs."""
    generator = np.random.default_rng(0)
    paths = find_images(photographs)
    for index in range(MANY):
        image = _varied(read_image(paths[index % len(paths)]), generator)
        image.save(folder / f"{index:04}.jpg", quality=90)
    return folder


def _varied(image: Image.Image, generator: np.random.Generator) -> Image.Image:
    width, height = (int(side * generator.uniform(0.7, 1)) for side in image.size)
    left = int(generator.integers(image.width - width + 1))
    top = int(generator.integers(image.height - height + 1))
    image = image.crop((left, top, left + width, top + height))
    image = ImageOps.mirror(image) if generator.random() < 0.5 else image
    return ImageEnhance.Brightness(image).enhance(generator.uniform(0.6, 1.4))


def convert(case: Case, photographs: Path, folder: Path) -> dict[str, Any]:
    """Run the command."""
    command = [str(Path(sys.executable).with_name("lite-toolkit")), "convert", "--json", "--force"]
    command += ["--variant", case.variant, "--recipe", case.recipe, "--output", str(folder)]
    command += ["--calibration-data", str(photographs)]
    command += ["--calibration-samples", str(MANY)] if case.images == MANY else []  # else the recipe's
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    report = json.loads(process.stdout.read())
    # Popen.wait would keep the child's usage to itself, and RUSAGE_CHILDREN has the largest of all children.
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return {
        **asdict(case),
        "calibration_images": report["files"][0]["manifest"]["calibration"]["calibration_images"],
        "peak_memory_bytes": usage.ru_maxrss * 1024,  # Linux counts in KiB
        "seconds": report["seconds"] | {"process": time.perf_counter() - started},
    }


def measure(photographs: Path) -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as many, tempfile.TemporaryDirectory() as output:
        augment(photographs, Path(many))
        for case in CASES:
            yield convert(case, Path(many) if case.images == MANY else photographs, Path(output))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calibration", type=Path, required=True)
    options = parser.parse_args()
    rows = []
    for row in measure(options.calibration):
        rows.append(row)
        print(
            f"{row['variant']} {row['recipe']}, {row['images']} images: {row['peak_memory_bytes'] / 2**30:.2f} GiB, "
            f"quantize {row['seconds']['quantize']:.1f} s, in all {row['seconds']['process']:.1f} s",
            flush=True,
        )
    save(RESULTS, environment("tensorflow", "ai-edge-litert", "ai-edge-quantizer"), {"rows": rows})


if __name__ == "__main__":
    main()
