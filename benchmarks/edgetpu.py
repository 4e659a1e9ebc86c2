"""What the Edge TPU forecast says of our int8 networks at their full sizes, and of EfficientNet-EdgeTPU beside Coral's.

    python benchmarks/edgetpu.py

It depends on shapes alone, so weights are random and four synthetic images calibrate. Writes
`benchmarks/results/edgetpu.json`.
"""

import dataclasses
import json
import tempfile
from pathlib import Path

from machine import environment, save

from lite_toolkit.conversion import pipeline
from lite_toolkit.quantization import recipes

RESULTS = Path(__file__).parent / "results" / "edgetpu.json"
VARIANTS = ("lite0", "lite1", "lite2", "lite3", "lite4", "es", "em")
# On chip and streamed together, by compiler 16, of the models that Coral publishes (https://coral.ai/models).
PUBLISHED_KIB = {"es": 6728, "em": 8571}


def row(variant: str) -> dict[str, object]:
    """The forecast of one variant, as the manifest has it."""
    recipe = dataclasses.replace(recipes.load("int8-minmax"), samples=4)
    with tempfile.TemporaryDirectory() as folder:
        request = pipeline.Request(
            (recipe,), variant=variant, weights="none", target="edgetpu", output=Path(folder), activation="softmax"
        )
        found = pipeline.convert(request).files[0].manifest
    published = PUBLISHED_KIB.get(variant)
    return {"variant": variant, "input": found["input"]["shape"], **found["target"], "published_kib": published}


def main() -> None:
    """Convert each, print a line, save all."""
    rows = []
    for variant in VARIANTS:
        rows.append(row(variant))
        print(json.dumps(rows[-1]), flush=True)
    save(RESULTS, environment("tensorflow", "ai-edge-quantizer"), {"rows": rows})


if __name__ == "__main__":
    main()
