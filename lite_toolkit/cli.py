"""The command line: parse, call one library function, print."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from lite_toolkit import __version__, architectures, interrupts, outputs, recipes
from lite_toolkit.errors import GateError, ImageError, LiteToolkitError, OutputError
from lite_toolkit.report import document

if TYPE_CHECKING:
    from lite_toolkit.pipeline import Request
    from lite_toolkit.preprocessing import Sized

F = TypeVar("F", bound=Callable[..., Any])

INTERRUPTED = 130  # 128 + SIGINT, as shells count
_FILE = click.Path(dir_okay=False, path_type=Path)
_INPUT_SIZE = click.IntRange(min=architectures.MINIMUM_INPUT_SIZE)


class _Commands(click.Group):
    """Turns every expected failure into one line and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        with interrupts.noticed() as came:
            try:
                return self._invoke(ctx)
            except BaseException:
                if not came:
                    raise
        click.echo("interrupted", err=True)
        raise click.exceptions.Exit(INTERRUPTED)

    def _invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except LiteToolkitError as error:
            raise _Failure(str(error), error.exit_code) from error
        except BrokenPipeError:
            raise  # `lite-toolkit variants | head`: click ends quietly
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            raise _Failure(f"{where}{error.strerror or error}", OutputError.exit_code) from error


class _Failure(click.ClickException):
    """One line on standard error, and an exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(" ".join(message.split()))
        self.exit_code = exit_code  # type: ignore[misc]  # click declares it for the class, and reads it from here


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="lite-toolkit")
def main() -> None:
    """EfficientNet-Lite from weights to a verified .tflite on a device."""


@dataclass(frozen=True)
class Delivery:
    """Where a command's report goes: standard output, as text or JSON, and a file."""

    as_json: bool
    file: Path | None
    force: bool

    def send(self, report: Mapping[str, Any], show: Callable[[], None]) -> None:
        """Save the report where asked, and print it as JSON or for people."""
        if self.file:
            outputs.write_json(self.file, report)
        if self.as_json:
            click.echo(outputs.to_json(report), nl=False)
        else:
            show()


def _require_own_place(report: Path, others: Iterable[object]) -> None:
    for other in others:
        for path in other if isinstance(other, tuple) else (other,):
            if isinstance(path, Path) and path.resolve() == report.resolve():
                raise click.UsageError(
                    f"-o {report} is also read or written as something else: save the report elsewhere"
                )


def reporting(command: Callable[..., None]) -> Callable[..., None]:
    """The options of every command that reports; the command gets them as `delivery`."""

    @click.option("-o", "--report", type=_FILE, help="Save the report as JSON to this file.")
    @click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
    @click.option("--force", is_flag=True, help="Replace files that exist.")
    @functools.wraps(command)
    def with_delivery(*, as_json: bool, report: Path | None, force: bool, **options: Any) -> None:
        if report:
            _require_own_place(report, options.values())
            outputs.require_free([report], force)
        command(delivery=Delivery(as_json, report, force), **options)

    return with_delivery


@main.command()
@reporting
def variants(delivery: Delivery) -> None:
    """List the variants: size, cost, published accuracy and latency, source of the weights."""
    from lite_toolkit import tables

    rows = tables.variant_rows()
    delivery.send(document("variants", {"variants": rows}), lambda: tables.show_variants(rows))


@main.command()
@click.argument("variant")
@click.option(
    "--classes", type=click.IntRange(min=1), default=1000, show_default=True, help="Outputs of the classifier."
)
@click.option("--no-top", is_flag=True, help="Leave the classifier out.")
@click.option("--input-size", type=_INPUT_SIZE, help="Side of the square input, pixels.")
@click.option("--diagram", type=_FILE, help="Draw the network: FILE.svg or FILE.png.")
@reporting
def describe(
    variant: str,
    classes: int,
    no_top: bool,
    input_size: int | None,
    diagram: Path | None,
    delivery: Delivery,
) -> None:
    """Show one VARIANT stage by stage, and draw it."""
    from lite_toolkit import tables

    spec = architectures.variant(variant)
    if diagram:
        from lite_toolkit.diagram import draw

        outputs.require_free([diagram], delivery.force)
        draw(spec, diagram, input_size)
    content = tables.description(spec, None if no_top else classes, input_size)
    delivery.send(document("describe", content), lambda: tables.show_description(content))


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


