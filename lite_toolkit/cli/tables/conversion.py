"""`lite-toolkit convert`."""

from typing import Any

from lite_toolkit.cli.console import print_facts, print_notes
from lite_toolkit.conversion.pipeline import Conversion, Converted
from lite_toolkit.datasets.representative import FEWEST_TO_SPLIT
from lite_toolkit.edgetpu.forecast import DEFAULT_RUNTIME, Forecast
from lite_toolkit.quantization.mixed_precision import Trade
from lite_toolkit.reports import figures


def conversion(result: Conversion) -> dict[str, Any]:
    """The report of `lite-toolkit convert`: each file's manifest, and what the manifests leave out."""
    return {
        "files": [
            {"path": str(file.path), "size_bytes": file.size_bytes, "manifest": file.manifest} for file in result.files
        ],
        "float32_size_bytes": result.float_size_bytes,
        "skipped_images": list(result.dataset.skipped) if result.dataset else [],
        "notes": list(result.notes),
        "seconds": dict(result.seconds),
    }


def show_conversion(result: Conversion) -> None:
    """The summary of `lite-toolkit convert`."""
    for file in result.files:
        print_facts(_file_facts(file, result))
        print_facts([])
    times = " · ".join(f"{name} {seconds:.1f}" for name, seconds in result.seconds.items())
    print_facts([("seconds", f"{times} · in all {sum(result.seconds.values()):.1f}")])
    uncertain = {f"uncertain: {text}" for file in result.files if file.forecast for text in file.forecast.uncertain}
    print_notes(*result.notes, *sorted(uncertain))


def _file_facts(file: Converted, result: Conversion) -> list[tuple[str, str]]:
    made = file.manifest
    weights, calibration = made["weights"], made["calibration"]
    comparison = file.assessment.comparison if file.assessment else None
    facts = [
        ("file", f"{file.path}, {figures.size(file.size_bytes)} (float32: {figures.size(result.float_size_bytes)})"),
        ("weights", f"{weights['source']}" + (f", sha256 {weights['sha256']}" if weights["sha256"] else "")),
        ("input", figures.endpoint(made["input"])),
        ("output", f"{figures.endpoint(made['output'])}, {made['model']['scores']}"),
    ]
    if calibration:
        facts.append(("calibrated on", f"{calibration['calibration_images']} of {calibration['description']}"))
    if file.trade:
        facts.append(("kept in float", _trade(file.trade)))
    if file.forecast:
        facts.append(("Edge TPU", _forecast(file.forecast)))
    if comparison:
        scores = made["model"]["scores"]
        sqnr = f", SQNR of the {scores} {comparison.sqnr_db:.1f} dB" if comparison.sqnr_db is not None else ""
        agreement = f"{comparison.agreement_percent:.1f}% same top-1 as float32{sqnr}"
        facts.append(("agreement", f"{agreement}, on {comparison.images} held-out images"))
    elif result.dataset and made["model"]["format"] != "float32":
        facts.append(("agreement", f"not measured: images are held out of {FEWEST_TO_SPLIT} or more"))
    return facts


def _forecast(found: Forecast) -> str:
    room = f"{figures.between(found.least.cached, found.most.cached)} of parameters on the chip"
    streamed = figures.between(found.most.streamed, found.least.streamed)
    runtime = f"runtime {DEFAULT_RUNTIME} or later, {found.lowest_runtime} if compiled for it"
    return f"every operator, {found.mapped} of them; {room}, {streamed} streamed; {runtime}"


def _trade(trade: Trade) -> str:
    allowed = f"{trade.bound_points:g} allowed"
    if not trade.layers:
        return f"nothing: {trade.drop_points:.1f} points of {trade.measure} lost, {allowed}"
    gain = f"{trade.drop_before_points:.1f} points of {trade.measure} lost without, {trade.drop_points:.1f} with"
    return f"{', '.join(trade.layers)}: {trade.work_percent:.1f}% of the work; {gain}, {allowed}"
