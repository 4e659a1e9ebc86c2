"""`lite-toolkit variants` and `describe`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from lite_toolkit.cli.console import print_notes, print_table
from lite_toolkit.networks import costs
from lite_toolkit.networks.architectures import VARIANTS, ModelSpec
from lite_toolkit.networks.modules import keras_layers
from lite_toolkit.networks.names import TIMM
from lite_toolkit.networks.published import PUBLISHED
from lite_toolkit.reports import figures
from lite_toolkit.weights.sources import IMAGENET


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
            figures.millions(row["params"], 2),
            figures.millions(row["madds"]),
            figures.optional(row["published_madds_millions"], "M"),
            figures.optional(row["published_top1_percent"]),
            figures.optional(row["published_int8_top1_percent"]),
            figures.optional(row["published_pixel4_cpu_ms"]),
            figures.optional(row["published_pixel4_edgetpu_ms"]),
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
        "keras_layers": len(list(keras_layers(spec))) if spec.family == "v1" else None,
        **_published(spec),
        "stages": [_stage(row) for row in rows],
    }


def show_description(content: Mapping[str, Any]) -> None:
    """The stage table of `lite-toolkit describe`."""
    columns = ("stage", "operator", ">kernel", ">stride", ">resolution", ">channels", ">layers", ">params", ">MAdds")
    rows = [
        (
            *(row["stage"], row["operator"], str(row["kernel"]), str(row["stride"])),
            *("×".join(map(str, row["input_pixels"])), str(row["channels"]), str(row["layers"])),
            *(f"{row['params']:,}", figures.millions(row["madds"], 2)),
        )
        for row in content["stages"]
    ]
    height, width = content["input_pixels"]
    title = (
        f"{content['variant']}: {height}×{width}, {content['params']:,} params "
        f"({content['trainable_params']:,} trainable), {figures.millions(content['madds'])} MAdds, "
        f"{content['activation']}"
    )
    print_table(title, columns, rows)
    print_notes(*_notes(content))


def _published(spec: ModelSpec) -> dict[str, Any]:
    """What is published of the weights that `--weights imagenet` means, at the network's own size."""
    published, evaluation = PUBLISHED.get(spec.name), TIMM.get(spec.name)
    cropped = evaluation if evaluation and evaluation.crop else None
    return {
        "weights": IMAGENET[spec.name].title,
        "published_top1_percent": published.top1_percent if published else None,
        "published_top5_percent": published.top5_percent if published else None,
        "published_input_pixels": spec.resolution,
        "published_crop_fraction": cropped.crop if cropped else None,
        "published_interpolation": cropped.interpolation if cropped else None,
    }


def _notes(content: Mapping[str, Any]) -> Iterator[str]:
    """One sentence for each thing known."""
    yield f"ImageNet weights: {content['weights']}."
    facts = {
        "top1_percent": "top-1 {} %",
        "top5_percent": "top-5 {} %",
        "crop_fraction": "crop {}",
        "interpolation": "{} resizing",
    }
    published = [form.format(content[f"published_{key}"]) for key, form in facts.items() if content[f"published_{key}"]]
    if published:
        yield f"Published, at {content['published_input_pixels']} pixels: {', '.join(published)}."
    if content["keras_layers"]:
        yield f"Keras layers: {content['keras_layers']}, as keras.applications counts them without the classifier."


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
