"""`lite-toolkit convert`."""

from lite_toolkit.cli.console import print_facts, print_notes, warn
from lite_toolkit.datasets.representative import FEWEST_TO_SPLIT
from lite_toolkit.edgetpu.forecast import Target
from lite_toolkit.quantization.mixed_precision import Trade
from lite_toolkit.reports import figures
from lite_toolkit.reports.conversion import Conversion, File
from lite_toolkit.runtime import heads


def show(result: Conversion, representative: bool) -> None:
    """The summary of `lite-toolkit convert`; `representative` is whether there were images."""
    first = result.files[0].manifest
    if basis := first.preprocessing_basis:
        if not basis.certain:
            warn("the preprocessing is not certain, see the first line: pass --preprocessing if it is wrong")
        print_facts([("preprocessing", f"{figures.preprocessing(first.preprocessing)}: {basis.reason}")])
        print_facts([])
    for file in result.files:
        print_facts(_file_facts(file, result, representative))
        print_facts([])
    in_all = f"in all {sum(result.seconds.values()):.1f}"
    print_facts([("seconds", f"{figures.steps(result.seconds)} · {in_all}")])
    targets = [file.manifest.target for file in result.files if file.manifest.target]
    uncertain = {f"uncertain: {text}" for target in targets for text in target.uncertain}
    print_notes(*result.notes, *sorted(uncertain))


def _file_facts(file: File, result: Conversion, representative: bool) -> list[tuple[str, str]]:
    made = file.manifest
    scores, weights = made.model.scores, made.weights
    sizes = f"{figures.size(file.size_bytes)} (float32: {figures.size(result.float32_size_bytes)})"
    facts = [
        ("file", f"{file.path}, {sizes}"),
        ("weights", weights.source + (f", sha256 {weights.sha256}" if weights.sha256 else "")),
        ("input", figures.endpoint(made.input)),
        ("output", f"{figures.endpoint(made.output)}, {_HEADS.get(made.head or '', scores)}"),
    ]
    if made.calibration:
        images = f"{made.calibration.calibration_images} of {made.calibration.description}"
        facts.append(("calibrated on", images))
    if made.mixed_precision:
        facts.append(("kept in float", _trade(made.mixed_precision)))
    if made.target:
        facts.append(("Edge TPU", _target(made.target)))
    if made.held_out:
        found = made.held_out.comparison
        sqnr = f", SQNR of the {scores} {found.sqnr_db:.1f} dB" if found.sqnr_db is not None else ""
        agreement = f"{found.agreement_percent:.1f}% {found.measure} as float32{sqnr}"
        facts.append(("agreement", f"{agreement}, on {found.images} held-out images"))
    elif representative and made.model.format != "float32":
        facts.append(("agreement", f"not measured: images are held out of {FEWEST_TO_SPLIT} or more"))
    return facts


_HEADS = {
    heads.SIGMOID: "the probability of the second of two classes",
    heads.LOGIT: "the logit of the second of two classes",
    heads.MULTI_LABEL: "a probability of each label",
}


def _target(found: Target) -> str:
    room = f"{figures.between(*found.cached_bytes)} of parameters on the chip"
    streamed = figures.between(*found.streamed_bytes)
    runtime = f"runtime {found.minimum_runtime} or later, {found.lowest_runtime} if compiled for it"
    return f"every operator, {found.mapped} of them; {room}, {streamed} streamed; {runtime}"


def _trade(trade: Trade) -> str:
    allowed = f"{trade.bound_points:g} allowed"
    if not trade.layers:
        return f"nothing: {trade.drop_points:.1f} points of {trade.measure} lost, {allowed}"
    gain = f"{trade.drop_before_points:.1f} points of {trade.measure} lost without, {trade.drop_points:.1f} with"
    return f"{', '.join(trade.layers)}: {trade.work_percent:.1f}% of the work; {gain}, {allowed}"
