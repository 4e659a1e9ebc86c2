"""`lite-toolkit validate`."""

from pathlib import Path

from lite_toolkit.cli.console import print_facts, print_table
from lite_toolkit.measurement.loss import Comparison, Validation
from lite_toolkit.reports import figures


def show(found: Validation, reference: Path, quantized: Path) -> None:
    """The summary of `lite-toolkit validate`, its layers, and what helps the worst."""
    facts = [("float", str(reference)), ("quantized", str(quantized)), ("images", found.data)]
    print_facts([*facts, *_comparison_facts(found.comparison)])
    print_table("", figures.LAYER, map(figures.layer, found.layers))
    worst = zip(found.loss.assessment.worst_layers, found.worst, strict=True)
    told = [
        (f"{rank}. {layer.name}", figures.decimal(layer.own_sqnr_db), "\n".join(finding.remedies))
        for rank, (layer, finding) in enumerate(worst, start=1)
    ]
    print_table("Most error added", ("layer", ">own SQNR dB", "what helps"), told)


def _comparison_facts(found: Comparison) -> list[tuple[str, str]]:
    top5 = "" if found.top5_agreement_percent is None else f", {found.top5_agreement_percent:.1f}% in the top 5"
    classes = f"{found.agreement_percent:.1f}% {found.measure}{top5}"
    kind = {"logits": "of softmax(scores)", "sigmoids": "summed over the labels"}.get(found.scores, "of the scores")
    differences = f"SQNR {figures.decimal(found.sqnr_db)} dB, largest difference {found.largest_difference:.3g}"
    return [
        ("agreement", classes),
        ("scores", f"{found.scores}: {differences}"),
        ("divergence", f"{found.kl_divergence_nats:.4f} nats, KL {kind}"),
    ]
