"""`lite-toolkit convert`."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from lite_toolkit.cli.commands.options import ANY_PATH, FILE, INPUT_SIZE, Command, Delivery, Number, reporting, sized
from lite_toolkit.networks import architectures
from lite_toolkit.quantization import recipes

if TYPE_CHECKING:
    from lite_toolkit.conversion.request import Request

F = TypeVar("F", bound=Callable[..., Any])

_FORMAT_HELP: dict[recipes.Format, str] = {
    "float32": "Write the float32 model.",
    "float16": "Write float16 weights: half the size.",
    "dynamic": "Write int8 weights, float activations.",
    "int8": "Write a full-integer int8 model.",
    "int16x8": "Write int8 weights and int16 activations.",
}


def _formats(command: F) -> F:
    for form, text in reversed(_FORMAT_HELP.items()):
        command = click.option(f"--{form}", is_flag=True, help=text)(command)
    return command


@click.command(cls=Command)
@click.option("--variant", help="Network to build: see `lite-toolkit variants`.")
@click.option("--model", type=ANY_PATH, help="Your own .keras file or SavedModel folder instead.")
@_formats
@click.option(
    "--weights",
    help="imagenet (default), none (random), hf:OWNER/REPO[@REVISION] or a checkpoint's path.",
)
@click.option(
    "--conventions",
    type=click.Choice(["tensorflow", "pytorch"]),
    help="Padding and epsilon of timm weights that do not tell: tf_efficientnet_* have tensorflow's.",
)
@click.option("--classes", type=click.IntRange(min=1), help="Outputs of the classifier; by default the checkpoint's.")
@click.option("--labels", type=FILE, help="Class names, one a line; by default ImageNet's, with its weights.")
@click.option("--input-size", type=INPUT_SIZE, help="Side of the square input, pixels.")
@click.option(
    "--activation",
    type=click.Choice(["softmax", "none"]),
    help="Scores are probabilities (softmax) or logits (none); by default the recipe's, softmax.",
)
@click.option(
    "--io",
    type=click.Choice(["uint8", "int8", "int16", "float32"]),
    help="Type of input and output: uint8 (default), int8 or float32 for int8; int16 (default) or float32 for int16x8.",
)
@click.option(
    "--calibration-data",
    type=ANY_PATH,
    help="Folder of images (searched recursively), .npy or .npz; by default a built-in synthetic set.",
)
@click.option("--calibration-samples", type=click.IntRange(min=1), help="Images used at most; by default the recipe's.")
@click.option("--recipe", "recipe_name", metavar="NAME|FILE", help="Quantization recipe; by default the format's.")
@click.option(
    "--preprocessing",
    metavar="NAME|FILE",
    help="What the model expects, where its weights do not tell: lite, imagenet, inception, pixels or a JSON file.",
)
@click.option(
    "--output",
    type=ANY_PATH,
    help="FILE.tflite for one format, or a folder for VARIANT-FORMAT.tflite; by default the current folder.",
)
@click.option("--keep-float", is_flag=True, help="Write the float32 model too.")
@click.option(
    "--max-drop",
    metavar="POINTS",
    type=Number(0, 100),
    help="Keep layers in float where more than so many points of top-1 are lost, or of agreement with float32 where "
    "classes are unknown; exit code 3 where that takes too many.",
)
@click.option("--class-index", type=FILE, help="Classes of the calibration images, as for `evaluate`, for --max-drop.")
@click.option(
    "--target",
    type=click.Choice(["edgetpu"]),
    help="Write int8 whose every operator the Edge TPU runs; exit code 3, and nothing written, where one stays behind.",
)
@click.option(
    "--min-agreement",
    metavar="PERCENT",
    type=Number(0, 100),
    help="Exit code 3, and nothing written, where fewer held-out images have float32's top-1.",
)
@reporting
def convert(delivery: Delivery, **options: Any) -> None:
    """Make .tflite files from a variant, or from a model of your own."""
    if delivery.file and delivery.file.suffix == ".tflite":
        raise click.UsageError(f"-o {delivery.file} saves the JSON report; --output {delivery.file} names the model")
    from lite_toolkit.cli.console import ShownSteps, warn
    from lite_toolkit.cli.tables import conversion as tables

    request = _request(force=delivery.force, **options)
    if delivery.file and delivery.file.absolute() in [file.absolute() for file in request.files]:
        raise click.UsageError(f"-o {delivery.file} is the place of the model's manifest: save the report elsewhere")
    from lite_toolkit.conversion.pipeline import convert
    from lite_toolkit.reports.conversion import Conversion

    result = convert(request, ShownSteps())
    for skipped in result.dataset.skipped if result.dataset else ():
        warn(f"skipped {skipped}")
    report = Conversion.of(result)
    delivery.send(report.to_json(), lambda: tables.show(report, result.dataset is not None))


def _request(
    *,
    recipe_name: str | None,
    calibration_samples: int | None,
    weights: str | None,
    labels: Path | None,
    class_index: Path | None,
    preprocessing: str | None,
    **options: Any,
) -> "Request":
    """The pipeline's request; combinations that mean nothing are usage errors."""
    formats = tuple(form for form in recipes.FORMATS if options.pop(form))
    if options["target"] and not formats and not recipe_name:
        formats = ("int8",)
    chosen = _recipes(formats, recipe_name, calibration_samples)
    _check_usage(chosen, weights=weights, **options)
    if options["target"]:
        _check_target(chosen, options["io"], options["max_drop"])
    _check_bound(chosen, class_index, options["max_drop"], options["calibration_data"])
    if options["variant"] is not None:
        architectures.variant(options["variant"])
    from lite_toolkit.conversion.request import Request
    from lite_toolkit.datasets.ground_truth import read_class_index
    from lite_toolkit.labels import read as read_labels

    return Request(
        recipes=chosen,
        weights="imagenet" if weights is None else weights,
        labels=read_labels(labels) if labels else None,
        class_index=read_class_index(class_index) if class_index else None,
        preprocessing=sized(preprocessing),
        **options,
    )