@main.command()
@click.option("--variant", help="Network to build: see `lite-toolkit variants`.")
@click.option("--model", type=click.Path(path_type=Path), help="Your own .keras file or SavedModel folder instead.")
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
@click.option("--labels", type=_FILE, help="Class names, one a line, for the manifest.")
@click.option("--input-size", type=_INPUT_SIZE, help="Side of the square input, pixels.")
@click.option(
    "--activation",
    type=click.Choice(["softmax", "none"]),
    help="Scores are probabilities (softmax, the default) or logits (none).",
)
@click.option(
    "--io",
    type=click.Choice(["uint8", "int8", "int16", "float32"]),
    help="Type of input and output: uint8 (default), int8 or float32 for int8; int16 (default) or float32 for int16x8.",
)
@click.option(
    "--calibration-data",
    type=click.Path(path_type=Path),
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
    type=click.Path(path_type=Path),
    help="FILE.tflite for one format, or a folder for VARIANT-FORMAT.tflite; by default the current folder.",
)
@click.option("--keep-float", is_flag=True, help="Write the float32 model too.")
@reporting
def convert(delivery: Delivery, **options: Any) -> None:
    """Make .tflite files from a variant, or from a model of your own."""
    if delivery.file and delivery.file.suffix == ".tflite":
        raise click.UsageError(f"-o {delivery.file} saves the JSON report; --output {delivery.file} names the model")
    from lite_toolkit import tables
    from lite_toolkit.console import ShownSteps, warn

    request = _request(force=delivery.force, **options)
    if delivery.file and delivery.file.absolute() in [file.absolute() for file in request.files]:
        raise click.UsageError(f"-o {delivery.file} is the place of the model's manifest: save the report elsewhere")
    from lite_toolkit.pipeline import convert

    result = convert(request, ShownSteps())
    for skipped in result.dataset.skipped if result.dataset else ():
        warn(f"skipped {skipped}")
    content = tables.conversion(result)
    delivery.send(document("convert", content), lambda: tables.show_conversion(result))


