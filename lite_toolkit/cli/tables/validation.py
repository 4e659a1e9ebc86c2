"""`lite-toolkit validate`."""

from typing import Any

from lite_toolkit.cli.console import print_facts, print_table
from lite_toolkit.measurement.validation import Comparison, Validation
from lite_toolkit.reports import figures


def validation(found: Validation) -> dict[str, Any]:
    """The report of `lite-toolkit validate`."""
    return {
        "float": found.reference.name,
        "quantized": found.quantized.name,
        "data": found.data,
        "skipped_images": list(found.skipped),
        "preprocessing": found.preprocessing.to_json(),
        **found.assessment.to_json(),
    }


def show_validation(found: Validation) -> None:
    """The summary of `lite-toolkit validate`, its layers, and what helps the worst."""
    print_facts(
        [
            ("float", str(found.reference)),
            ("quantized", str(found.quantized)),
            ("images", found.data),
            *_comparison_facts(found.assessment.comparison),
        ]
    )
    columns = ("layer", "operator", ">SQNR dB", ">own SQNR dB", ">drop dB", ">bias %", ">slope", ">saturated %")
    rows = [
        (
            layer.name,
            layer.operator,
            figures.decimal(layer.sqnr_db),
            figures.decimal(layer.own_sqnr_db),
            figures.decimal(layer.drop_db),
            figures.decimal(layer.bias_percent),
            figures.decimal(layer.slope, 3),
            figures.decimal(layer.saturated_percent, 3),
        )
        for layer in found.assessment.layers
    ]
    print_table("", columns, rows)
    told = [
        (f"{rank}. {finding.layer.name}", figures.decimal(finding.layer.own_sqnr_db), "\n".join(finding.remedies))
        for rank, finding in enumerate(found.assessment.worst, start=1)
    ]
    print_table("Most error added", ("layer", ">own SQNR dB", "what helps"), told)


def _comparison_facts(found: Comparison) -> list[tuple[str, str]]:
    classes = f"{found.agreement_percent:.1f}% same top-1, {found.top5_agreement_percent:.1f}% in the top 5"
    kind = "of softmax(scores)" if found.scores == "logits" else "of the scores"
    differences = f"SQNR {figures.decimal(found.sqnr_db)} dB, largest difference {found.largest_difference:.3g}"
    return [
        ("agreement", classes),
        ("scores", f"{found.scores}: {differences}"),
        ("divergence", f"{found.kl_divergence_nats:.4f} nats, KL {kind}"),
    ]