def _recipes(formats: tuple[recipes.Format, ...], name: str | None, samples: int | None) -> tuple[recipes.Recipe, ...]:
    """One recipe for each format: the named one for its own format, the default for the others."""
    named = recipes.load(name) if name else None
    if named and formats and named.format not in formats:
        raise click.UsageError(f"recipe {name} makes {named.format}: pass --{named.format}, or leave the format out")
    formats = formats or ((named.format,) if named else ())
    if not formats:
        raise click.UsageError(f"choose a format: {', '.join(f'--{form}' for form in recipes.FORMATS)}, or a --recipe")
    chosen = [named if named and named.format == form else recipes.default(form) for form in formats]
    return tuple(dataclasses.replace(recipe, samples=samples or recipe.samples) for recipe in chosen)


def _check_usage(
    chosen: tuple[recipes.Recipe, ...],
    *,
    variant: str | None,
    model: Path | None,
    io: str | None,
    output: Path | None,
    **options: Any,
) -> None:
    if (variant is None) == (model is None):
        raise click.UsageError("pass either --variant or --model")
    if model:
        for option in ("weights", "conventions", "classes", "activation"):
            if options[option] is not None:
                raise click.UsageError(f"--{option} belongs to --variant: a model of your own has its own")
        for recipe in chosen:
            if recipe.activation != "softmax":
                raise click.UsageError(f"recipe {recipe.name} sets the activation: a model of your own has its own")
    if output and output.suffix == ".tflite" and len(chosen) > 1:
        raise click.UsageError(f"--output {output} is one file, but {len(chosen)} formats are asked for: name a folder")
    for recipe in chosen if io else ():
        if io not in recipes.IO_TYPES.get(recipe.format, ()):
            allowed = ", ".join(recipes.IO_TYPES.get(recipe.format, ())) or "no choice"
            raise click.UsageError(f"--io {io} does not go with {recipe.format}, which has {allowed}")


def _check_target(chosen: tuple[recipes.Recipe, ...], io: str | None, max_drop: float | None) -> None:
    """Whatever leaves a part of the model to the processor contradicts --target edgetpu."""
    for recipe in chosen:
        if recipe.format != "int8":
            advice = ": --keep-float writes that too" if recipe.format == "float32" else ""
            raise click.UsageError(f"--{recipe.format} contradicts --target edgetpu, which takes int8 alone{advice}")
        if recipe.in_float:
            raise click.UsageError(
                f"--recipe {recipe.name} keeps layers in float, which --target edgetpu does not run: leave out in_float"
            )
    if io == "float32":
        raise click.UsageError("--io float32 contradicts --target edgetpu, which takes uint8 or int8")
    if max_drop is not None:
        raise click.UsageError("--max-drop keeps layers in float, which --target edgetpu does not run")


def _check_bound(
    chosen: tuple[recipes.Recipe, ...], class_index: Path | None, max_drop: float | None, data: Path | None
) -> None:
    if max_drop is not None and not any(recipe.calibrated for recipe in chosen):
        raise click.UsageError(f"--max-drop belongs to the formats that are calibrated: {', '.join(recipes.IO_TYPES)}")
    if class_index and (max_drop is None or data is None or not data.is_dir()):
        raise click.UsageError("--class-index tells --max-drop the classes of a folder's images: pass both")