def _request(
    *,
    recipe_name: str | None,
    calibration_samples: int | None,
    weights: str | None,
    activation: str | None,
    labels: Path | None,
    preprocessing: str | None,
    **options: Any,
) -> "Request":
    """The pipeline's request; combinations that mean nothing are usage errors."""
    formats = tuple(form for form in recipes.FORMATS if options.pop(form))
    chosen = _recipes(formats, recipe_name, calibration_samples)
    _check_usage(chosen, weights=weights, activation=activation, **options)
    if options["variant"] is not None:
        architectures.variant(options["variant"])
    from lite_toolkit.classification import read_labels
    from lite_toolkit.pipeline import Request

    return Request(
        recipes=chosen,
        weights="imagenet" if weights is None else weights,
        activation="softmax" if activation is None else activation,  # type: ignore[arg-type]  # click checked it
        labels=read_labels(labels) if labels else None,
        preprocessing=_preprocessing(preprocessing),
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
    if output and output.suffix == ".tflite" and len(chosen) > 1:
        raise click.UsageError(f"--output {output} is one file, but {len(chosen)} formats are asked for: name a folder")
    for recipe in chosen if io else ():
        if io not in recipes.IO_TYPES.get(recipe.format, ()):
            allowed = ", ".join(recipes.IO_TYPES.get(recipe.format, ())) or "no choice"
            raise click.UsageError(f"--io {io} does not go with {recipe.format}, which has {allowed}")


def _preprocessing(name: str | None) -> "Sized | None":
    from lite_toolkit.preprocessing import named

    return named(name) if name else None


@main.command()
@click.argument("model", type=click.Path(path_type=Path))
@reporting
def inspect(model: Path, delivery: Delivery) -> None:
    """Show what a .tflite MODEL holds: types, operators, sizes, float operators left."""
    from lite_toolkit import tables
    from lite_toolkit.inspection import inspect as look

    found = look(model)
    delivery.send(found.to_json(), lambda: tables.show_inspection(found))


@main.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("images", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--labels", type=_FILE, help="Class names, one a line; by default the manifest's.")
@click.option("--top", type=click.IntRange(min=1), default=5, show_default=True, help="Classes shown of each image.")
@click.option("--threads", type=click.IntRange(1, 256), help="Of the kernels; by default one for each processor.")
@click.option("--preprocessing", metavar="NAME|FILE", help="As for `convert`; by default the manifest's.")
@reporting
def classify(
    model: Path,
    images: tuple[Path, ...],
    labels: Path | None,
    top: int,
    threads: int | None,
    preprocessing: str | None,
    delivery: Delivery,
) -> None:
    """Classify IMAGES, or all images in folders, with a .tflite MODEL."""
    from lite_toolkit import tables
    from lite_toolkit.classification import Classifier, expand, read_labels
    from lite_toolkit.console import warn

    classifier = Classifier(
        model,
        preprocessing=_preprocessing(preprocessing),
        labels=read_labels(labels) if labels else None,
        threads=threads,
    )
    if classifier.note:
        warn(classifier.note)
    predictions = list(classifier.classify(expand(images), top))
    content = {"model": model.name, "predictions": tables.predictions(predictions)}
    delivery.send(document("classify", content), lambda: tables.show_predictions(predictions))
    unread = [prediction for prediction in predictions if prediction.error]
    for prediction in unread:
        warn(str(prediction.error))
    if unread:
        raise ImageError(f"{len(unread)} of {len(predictions)} images could not be read")


@main.command()
@click.argument("float", type=click.Path(path_type=Path))
@click.argument("quantized", type=click.Path(path_type=Path))
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder of images (searched recursively), .npy or .npz.",
)
@click.option("--samples", type=click.IntRange(min=1), help="Images used at most; by default all.")
@click.option("--preprocessing", metavar="NAME|FILE", help="As for `convert`; by default the manifest's.")
@click.option("--plot", type=_FILE, help="Draw the errors along the graph: FILE.svg or FILE.png.")
@click.option(
    "--min-agreement",
    metavar="PERCENT",
    type=click.FloatRange(0, 100),
    help="Exit code 3 where fewer images have the same top-1.",
)
@reporting
def validate(
    float: Path,  # noqa: A002  # people read FLOAT
    quantized: Path,
    data: Path,
    samples: int | None,
    preprocessing: str | None,
    plot: Path | None,
    min_agreement: float | None,
    delivery: Delivery,
) -> None:
    """Show what the .tflite model QUANTIZED lost of FLOAT, the one it was made from, and where."""
    from lite_toolkit import pictures, tables, validation
    from lite_toolkit import plot as plots
    from lite_toolkit.console import ShownSteps, warn

    if plot:
        outputs.require_free([plot], delivery.force)
        pictures.require(plot)
    chosen = _preprocessing(preprocessing)
    found = validation.validate(float, quantized, data, preprocessing=chosen, samples=samples, steps=ShownSteps())
    for message in (*([found.note] if found.note else []), *(f"skipped {skipped}" for skipped in found.skipped)):
        warn(message)
    if plot:
        plots.draw(found, plot)
    delivery.send(document("validate", tables.validation(found)), lambda: tables.show_validation(found))
    agreement = found.comparison.agreement_percent
    if min_agreement is not None and agreement < min_agreement:
        raise GateError(f"{agreement:.2f}% of the images have the same top-1, less than {min_agreement:g}%")
