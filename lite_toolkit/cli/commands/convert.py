"""`lite-toolkit convert`."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lite_toolkit.cli.commands.options import ANY_PATH, FILE, Command, Delivery, Number, reporting, sized
from lite_toolkit.quantization import recipes

if TYPE_CHECKING:
    from lite_toolkit.conversion.request import Target

_FORMAT_HELP: dict[recipes.Format, str] = {
    "float32": "Write the float32 model.",
    "float16": "Write float16 weights: half the size.",
    "dynamic": "Write int8 weights, float activations.",
    "int8": "Write a full-integer int8 model.",
    "int16x8": "Write int8 weights and int16 activations.",
}


def _formats(command: Callable[..., None]) -> Callable[..., None]:
    """A flag for each format; the command gets those that are set as `formats`."""

    @functools.wraps(command)
    def with_formats(**options: Any) -> None:
        command(formats=tuple(form for form in recipes.FORMATS if options.pop(form)), **options)

    for form, text in reversed(_FORMAT_HELP.items()):
        with_formats = click.option(f"--{form}", is_flag=True, help=text)(with_formats)
    return with_formats


@click.command(cls=Command)
@click.option(
    "--variant", help="Network to build: see `lite-toolkit variants`; or KerasCV's, timm's or Hugging Face's name."
)
@click.option("--model", type=ANY_PATH, help="Your own .keras, .h5 or float .tflite file or SavedModel folder instead.")
@click.option("--signature", metavar="NAME", help="Of a SavedModel; by default serving_default.")
@click.option("--output-name", metavar="NAME", help="Of a model with several outputs: which are the scores.")
@_formats
@click.option(
    "--weights",
    help="imagenet (default), none (random), hf:OWNER/REPO[@REVISION] or a checkpoint's file or folder.",
)
@click.option(
    "--conventions",
    type=click.Choice(["tensorflow", "pytorch"]),
    help="Padding and epsilon of timm weights that do not tell: tf_efficientnet_* have tensorflow's.",
)
@click.option("--classes", type=click.IntRange(min=1), help="Outputs of the classifier; by default the checkpoint's.")
@click.option("--labels", type=FILE, help="Class names, one a line; by default ImageNet's, with its weights.")
@click.option("--input-size", type=click.IntRange(min=1), help="Side of the square input, pixels.")
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
    help="What the model expects, where neither weights nor graph tell: lite, imagenet, inception, pixels, unit or "
    "caffe, perhaps with -stretch or -nearest behind it; or a JSON file.",
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
    help="Exit code 3, and nothing written, where fewer held-out images have float32's top-1, or its labels.",
)
@reporting
def convert(
    formats: tuple[recipes.Format, ...],
    variant: str | None,
    model: Path | None,
    signature: str | None,
    output_name: str | None,
    weights: str | None,
    conventions: str | None,
    classes: int | None,
    labels: Path | None,
    input_size: int | None,
    activation: recipes.Activation | None,
    io: recipes.InputOutput | None,
    calibration_data: Path | None,
    calibration_samples: int | None,
    recipe_name: str | None,
    preprocessing: str | None,
    output: Path | None,
    keep_float: bool,
    max_drop: float | None,
    class_index: Path | None,
    target: "Target | None",
    min_agreement: float | None,
    delivery: Delivery,
) -> None:
    """Make .tflite files from a variant, or from a model of your own."""
    if delivery.file and delivery.file.suffix == ".tflite":
        raise click.UsageError(f"-o {delivery.file} saves the JSON report; --output {delivery.file} names the model")
    from lite_toolkit.cli.console import ShownSteps, warn
    from lite_toolkit.cli.tables import conversion as tables
    from lite_toolkit.conversion import pipeline
    from lite_toolkit.conversion.request import Request
    from lite_toolkit.labels import read as read_labels
    from lite_toolkit.reports.conversion import Conversion

    if target and not formats and not recipe_name:
        formats = ("int8",)
    request = Request(
        recipes=recipes.choose(formats, recipe_name, calibration_samples),
        variant=variant,
        model=model,
        signature=signature,
        output_name=output_name,
        weights=weights,
        conventions=conventions,
        classes=classes,
        labels=read_labels(labels) if labels else None,
        input_size=input_size,
        io=io,
        activation=activation,
        preprocessing=sized(preprocessing),
        calibration_data=calibration_data,
        output=output,
        keep_float=keep_float,
        max_drop=max_drop,
        class_index=class_index,
        min_agreement=min_agreement,
        target=target,
        force=delivery.force,
    )
    if delivery.file and delivery.file.absolute() in [file.absolute() for file in request.files]:
        raise click.UsageError(f"-o {delivery.file} is the place of the model's manifest: save the report elsewhere")
    result = pipeline.convert(request, ShownSteps())
    for skipped in result.skipped:
        warn(f"skipped {skipped}")
    report = Conversion.of(result)
    delivery.send(report.to_json(), lambda: tables.show(report, any(file.dataset for file in result.files)))
