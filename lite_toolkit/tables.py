"""The contents of reports, and how people see them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from lite_toolkit import costs
from lite_toolkit.architectures import VARIANTS, ModelSpec
from lite_toolkit.console import print_facts, print_table
from lite_toolkit.published import PUBLISHED
from lite_toolkit.recipes import FEWEST_TO_SPLIT
from lite_toolkit.weights.sources import IMAGENET

if TYPE_CHECKING:
    from lite_toolkit.classification import Prediction
    from lite_toolkit.inspection import Endpoint, Inspection
    from lite_toolkit.pipeline import Conversion, Converted
    from lite_toolkit.validation import Comparison, Validation


def variant_rows() -> list[dict[str, Any]]:
    """One object for each variant."""
    rows = []
    for name, spec in VARIANTS.items():
        cost = costs.total(spec)
        published = {f"published_{key}": value for key, value in asdict(PUBLISHED[name]).items()}
        row = {"variant": name, "input_pixels": spec.resolution, "params": cost.params, "madds": cost.madds}
        rows.append(row | published | {"weights": IMAGENET[name].title})
    return rows


def show_variants(rows: Sequence[Mapping[str, Any]]) -> None:
    """The table of `lite-toolkit variants`."""
    columns = (
        *("variant", ">input", ">params", ">MAdds", ">published MAdds", ">top-1 %", ">int8 top-1 %"),
        *(">Pixel 4 CPU ms", ">Pixel 4 Edge TPU ms", "ImageNet weights"),
    )
    cells = [
        (
            row["variant"],
            str(row["input_pixels"]),
            _millions(row["params"], 2),
            _millions(row["madds"]),
            _optional(row["published_madds_millions"], "M"),
            _optional(row["published_top1_percent"]),
            _optional(row["published_int8_top1_percent"]),
            _optional(row["published_pixel4_cpu_ms"]),
            _optional(row["published_pixel4_edgetpu_ms"]),
            row["weights"],
        )
        for row in rows
    ]
    print_table("", columns, cells)
    print_notes(
        "params and MAdds are computed, with 1000 classes: batch-norm statistics and, of MAdds, convolutions and dense "
        "layers only. Accuracy and latency (int8, four threads) are the authors'."
    )


def description(spec: ModelSpec, classes: int | None, size: int | None) -> dict[str, Any]:
    """The report of `lite-toolkit describe`."""
    cost = costs.total(spec, classes, size)
    rows = costs.stage_rows(spec, classes, size)
    return {
        "variant": spec.name,
        "input_pixels": list(costs.input_size(spec, size)),
        "classes": classes,
        "activation": spec.activation,
        "params": cost.params,
        "trainable_params": cost.trainable,
        "madds": cost.madds,
        "stages": [_stage(row) for row in rows],
    }


def show_description(content: Mapping[str, Any]) -> None:
    """The stage table of `lite-toolkit describe`."""
    columns = ("stage", "operator", ">kernel", ">stride", ">resolution", ">channels", ">layers", ">params", ">MAdds")
    rows = [
        (
            *(row["stage"], row["operator"], str(row["kernel"]), str(row["stride"])),
            *("×".join(map(str, row["input_pixels"])), str(row["channels"]), str(row["layers"])),
            *(f"{row['params']:,}", _millions(row["madds"], 2)),
        )
        for row in content["stages"]
    ]
    height, width = content["input_pixels"]
    title = (
        f"{content['variant']}: {height}×{width}, {content['params']:,} params "
        f"({content['trainable_params']:,} trainable), {_millions(content['madds'])} MAdds, {content['activation']}"
    )
    print_table(title, columns, rows)


def conversion(result: "Conversion") -> dict[str, Any]:
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


def show_conversion(result: "Conversion") -> None:
    """The summary of `lite-toolkit convert`."""
    for file in result.files:
        print_facts(_file_facts(file, result))
        print_facts([])
    times = " · ".join(f"{name} {seconds:.1f}" for name, seconds in result.seconds.items())
    print_facts([("seconds", f"{times} · in all {sum(result.seconds.values()):.1f}")])
    print_notes(*result.notes)


def show_inspection(found: "Inspection") -> None:
    """The report of `lite-toolkit inspect` for people."""
    sizes = found.sizes
    weights = [f"weights {form} {_size(size)}" for form, size in sizes.weights_bytes.items()]
    others = {
        "biases": sizes.biases_bytes,
        "other buffers": sizes.other_buffers_bytes,
        "metadata": sizes.metadata_bytes,
        "associated files": sizes.associated_files_bytes,
        "structure": sizes.structure_bytes,
    }
    floats = ", ".join(f"{name} {count}" for name, count in found.float_operators.items())
    converting = found.boundary_operators
    boundary = f", of which {converting} convert the model's input or output" if converting else ""
    uncounted = ", ".join(f"{name} {count}" for name, count in found.uncounted.items())
    facts = [
        ("file", f"{found.file}, {_size(found.size_bytes)}, sha256 {found.sha256}"),
        *(("input", _endpoint(tensor)) for tensor in found.inputs),
        *(("output", _endpoint(tensor)) for tensor in found.outputs),
        ("operators", ", ".join(f"{operator.name} {operator.count}" for operator in found.operators)),
        ("float operators", floats + boundary if floats else "none"),
        ("float tensors", str(found.float_tensors)),
        ("weights", _weights(found)),
        ("params", f"{found.parameters:,}"),
        ("MAdds", f"{_millions(found.madds)}, of convolutions and dense layers"),
        *([("not counted", f"{uncounted}: what is inside is in neither params nor MAdds")] if uncounted else []),
        ("size by part", ", ".join([*weights, *(f"{name} {_size(size)}" for name, size in others.items() if size)])),
        ("metadata", ", ".join((*found.metadata, *found.associated_files)) or "none"),
        ("signatures", ", ".join(found.signatures) or "none"),
    ]
    print_facts(facts)


def predictions(found: Sequence["Prediction"]) -> list[dict[str, Any]]:
    """The report of `lite-toolkit classify`."""
    return [asdict(prediction) | {"image": str(prediction.image)} for prediction in found]


def show_predictions(found: Sequence["Prediction"]) -> None:
    """One line for each class of each image."""
    rows = [
        (str(prediction.image) if rank == 0 else "", str(score.index), score.label or "", f"{score.score:.4f}")
        for prediction in found
        for rank, score in enumerate(prediction.top)
    ]
    if rows:
        print_table("", ("image", ">class", "label", ">score"), rows)


def validation(found: "Validation") -> dict[str, Any]:
    """The report of `lite-toolkit validate`."""
    return {
        "float": found.reference.name,
        "quantized": found.quantized.name,
        "data": found.data,
        "skipped_images": list(found.skipped),
        "preprocessing": found.preprocessing.to_json(),
        "comparison": found.comparison.to_json(),
        "layers": [layer.to_json() for layer in found.layers],
        "worst": [
            {"name": finding.layer.name, "tensor": finding.layer.tensor, "remedies": list(finding.remedies)}
            for finding in found.worst
        ],
    }


def show_validation(found: "Validation") -> None:
    """The summary of `lite-toolkit validate`, its layers, and what helps the worst."""
    print_facts(
        [
            ("float", str(found.reference)),
            ("quantized", str(found.quantized)),
            ("images", found.data),
            *_comparison_facts(found.comparison),
        ]
    )
    columns = ("layer", "operator", ">SQNR dB", ">own SQNR dB", ">drop dB", ">bias %", ">slope", ">saturated %")
    rows = [
        (
            *(layer.name, layer.operator, _figure(layer.sqnr_db), _figure(layer.own_sqnr_db), _figure(layer.drop_db)),
            *(_figure(layer.bias_percent), _figure(layer.slope, 3), _figure(layer.saturated_percent, 3)),
        )
        for layer in found.layers
    ]
    print_table("", columns, rows)
    told = [
        (f"{rank}. {finding.layer.name}", _figure(finding.layer.own_sqnr_db), "\n".join(finding.remedies))
        for rank, finding in enumerate(found.worst, start=1)
    ]
    print_table("Most error added", ("layer", ">own SQNR dB", "what helps"), told)


def print_notes(*notes: str) -> None:
    """Sentences below a table."""
    print_facts(("note", note) for note in notes)


def _file_facts(file: "Converted", result: "Conversion") -> list[tuple[str, str]]:
    made = file.manifest
    weights, comparison, calibration = made["weights"], file.comparison, made["calibration"]
    facts = [
        ("file", f"{file.path}, {_size(file.size_bytes)} (float32: {_size(result.float_size_bytes)})"),
        ("weights", f"{weights['source']}" + (f", sha256 {weights['sha256']}" if weights["sha256"] else "")),
        ("input", _endpoint_of(made["input"])),
        ("output", f"{_endpoint_of(made['output'])}, {made['model']['scores']}"),
    ]
    if calibration:
        facts.append(("calibrated on", f"{calibration['calibration_images']} of {calibration['description']}"))
    if comparison:
        scores = made["model"]["scores"]
        sqnr = f", SQNR of the {scores} {comparison.sqnr_db:.1f} dB" if comparison.sqnr_db is not None else ""
        agreement = f"{comparison.agreement_percent:.1f}% same top-1 as float32{sqnr}"
        facts.append(("agreement", f"{agreement}, on {comparison.images} held-out images"))
    elif result.dataset and made["model"]["format"] != "float32":
        facts.append(("agreement", f"not measured: images are held out of {FEWEST_TO_SPLIT} or more"))
    return facts


def _comparison_facts(found: "Comparison") -> list[tuple[str, str]]:
    classes = f"{found.agreement_percent:.1f}% same top-1, {found.top5_agreement_percent:.1f}% in the top 5"
    kind = "of softmax(scores)" if found.scores == "logits" else "of the scores"
    differences = f"SQNR {_figure(found.sqnr_db)} dB, largest difference {found.largest_difference:.3g}"
    return [
        ("agreement", classes),
        ("scores", f"{found.scores}: {differences}"),
        ("divergence", f"{found.kl_divergence_nats:.4f} nats, KL {kind}"),
    ]


def _stage(row: costs.StageRow) -> dict[str, Any]:
    return {
        "stage": row.stage,
        "operator": row.operator,
        "kernel": row.kernel,
        "stride": row.stride,
        "input_pixels": list(row.resolution),
        "channels": row.channels,
        "layers": row.layers,
        "params": row.cost.params,
        "madds": row.cost.madds,
    }


def _weights(found: "Inspection") -> str:
    counts = {
        "per channel": found.weights.per_channel,
        "per tensor": found.weights.per_tensor,
        "not quantized": found.weights.unquantized,
    }
    return ", ".join(f"{count} {kind}" for kind, count in counts.items() if count) or "none"


def _endpoint(tensor: "Endpoint") -> str:
    return _endpoint_of(asdict(tensor))


def _endpoint_of(tensor: Mapping[str, Any]) -> str:
    shape = "×".join(map(str, tensor["shape"]))
    scale = tensor.get("scale")
    quantized = f", scale {scale:.8g}, zero point {tensor['zero_point']}" if scale is not None else ""
    return f"{tensor['name']} {tensor['dtype']} {shape}{quantized}"


def _optional(value: float | None, unit: str = "") -> str:
    return "–" if value is None else f"{value:,g}{unit}"


def _figure(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{round(value, digits) + 0.0:.{digits}f}"  # -0.0 + 0.0 is 0.0


def _millions(count: int, digits: int = 1) -> str:
    return f"{count / 1e6:,.{digits}f}M"


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.2f} MB" if size_bytes >= 100_000 else f"{size_bytes / 1e3:.1f} kB"
